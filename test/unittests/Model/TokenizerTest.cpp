//===- TokenizerTest.cpp - Small vocabularies, checked by hand ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Tokenizer.h"
#include "TinyModels.h"

using namespace mlir::cq;
using namespace mlir::cq::test;
using Ids = std::vector<int32_t>;

static std::string array(const char *key, uint32_t type, uint64_t count,
                         const std::string &bytes) {
  return gguf::pair(key, gguf::Array, bytesOf(type) + bytesOf(count) + bytes);
}

/// The tokenizer of a GGUF file, and the same one saved and opened again.
static std::vector<std::shared_ptr<Tokenizer>>
openAndSave(const std::vector<std::string> &pairs) {
  TemporaryFolder folder;
  std::string metadata;
  for (const std::string &pair : pairs)
    metadata += pair;
  auto first = llvm::cantFail(Tokenizer::open(
      folder.write("t.gguf", gguf::file(0, pairs.size(), metadata, ""))));
  llvm::cantFail(first->save(folder.file("saved.gguf")));
  auto second = llvm::cantFail(Tokenizer::open(folder.file("saved.gguf")));
  return {first, second};
}

static std::string decodeAll(const Tokenizer &tokenizer, const Ids &ids) {
  std::string text;
  int32_t previous = -1;
  for (int32_t id : ids) {
    text += tokenizer.decode(id, previous);
    previous = id;
  }
  return text;
}

// ▁ is U+2581. Scores: "▁a" before "ab", "▁ab" last.
static const std::vector<std::string> sentencePiece = {
    gguf::text("tokenizer.ggml.model", "llama"),
    gguf::texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "<0xC3>",
                                          "<0xA9>", "\xE2\x96\x81", "a", "b",
                                          "\xE2\x96\x81"
                                          "a",
                                          "ab",
                                          "\xE2\x96\x81"
                                          "ab",
                                          "<tool>"}),
    array(
        "tokenizer.ggml.scores", gguf::F32, 12,
        bytesOf(std::vector<float>{0, 0, 0, 0, 0, -9, -9, -9, -1, -2, -3, 0})),
    array("tokenizer.ggml.token_type", gguf::I32, 12,
          bytesOf(std::vector<int32_t>{2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 4})),
    gguf::u32("tokenizer.ggml.bos_token_id", 1),
    gguf::u32("tokenizer.ggml.eos_token_id", 2),
    gguf::u32("tokenizer.ggml.unknown_token_id", 0),
    gguf::text("tokenizer.chat_template", "{{ '[INST] ' + x }}")};

TEST(Tokenizer, SentencePiece) {
  for (const auto &t : openAndSave(sentencePiece)) {
    EXPECT_EQ(t->bos(), 1);
    EXPECT_EQ(t->eos(), 2);
    EXPECT_EQ(t->chatTemplate(), ChatTemplate::Llama2);
    EXPECT_EQ(t->encode("ab"), (Ids{1, 10}));
    // After ▁a took the a, nothing is left for ab.
    EXPECT_EQ(t->encode("abab", true, false), (Ids{10, 9}));
    EXPECT_EQ(t->encode("b a", true, false), (Ids{5, 7, 8}));
    // Bytes of a character that is no token; one byte without a token.
    EXPECT_EQ(t->encode("\xC3\xA9\xFF", true, false), (Ids{5, 3, 4, 0}));
    EXPECT_EQ(t->encode("a</s>", true, false), (Ids{8, 2}));
    // Not parsed, "</s>" is unknown characters; user-defined tokens are text.
    EXPECT_EQ(t->encode("a</s>", false, false), (Ids{8, 0, 0, 0, 0}));
    EXPECT_EQ(t->encode("a<tool>b", false, false), (Ids{8, 11, 5, 7}));
    EXPECT_EQ(t->encode(""), Ids{1});
    EXPECT_EQ(t->encode("", true, false), Ids{});
    EXPECT_EQ(decodeAll(*t, t->encode("ab a \xC3\xA9", true, false)),
              "ab a \xC3\xA9");
    EXPECT_EQ(t->decode(8, 1), "a");  // after BOS
    EXPECT_EQ(t->decode(8, 6), " a"); // elsewhere
    EXPECT_EQ(t->decode(-1), "");
    EXPECT_EQ(t->decode(12), "");
  }
}

TEST(Tokenizer, SentencePieceWithoutPrefix) {
  auto pairs = sentencePiece;
  pairs.push_back(gguf::pair("tokenizer.ggml.add_space_prefix", gguf::Bool,
                             std::string(1, '\0')));
  pairs.push_back(gguf::pair("tokenizer.ggml.add_bos_token", gguf::Bool,
                             std::string(1, '\0')));
  for (const auto &t : openAndSave(pairs)) {
    EXPECT_EQ(t->encode("ab"), Ids{9});
    EXPECT_EQ(decodeAll(*t, t->encode(" ab")), " ab");
  }
}

static std::vector<std::string> bytePair(const char *pre) {
  return {gguf::text("tokenizer.ggml.model", "gpt2"),
          gguf::text("tokenizer.ggml.pre", pre),
          gguf::texts("tokenizer.ggml.tokens",
                      {"a", "b", "c", "ab", "bc", "abc", "<|begin_of_text|>",
                       "<|eot_id|>", "<|start_header_id|>"}),
          array("tokenizer.ggml.token_type", gguf::I32, 9,
                bytesOf(std::vector<int32_t>{1, 1, 1, 1, 1, 1, 3, 3, 3})),
          gguf::texts("tokenizer.ggml.merges", {"b c", "a b"}),
          gguf::u32("tokenizer.ggml.bos_token_id", 6)};
}

TEST(Tokenizer, RanksDecideAndLlama3TakesWholeWords) {
  for (const auto &t : openAndSave(bytePair("gpt-2"))) {
    // bc has the better rank, and no merge makes abc.
    EXPECT_EQ(t->encode("abc"), (Ids{0, 4}));
    EXPECT_EQ(t->encode("ababc"), (Ids{3, 0, 4}));
    EXPECT_EQ(t->encode("bbcc"), (Ids{1, 4, 2}));
  }
  for (const auto &t : openAndSave(bytePair("llama-bpe"))) {
    EXPECT_EQ(t->encode("abc"), (Ids{6, 5}));
    EXPECT_EQ(t->encode("ababc", true, false), (Ids{3, 0, 4}));
    EXPECT_EQ(t->chatTemplate(), ChatTemplate::Llama3);
    EXPECT_TRUE(t->isEndOfGeneration(7));
    EXPECT_FALSE(t->isEndOfGeneration(-1));
    EXPECT_EQ(t->encode("<|eot_id|>a", true, false), (Ids{7, 0}));
    // d and the bytes of the mark are no tokens: left out.
    EXPECT_EQ(t->encode("d<|eot_id|>", false, false), Ids{});
  }
}

// One word of a megabyte: the answer is known, and n² would not end.
TEST(Tokenizer, LongWords) {
  auto t = openAndSave(bytePair("gpt-2")).front();
  std::string text;
  for (int i = 0; i < 400000; ++i)
    text += "ab";
  EXPECT_EQ(t->encode(text), Ids(400000, 3));
  auto sp = openAndSave(sentencePiece).front();
  Ids expected(400000, 9);
  expected[0] = 10;
  EXPECT_EQ(sp->encode(text, true, false), expected);
}

TEST(Tokenizer, ChatForms) {
  EXPECT_EQ(formatChat(ChatTemplate::ChatML, "hi"),
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(formatChat(ChatTemplate::ChatML, "hi", "be kind"),
            "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nhi"
            "<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(formatChat(ChatTemplate::Llama2, "hi"), "[INST] hi [/INST]");
  EXPECT_EQ(formatChat(ChatTemplate::Llama2, "hi", "be kind"),
            "[INST] <<SYS>>\nbe kind\n<</SYS>>\n\nhi [/INST]");
  EXPECT_EQ(formatChat(ChatTemplate::Llama3, "hi"),
            "<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(formatChat(ChatTemplate::None, "hi"), "hi");
}
