//===- MalformedTest.cpp - Damaged and hostile files ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Malformed.h"
#include "cq/Model/Parameters.h"
#include "cq/Model/Tokenizer.h"
#include <limits>

using namespace mlir::cq;
using namespace mlir::cq::test;

TEST_P(MalformedArchive, IsRefused) {
  TemporaryFolder folder;
  std::string path = folder.write("bad-file", GetParam().bytes);
  expectSentence(ParameterArchive::open(path).takeError(), path,
                 GetParam().message);
}

//===----------------------------------------------------------------------===//
// safetensors
//===----------------------------------------------------------------------===//

/// One tensor "a", described by `fields`, over 16 bytes.
static std::string one(const std::string &fields) {
  return safetensors("{\"a\":{" + fields + "}}", std::string(16, '\0'));
}
static std::string f32(const std::string &shape, const std::string &offsets) {
  return one("\"dtype\":\"F32\",\"shape\":" + shape +
             ",\"data_offsets\":" + offsets);
}
static std::string two(const std::string &a, const std::string &b) {
  std::string type = "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":";
  return safetensors("{\"a\":{" + type + a + "},\"b\":{" + type + b + "}}",
                     std::string(16, '\0'));
}
static std::string nested(size_t depth) {
  return safetensors(
      "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}", "");
}

static const std::vector<MalformedFile> safetensorsTable = {
    {"header past the end", bytesOf<uint64_t>(1000) + "{\"a\":1}",
     "ends inside its header"},
    {"header of 2^64 - 1 bytes", bytesOf(~0ull) + "{\"a\":1}", "100 MB"},
    {"no JSON", safetensors("{nonsense", ""), "malformed"},
    {"two values", safetensors("{} {}", ""), "malformed"},
    {"not UTF-8", safetensors("{\"\xFF\":1}", ""), "malformed"},
    {"50000 brackets", nested(50000), "nests more than"},
    {"a million brackets", nested(1000000), "nests more than"},
    {"name twice",
     safetensors("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]"
                 "},\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],"
                 "\"data_offsets\":[1,2]}}",
                 "xx"),
     "appears twice"},
    {"shape twice", one("\"shape\":[4],\"shape\":[2]"), "appears twice"},
    {"tensor is a number", safetensors("{\"a\":7}", ""), "no JSON object"},
    {"metadata is a number", safetensors("{\"__metadata__\":7}", ""),
     "no JSON object"},
    {"metadata holds a number", safetensors("{\"__metadata__\":{\"k\":7}}", ""),
     "no string"},
    {"no dtype", one("\"shape\":[4],\"data_offsets\":[0,16]"), "no dtype"},
    {"unknown dtype",
     one("\"dtype\":\"F8_E4M3\",\"shape\":[16],\"data_offsets\":[0,16]"),
     "F8_E4M3"},
    {"dtype is a number",
     one("\"dtype\":7,\"shape\":[16],\"data_offsets\":[0,16]"), "no dtype"},
    {"block type by name",
     one("\"dtype\":\"Q8_0\",\"shape\":[32],\"data_offsets\":[0,34]"), "Q8_0"},
    {"no shape", one("\"dtype\":\"F32\",\"data_offsets\":[0,16]"), "no shape"},
    {"shape of text", f32("[\"4\"]", "[0,16]"), "no integers"},
    {"shape above 2^63", f32("[18446744073709551615]", "[0,16]"),
     "no integers"},
    {"zero extent", f32("[0]", "[0,0]"), "not all positive"},
    {"negative extent", f32("[-4]", "[0,16]"), "not all positive"},
    {"product overflows", f32("[4294967296,4294967296,4294967296]", "[0,16]"),
     "too large"},
    {"nine dimensions", f32("[1,1,1,1,1,1,1,1,4]", "[0,16]"), "more than 8"},
    {"no offsets", one("\"dtype\":\"F32\",\"shape\":[4]"), "data_offsets"},
    {"one offset", f32("[4]", "[0]"), "data_offsets"},
    {"negative offset", f32("[4]", "[-16,0]"), "data_offsets"},
    {"offsets swapped", f32("[4]", "[16,0]"), "data_offsets"},
    {"offset above 2^63", f32("[4]", "[0,18446744073709551615]"),
     "data_offsets"},
    {"end past the file", f32("[8]", "[0,32]"), "past the end"},
    {"offset past the file", f32("[4]", "[1000,1016]"), "was expected"},
    {"size does not fit", f32("[3]", "[0,16]"), "needs 12 bytes"},
    {"overlap", two("[0,8]", "[4,12]"), "overlap or leave a gap"},
    {"equal places", two("[0,8]", "[0,8]"), "overlap or leave a gap"},
    {"gap", two("[0,4]", "[8,16]"), "needs 8 bytes"},
    {"real gap", two("[0,8]", "[9,17]"), "overlap or leave a gap"},
    {"bytes behind the last tensor", f32("[3]", "[0,12]"), "cover 12"},
    {"empty name",
     safetensors("{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}"
                 "}",
                 "x"),
     "has no name"},
    {"index without map", "{\"metadata\":{}}", "no weight_map"},
    {"index with an empty map", "{\"weight_map\":{}}", "no weight_map"},
    {"index leaves the folder", "{\"weight_map\":{\"a\":\"../x\"}}",
     "no plain file name"},
    {"index names the folder", "{\"weight_map\":{\"a\":\"..\"}}",
     "no plain file name"},
    {"index of numbers", "{\"weight_map\":{\"a\":1}}", "no plain file name"},
    {"deep index", "{\"weight_map\":" + std::string(100000, '{'),
     "nests more than"},
};
INSTANTIATE_TEST_SUITE_P(Safetensors, MalformedArchive,
                         ::testing::ValuesIn(safetensorsTable),
                         nameOfMalformed);

//===----------------------------------------------------------------------===//
// llama2.c
//===----------------------------------------------------------------------===//

static std::string header0(std::vector<int32_t> fields) {
  return bytesOf(fields) + std::string(1000, '\0');
}
static std::string header1(std::vector<int32_t> fields, int32_t version = 1) {
  std::string bytes = "24ka" + bytesOf(version) + bytesOf(fields) + '\1';
  bytes.resize(1256);
  return bytes;
}

static const std::vector<MalformedFile> llama2cTable = {
    {"empty file", "", "neither GGUF"},
    {"zeros", std::string(64, '\0'), "neither GGUF"},
    {"text", "This is the beginning of a letter, not a model of anything.",
     "neither GGUF"},
    {"only the magic", "24ka", "ends inside its header"},
    {"version 2", header1({4, 6, 1, 2, 1, 12, 16}, 2), "version 2"},
    {"negative version", header1({4, 6, 1, 2, 1, 12, 16}, -1), "version -1"},
    {"short header", header1({4, 6, 1, 2, 1, 12, 16}).substr(0, 100),
     "ends inside its header"},
    {"no width", header1({0, 6, 1, 2, 1, 12, 16}), "a width of 0"},
    {"10^9 blocks", header1({4, 6, 1000000000, 2, 1, 12, 16}),
     "a block count of 1000000000"},
    {"negative hidden", header1({4, -6, 1, 2, 1, 12, 16}), "a hidden width"},
    {"no heads", header1({4, 6, 1, 0, 1, 12, 16}), "a head count of 0"},
    {"no kv heads", header1({4, 6, 1, 2, 0, 12, 16}), "key/value head count"},
    {"negative vocabulary in version 1", header1({4, 6, 1, 2, 1, -12, 16}),
     "a vocabulary of -12"},
    {"smallest vocabulary", header1({4, 6, 1, 2, 1, INT32_MIN, 16}),
     "a vocabulary of"},
    {"heads do not divide the width", header1({4, 6, 1, 3, 1, 12, 16}),
     "do not divide"},
    {"odd heads", header1({6, 6, 1, 2, 1, 12, 16}), "do not divide"},
    {"kv heads do not divide the heads", header1({4, 6, 1, 2, 3, 12, 16}),
     "do not divide"},
    {"version 1 too short", header1({4, 6, 1, 2, 1, 12, 16}).substr(0, 600),
     "truncated"},
    {"version 1 too long", tinyLlama2C(1) + "x", "truncated or damaged"},
    {"version 0 too short", tinyLlama2C(0).substr(0, 600), "truncated"},
    {"version 0 too long", tinyLlama2C(0) + "x", "truncated or damaged"},
    {"largest of everything",
     header0(
         {1 << 20, 1 << 22, 1 << 12, 1 << 12, 1 << 12, -(1 << 24), 1 << 24}),
     "asks for"},
};
INSTANTIATE_TEST_SUITE_P(Llama2C, MalformedArchive,
                         ::testing::ValuesIn(llama2cTable), nameOfMalformed);

//===----------------------------------------------------------------------===//
// Tokenizers
//===----------------------------------------------------------------------===//

namespace {
class MalformedTokenizer : public ::testing::TestWithParam<MalformedFile> {};
} // namespace

TEST_P(MalformedTokenizer, IsRefused) {
  TemporaryFolder folder;
  std::string path = folder.write("bad-file", GetParam().bytes);
  expectSentence(Tokenizer::open(path).takeError(), path, GetParam().message);
}

static std::string replaceIn(std::string text, const std::string &from,
                             const std::string &to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}
static std::string json(const std::string &from, const std::string &to) {
  return replaceIn(tinyTokenizerJSON(), from, to);
}
/// A GGUF tokenizer of two tokens with further pairs.
static std::string ggufTokenizer(const std::string &model, uint64_t more,
                                 const std::string &pairs) {
  return gguf::file(0, 2 + more,
                    gguf::text("tokenizer.ggml.model", model) +
                        gguf::texts("tokenizer.ggml.tokens", {"a", "b"}) +
                        pairs,
                    "");
}
static std::string numbers(const std::string &key, uint32_t type,
                           uint64_t count, const std::string &bytes) {
  return gguf::pair("tokenizer.ggml." + key, gguf::Array,
                    bytesOf(type) + bytesOf(count) + bytes);
}
static std::string merged(const std::string &merge) {
  return ggufTokenizer("gpt2", 2,
                       gguf::text("tokenizer.ggml.pre", "smollm") +
                           gguf::texts("tokenizer.ggml.merges", {merge}));
}

static const std::vector<MalformedFile> tokenizerTable = {
    {"empty file", "", "no llama2.c tokenizer"},
    {"bin only the length", bytesOf<uint32_t>(6), "no llama2.c tokenizer"},
    {"bin longest past the end", bytesOf<uint32_t>(1000) + "abcdefgh",
     "no llama2.c tokenizer"},
    {"bin negative length",
     bytesOf<uint32_t>(4) + bytesOf(0.0f) + bytesOf<int32_t>(-1) + "aaaa",
     "cut short"},
    {"bin length past the end",
     bytesOf<uint32_t>(8) + bytesOf(0.0f) + bytesOf<int32_t>(8) + "a",
     "cut short"},
    {"bin longer than the longest",
     bytesOf<uint32_t>(2) + bytesOf(0.0f) + bytesOf<int32_t>(3) + "abc",
     "longer than the longest"},
    {"bin with too few tokens",
     bytesOf<uint32_t>(2) + bytesOf(0.0f) + bytesOf<int32_t>(2) + "ab",
     "fewer than the 259"},
    {"bin with a score that is no number",
     tinyTokenizerBin() + bytesOf(std::numeric_limits<float>::quiet_NaN()) +
         bytesOf<int32_t>(1) + "z",
     "no number"},

    {"json that is no object behind the brace", "{", "malformed"},
    {"json without model", "{}", "BPE is known"},
    {"json of another kind", json("\"BPE\"", "\"Unigram\""), "'Unigram'"},
    {"json without vocabulary", json("\"vocab\"", "\"vokab\""),
     "no vocabulary"},
    {"json id of 10^9", json("\"b\":1", "\"b\":1000000000"),
     "outside the vocabulary"},
    {"json negative id", json("\"b\":1", "\"b\":-1"), "outside the vocabulary"},
    {"json id is text", json("\"b\":1", "\"b\":\"1\""),
     "outside the vocabulary"},
    {"json id twice", json("\"b\":1", "\"b\":0"), "share the id"},
    {"json token twice", json("\"b\":1", "\"a\":1"), "appears twice"},
    {"json added token without content", json("content", "kontent"),
     "no content"},
    {"json merge of unknown tokens", json("\"a b\"", "\"a x\""),
     "vocabulary lacks"},
    {"json merge of one part", json("\"a b\"", "\"ab\""), "vocabulary lacks"},
    {"json merge is a number", json("\"a b\"", "7"), "vocabulary lacks"},
    {"json without merges", json("\"merges\"", "\"mergers\""), "no merges"},
    {"json unknown pre-tokenizer", json("\"Digits\"", "\"Punctuation\""),
     "pattern that is not known"},
    {"json prefix space",
     json("\"add_prefix_space\":false", "\"add_prefix_space\":true"),
     "pattern that is not known"},
    {"json deep", "{\"a\":" + std::string(100000, '['), "nests more than"},

    {"gguf without tokenizer", gguf::file(0, 0, "", ""),
     "'tokenizer.ggml.model'"},
    {"gguf of another kind", ggufTokenizer("t5", 0, ""), "'t5'"},
    {"gguf without pre-tokenizer", ggufTokenizer("gpt2", 0, ""),
     "'tokenizer.ggml.pre'"},
    {"gguf unknown pre-tokenizer",
     ggufTokenizer("gpt2", 1, gguf::text("tokenizer.ggml.pre", "default")),
     "'default'"},
    {"gguf without merges",
     ggufTokenizer("gpt2", 1, gguf::text("tokenizer.ggml.pre", "smollm")),
     "'tokenizer.ggml.merges'"},
    {"gguf merge of unknown tokens", merged("a c"), "vocabulary lacks"},
    {"gguf merge makes no token", merged("a b"), "vocabulary lacks"},
    {"gguf merge without space", merged("ab"), "vocabulary lacks"},
    {"gguf empty merge", merged(""), "vocabulary lacks"},
    {"gguf without scores", ggufTokenizer("llama", 0, ""),
     "'tokenizer.ggml.scores'"},
    {"gguf too few scores",
     ggufTokenizer("llama", 1, numbers("scores", gguf::F32, 1, bytesOf(0.0f))),
     "1 scores"},
    {"gguf scores are text",
     ggufTokenizer("llama", 1,
                   gguf::texts("tokenizer.ggml.scores", {"a", "b"})),
     "array of numbers"},
    {"gguf score is no number",
     ggufTokenizer("llama", 1,
                   numbers("scores", gguf::F32, 2,
                           bytesOf(std::vector<uint32_t>{0, 0x7fc00000}))),
     "no number"},
    {"gguf too many types",
     ggufTokenizer("llama", 2,
                   numbers("scores", gguf::F32, 2, std::string(8, '\0')) +
                       numbers("token_type", gguf::U8, 3, "\1\1\1")),
     "3 token types"},
    {"gguf token type 7",
     ggufTokenizer("llama", 2,
                   numbers("scores", gguf::F32, 2, std::string(8, '\0')) +
                       numbers("token_type", gguf::U8, 2, "\1\7")),
     "the type 7"},
    {"gguf eos out of range",
     ggufTokenizer("llama", 2,
                   numbers("scores", gguf::F32, 2, std::string(8, '\0')) +
                       gguf::u32("tokenizer.ggml.eos_token_id", 2)),
     "outside its 2 tokens"},
    {"gguf bos of 2^32 - 1",
     ggufTokenizer("llama", 2,
                   numbers("scores", gguf::F32, 2, std::string(8, '\0')) +
                       gguf::u32("tokenizer.ggml.bos_token_id", ~0u)),
     "outside its 2 tokens"},
};
INSTANTIATE_TEST_SUITE_P(Tokenizers, MalformedTokenizer,
                         ::testing::ValuesIn(tokenizerTable), nameOfMalformed);

TEST(Malformed, NotAFile) {
  TemporaryFolder folder;
  for (const std::string &path :
       {folder.path.str().str(), folder.file("absent"),
        std::string("/dev/zero")}) {
    EXPECT_TRUE(llvm::errorToBool(ParameterArchive::open(path).takeError()));
    EXPECT_TRUE(llvm::errorToBool(Tokenizer::open(path).takeError()));
  }
}
