//===- DequantizeTest.cpp - Block types against another program -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Parameters.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"
#include "gtest/gtest.h"
#include <cmath>
#include <cstring>

using namespace mlir::cq;

static std::vector<float> decode(DType type, const std::vector<uint8_t> &bytes,
                                 int64_t count, unsigned threads = 1) {
  ParameterInfo info;
  info.name = "w";
  info.type = type;
  info.shape = {count};
  info.bytes = bytes;
  std::vector<float> values(count);
  llvm::cantFail(ParameterArchive::readAsF32(info, values.data(), threads));
  return values;
}

namespace {
struct BlockCase {
  DType type;
  std::vector<size_t> halves; ///< offsets of f16 in a block
  const char *digest;         ///< first 16 digits of SHA-256 of the values
};
class Blocks : public ::testing::TestWithParam<BlockCase> {};
} // namespace

// 4096 blocks of bytes from a linear congruential generator (all points of the
// code books occur), bit 14 of each f16 cleared (no infinities, no NaN).
// Digests of the values by `gguf.quants.dequantize` of PyPI's gguf 0.19.0
// (NumPy); test/tools/cq/gguf-types.test compares with an installed package.
TEST_P(Blocks, EqualGgufPackage) {
  const BlockCase &c = GetParam();
  size_t size = blockBytes(c.type), blocks = 4096;
  std::vector<uint8_t> bytes(blocks * size);
  uint32_t state = uint32_t(size);
  for (uint8_t &byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = uint8_t(state >> 24);
  }
  for (size_t block = 0; block < blocks; ++block)
    for (size_t offset : c.halves)
      bytes[block * size + offset + 1] &= 0xBF;
  std::vector<float> values =
      decode(c.type, bytes, blocks * blockElements(c.type));
  llvm::ArrayRef<uint8_t> view(reinterpret_cast<uint8_t *>(values.data()),
                               values.size() * sizeof(float));
  EXPECT_EQ(llvm::toHex(llvm::SHA256::hash(view), true).substr(0, 16),
            c.digest);
}

static const BlockCase blockCases[] = {
    {DType::Q4_0, {0}, "81c09396ae32ebaa"},
    {DType::Q4_1, {0, 2}, "bfe524f722185c29"},
    {DType::Q5_0, {0}, "c49c6eeedb221f33"},
    {DType::Q5_1, {0, 2}, "2a019a562680a3cc"},
    {DType::Q8_0, {0}, "d843d66251522a93"},
    {DType::Q2_K, {80, 82}, "505d479e9cef2720"},
    {DType::Q3_K, {108}, "93c5a4cce6c23648"},
    {DType::Q4_K, {0, 2}, "8ae6859f68a8a424"},
    {DType::Q5_K, {0, 2}, "ec74bc079c3bb5ec"},
    {DType::Q6_K, {208}, "1c3b33a12e58e29d"},
    {DType::IQ1_S, {0}, "6c96d9c0823e4aec"},
    {DType::IQ1_M, {54}, "09623cfc3e29cc22"},
    {DType::IQ2_XXS, {0}, "f5fda6ee22f2bf7f"},
    {DType::IQ2_XS, {0}, "a547b63534111e29"},
    {DType::IQ2_S, {0}, "20fd49ab112df936"},
    {DType::IQ3_XXS, {0}, "3627be99865839ef"},
    {DType::IQ3_S, {0}, "fb5333cb4a105ca7"},
    {DType::IQ4_NL, {0}, "a028867a0233de2a"},
    {DType::IQ4_XS, {0}, "e3d5a88bf42ae4d6"},
    {DType::TQ1_0, {52}, "881c50079833c36a"},
    {DType::TQ2_0, {64}, "c1528e2069b10f99"},
    {DType::MXFP4, {}, "ec7490bc1585e0c5"},
    {DType::NVFP4, {}, "ba14dba5b8da217e"}};
INSTANTIATE_TEST_SUITE_P(Dequantize, Blocks, ::testing::ValuesIn(blockCases),
                         [](const auto &info) {
                           return stringifyDType(info.param.type).str();
                         });

// The package has no reader for Q8_K: d f32, 256 codes, 16 sums of codes.
TEST(Dequantize, Q8_K) {
  std::vector<uint8_t> bytes(292, 0);
  float d = 0.375f;
  std::memcpy(bytes.data(), &d, 4);
  for (int j = 0; j < 256; ++j)
    bytes[4 + j] = uint8_t(j);
  std::vector<float> values = decode(DType::Q8_K, bytes, 256);
  for (int j = 0; j < 256; ++j)
    EXPECT_EQ(values[j], 0.375f * float(int8_t(j)));
}

TEST(Dequantize, EveryHalfEqualsItsFormula) {
  std::vector<uint8_t> bytes(2 << 16);
  for (uint32_t half = 0; half < 1 << 16; ++half) {
    bytes[2 * half] = uint8_t(half);
    bytes[2 * half + 1] = uint8_t(half >> 8);
  }
  std::vector<float> values = decode(DType::F16, bytes, 1 << 16);
  for (uint32_t half = 0; half < 1 << 16; ++half) {
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double sign = half >> 15 ? -1 : 1;
    if (exponent == 31 && mantissa != 0) {
      EXPECT_TRUE(std::isnan(values[half])) << half;
      continue;
    }
    double expected = exponent == 31 ? HUGE_VAL
                      : exponent == 0
                          ? std::ldexp(mantissa, -24)
                          : std::ldexp(1024 + mantissa, exponent - 25);
    EXPECT_EQ(double(values[half]), sign * expected) << half;
    EXPECT_EQ(std::signbit(values[half]), half >> 15 == 1) << half;
  }
}

TEST(Dequantize, PlainTypes) {
  EXPECT_EQ(decode(DType::BF16, {0xC0, 0x3F, 0x00, 0xC0}, 2),
            (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(decode(DType::I8, {0xFF, 0x7F}, 2), (std::vector<float>{-1, 127}));
  EXPECT_EQ(decode(DType::U8, {0xFF, 0x7F}, 2), (std::vector<float>{255, 127}));
  EXPECT_EQ(decode(DType::Bool, {0, 2}, 2), (std::vector<float>{0, 1}));
  EXPECT_EQ(decode(DType::I16, {0xFE, 0xFF}, 1), (std::vector<float>{-2}));
  EXPECT_EQ(decode(DType::U16, {0xFE, 0xFF}, 1), (std::vector<float>{65534}));
  EXPECT_EQ(decode(DType::I32, {0xFE, 0xFF, 0xFF, 0xFF}, 1),
            (std::vector<float>{-2}));
  EXPECT_EQ(decode(DType::I64, {5, 0, 0, 0, 0, 0, 0, 0}, 1),
            (std::vector<float>{5}));
  EXPECT_EQ(decode(DType::F64, {0, 0, 0, 0, 0, 0, 0xF8, 0x3F}, 1),
            (std::vector<float>{1.5f}));
}

TEST(Dequantize, AnyNumberOfThreadsAndAnyAddress) {
  // Two and a half pieces, at an odd address.
  int64_t count = (5 << 17) + 32;
  std::vector<uint8_t> bytes(count / 32 * 34 + 1);
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = uint8_t(i * 37 >> 3) & 0x3F;
  ParameterInfo info;
  info.type = DType::Q8_0;
  info.shape = {count / 32, 32};
  info.bytes = llvm::ArrayRef(bytes).drop_front();
  std::vector<float> one(count), many(count);
  llvm::cantFail(ParameterArchive::readAsF32(info, one.data(), 1));
  llvm::cantFail(ParameterArchive::readAsF32(info, many.data(), 3));
  EXPECT_EQ(one, many);
  info.shape = {count / 32 + 1, 32};
  EXPECT_TRUE(llvm::errorToBool(ParameterArchive::readAsF32(info, one.data())));
}
