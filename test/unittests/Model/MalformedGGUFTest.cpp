//===- MalformedGGUFTest.cpp - Damaged and hostile GGUF files -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Malformed.h"
#include "cq/Model/GGUF.h"

using namespace mlir::cq;
using namespace mlir::cq::test;
using namespace mlir::cq::test::gguf;

static std::string oneTensor(const std::string &description,
                             const std::string &data = std::string(64, '\0')) {
  return file(1, 0, "", description, data);
}
static std::string onePair(const std::string &pair) {
  return file(0, 1, pair, "");
}

// A tensor of 4 floats and the rest of the header around it.
static const std::string good = tensor("a", {4}, 0, 0);
static constexpr uint64_t huge = uint64_t(1) << 63;

static const std::vector<MalformedFile> table = {
    {"wrong magic", "GGML" + bytesOf<uint32_t>(3), "neither GGUF"},
    {"only the magic", "GGUF", "ends inside its header"},
    {"no counts", "GGUF" + bytesOf<uint32_t>(3), "ends inside its header"},
    {"version 1", file(0, 0, "", "", "", 1), "GGUF version 1"},
    {"version 4", file(0, 0, "", "", "", 4), "GGUF version 4"},
    {"big-endian", file(0, 0, "", "", "", 0x03000000), "big-endian"},
    {"10^9 tensors", file(1000000000, 0, "", good),
     "claims 1000000000 tensors"},
    {"2^64 - 1 tensors", file(~0ull, 0, "", good), "more than its bytes"},
    {"10^9 pairs", file(0, 1000000000, u32("a", 1), ""),
     "claims 1000000000 metadata pairs"},
    {"2^64 - 1 pairs", file(0, ~0ull, u32("a", 1), ""), "more than its bytes"},

    {"key length past the end", onePair(bytesOf(huge) + std::string(40, 'k')),
     "ends inside the key"},
    {"key length overflows", onePair(bytesOf(~0ull) + std::string(40, 'k')),
     "ends inside the key"},
    {"empty key", onePair(pair("", U32, bytesOf(1))), "empty key"},
    {"string past the end", onePair(pair("k", String, bytesOf(~0ull - 7))),
     "ends inside the metadata value 'k'"},
    {"unknown value type", onePair(pair("k", 13, bytesOf(1))), "unknown type"},
    {"array count past the end",
     onePair(pair("k", Array, bytesOf<uint32_t>(U32) + bytesOf(huge))),
     "ends inside the metadata value"},
    {"array bytes overflow",
     onePair(pair("k", Array, bytesOf<uint32_t>(U64) + bytesOf(huge >> 1))),
     "ends inside the metadata value"},
    {"10^12 strings",
     onePair(
         pair("k", Array,
              bytesOf<uint32_t>(String) + bytesOf<uint64_t>(1000000000000))),
     "ends inside the metadata value"},
    {"string in array past the end",
     onePair(pair("k", Array,
                  bytesOf<uint32_t>(String) + bytesOf<uint64_t>(1) +
                      bytesOf(~0ull))),
     "ends inside the metadata value"},
    {"array of arrays",
     onePair(pair("k", Array, bytesOf<uint32_t>(Array) + bytesOf<uint64_t>(1))),
     "array of arrays"},
    {"array of unknown type",
     onePair(pair("k", Array, bytesOf<uint32_t>(99) + bytesOf<uint64_t>(1))),
     "array of an unknown type"},
    {"key twice", file(0, 2, u32("k", 1) + u32("k", 2), ""), "appears twice"},
    {"alignment 0", file(0, 1, u32("general.alignment", 0), ""),
     "no power of two"},
    {"alignment 48", file(0, 1, u32("general.alignment", 48), ""),
     "no power of two"},
    {"alignment 2^31", file(0, 1, u32("general.alignment", 1u << 31), ""),
     "no power of two"},
    {"alignment is text", file(0, 1, text("general.alignment", "x"), ""),
     "not an integer"},

    {"tensor name past the end",
     oneTensor(bytesOf(huge) + std::string(40, 'n')),
     "description of tensor 0"},
    {"tensor without name", oneTensor(tensor("", {4, 1}, 0, 0)), "has no name"},
    {"tensor without dimensions", oneTensor(tensor("a", {}, 0, 0) + good),
     "0 dimensions"},
    {"tensor with 5 dimensions", oneTensor(tensor("a", {1, 1, 1, 1, 1}, 0, 0)),
     "5 dimensions"},
    {"10^9 dimensions",
     oneTensor(str("a") + bytesOf<uint32_t>(1000000000) + std::string(64, 1)),
     "1000000000 dimensions"},
    {"zero extent", oneTensor(tensor("a", {4, 0}, 0, 0)), "not all positive"},
    {"extent 2^63", oneTensor(tensor("a", {huge}, 0, 0)), "extent of"},
    {"product overflows",
     oneTensor(tensor("a", {1ull << 32, 1ull << 32, 1ull << 32}, 0, 0)),
     "product is too large"},
    {"bytes overflow", oneTensor(tensor("a", {1ull << 61}, 0, 0)),
     "past the end"},
    {"larger than the file", oneTensor(tensor("a", {17}, 0, 0)),
     "past the end"},
    {"offset past the end", oneTensor(tensor("a", {4}, 0, 96)), "past the end"},
    {"offset overflows", oneTensor(tensor("a", {4}, 0, ~0ull - 31)),
     "past the end"},
    {"offset not aligned", oneTensor(tensor("a", {4}, 0, 8)),
     "no multiple of the alignment"},
    {"ggml type of Q8_1", oneTensor(tensor("a", {256}, 9, 0)), "ggml type 9"},
    {"removed ggml type", oneTensor(tensor("a", {32}, 4, 0)), "ggml type 4"},
    {"unknown ggml type", oneTensor(tensor("a", {4}, 1000, 0)),
     "ggml type 1000"},
    {"row is no whole number of blocks", oneTensor(tensor("a", {40}, 8, 0)),
     "no whole number of Q8_0 blocks"},
    {"same tensor twice",
     file(2, 0, "", good + tensor("a", {4}, 0, 32), std::string(64, '\0')),
     "appears twice"},
    {"overlapping tensors",
     file(2, 0, "", tensor("a", {16}, 0, 0) + tensor("b", {4}, 0, 32),
          std::string(64, '\0')),
     "share bytes"},
    {"equal offsets",
     file(2, 0, "", good + tensor("b", {4}, 0, 0), std::string(64, '\0')),
     "share bytes"},
};

INSTANTIATE_TEST_SUITE_P(GGUF, MalformedArchive, ::testing::ValuesIn(table),
                         nameOfMalformed);

TEST(GGUF, TypedLookups) {
  TemporaryFolder folder;
  std::string values = pair("i8", I8, std::string(1, '\xFE')) +
                       pair("u64", U64, bytesOf(~0ull)) + u32("u32", 7) +
                       f32("f32", 0.5f) +
                       pair("bool", Bool, std::string(1, 1)) +
                       text("text", "hello") + texts("texts", {"a", "", "bc"}) +
                       pair("ints", Array,
                            bytesOf<uint32_t>(I16) + bytesOf<uint64_t>(2) +
                                bytesOf(std::vector<int16_t>{-1, 2}));
  std::string path = folder.write("f.gguf", file(0, 8, values, ""));
  auto gguf = llvm::cantFail(GGUFFile::open(path));
  int64_t integer = -7;
  double number = 0;
  bool flag = false;
  llvm::StringRef string;
  std::vector<llvm::StringRef> strings;
  std::vector<int64_t> integers;
  EXPECT_FALSE(llvm::errorToBool(gguf->read("absent", integer)));
  EXPECT_EQ(integer, -7);
  EXPECT_TRUE(llvm::errorToBool(gguf->read("absent", integer, true)));
  EXPECT_FALSE(llvm::errorToBool(gguf->read("i8", integer)));
  EXPECT_EQ(integer, -2);
  EXPECT_TRUE(llvm::errorToBool(gguf->read("u64", integer)));
  EXPECT_TRUE(llvm::errorToBool(gguf->read("f32", integer)));
  EXPECT_FALSE(llvm::errorToBool(gguf->read("f32", number)));
  EXPECT_EQ(number, 0.5);
  EXPECT_FALSE(llvm::errorToBool(gguf->read("u32", number)));
  EXPECT_EQ(number, 7);
  EXPECT_FALSE(llvm::errorToBool(gguf->read("bool", flag)));
  EXPECT_TRUE(flag);
  EXPECT_TRUE(llvm::errorToBool(gguf->read("u32", flag)));
  EXPECT_FALSE(llvm::errorToBool(gguf->read("text", string)));
  EXPECT_EQ(string, "hello");
  EXPECT_EQ(gguf->metadata("text"), "hello");
  EXPECT_TRUE(llvm::errorToBool(gguf->read("texts", string)));
  EXPECT_FALSE(llvm::errorToBool(gguf->read("texts", strings)));
  EXPECT_EQ(strings, (std::vector<llvm::StringRef>{"a", "", "bc"}));
  EXPECT_TRUE(llvm::errorToBool(gguf->read("ints", strings)));
  EXPECT_FALSE(llvm::errorToBool(gguf->read("ints", integers)));
  EXPECT_EQ(integers, (std::vector<int64_t>{-1, 2}));
}

TEST(GGUF, Version2AndAlignment) {
  TemporaryFolder folder;
  std::string bytes = "GGUF" + bytesOf<uint32_t>(2) + bytesOf<uint64_t>(1) +
                      bytesOf<uint64_t>(1) + u32("general.alignment", 128) +
                      tensor("a", {2, 3}, 25, 128);
  bytes.resize((bytes.size() + 127) / 128 * 128 + 128);
  bytes += bytesOf(std::vector<int16_t>{1, 2, 3, 4, 5, -6});
  auto archive =
      llvm::cantFail(ParameterArchive::open(folder.write("f", bytes)));
  const ParameterInfo *info = archive->find("a");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->shape, (llvm::SmallVector<int64_t, 4>{3, 2}));
  float values[6];
  llvm::cantFail(ParameterArchive::readAsF32(*info, values));
  EXPECT_EQ(values[5], -6);
}
