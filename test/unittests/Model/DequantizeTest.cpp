//===- DequantizeTest.cpp - Block types against another program -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Parameters.h"
#include "llvm/ADT/bit.h"
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
  std::vector<std::pair<size_t, uint16_t>>
      scales;                   ///< f16 of block 0 at offsets
  std::vector<uint16_t> second; ///< the same in block 1
  std::vector<std::pair<size_t, uint32_t>> values; ///< bits at indices
  double sum, weighted;
};
class Blocks : public ::testing::TestWithParam<BlockCase> {};
} // namespace

// Two blocks of bytes from a linear congruential generator with set scales;
// values by `gguf.quants.dequantize` of the package gguf (NumPy).
TEST_P(Blocks, EqualGgufPackage) {
  const BlockCase &c = GetParam();
  size_t size = blockBytes(c.type);
  std::vector<uint8_t> bytes(2 * size);
  uint32_t state = uint32_t(size);
  for (uint8_t &byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = uint8_t(state >> 24);
  }
  for (size_t i = 0; i < c.scales.size(); ++i) {
    std::memcpy(&bytes[c.scales[i].first], &c.scales[i].second, 2);
    std::memcpy(&bytes[size + c.scales[i].first], &c.second[i], 2);
  }
  std::vector<float> values = decode(c.type, bytes, 2 * blockElements(c.type));
  for (auto [index, bits] : c.values)
    EXPECT_EQ(llvm::bit_cast<uint32_t>(values[index]), bits) << index;
  double sum = 0, weighted = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += values[i];
    weighted += double(values[i]) * double(i + 1);
  }
  EXPECT_NEAR(sum, c.sum, 1e-9 * std::abs(c.sum));
  EXPECT_NEAR(weighted, c.weighted, 1e-9 * std::abs(c.weighted));
}

INSTANTIATE_TEST_SUITE_P(Dequantize, Blocks,
                         ::testing::Values(BlockCase{DType::Q8_0,
                                                     {{0, 0x2800}},
                                                     {0x2c00},
                                                     {{0, 0x3f480000},
                                                      {1, 0xbf180000},
                                                      {11, 0x3ffc0000},
                                                      {21, 0xc0220000},
                                                      {31, 0xbd800000},
                                                      {32, 0xc08a0000},
                                                      {53, 0xc0a60000},
                                                      {47, 0x40c80000},
                                                      {63, 0xc0ce0000}},
                                                     -62.625,
                                                     -2688.84375},
                                           BlockCase{DType::Q4_0,
                                                     {{0, 0xb5ec}},
                                                     {0xb9ec},
                                                     {{0, 0x3fbd8000},
                                                      {1, 0x3f8e2000},
                                                      {11, 0x3fbd8000},
                                                      {21, 0x400e2000},
                                                      {31, 0xbebd8000},
                                                      {32, 0x3fbd8000},
                                                      {53, 0x406ce000},
                                                      {47, 0xc03d8000},
                                                      {63, 0x406ce000}},
                                                     47.0048828125,
                                                     1396.4521484375},
                                           BlockCase{DType::Q4_1,
                                                     {{0, 0x32b8}, {2, 0xbe00}},
                                                     {0x36b8, 0xc200},
                                                     {{0, 0xbe760000},
                                                      {1, 0xbf5ec000},
                                                      {11, 0xbe760000},
                                                      {21, 0x3f4f4000},
                                                      {31, 0xbe760000},
                                                      {32, 0x40028000},
                                                      {53, 0xbd780000},
                                                      {47, 0x40384000},
                                                      {63, 0xbd780000}},
                                                     23.3388671875,
                                                     781.9609375},
                                           BlockCase{DType::Q4_K,
                                                     {{0, 0x21a2}, {2, 0x2981}},
                                                     {0x25a2, 0x2d81},
                                                     {{0, 0x3f3aa800},
                                                      {1, 0xbe041800},
                                                      {67, 0x40263f40},
                                                      {133, 0xbdfd4000},
                                                      {255, 0x408a7d60},
                                                      {256, 0x3fc47900},
                                                      {426, 0x4095cb80},
                                                      {495, 0x40467000},
                                                      {511, 0x40467000}},
                                                     569.7149200439453,
                                                     202957.36448669434},
                                           BlockCase{DType::Q6_K,
                                                     {{208, 0x9f45}},
                                                     {0xa345},
                                                     {{0, 0x4104e568},
                                                      {1, 0xc12855c8},
                                                      {67, 0x40a561c0},
                                                      {133, 0xc02e7800},
                                                      {255, 0x40fea928},
                                                      {256, 0xc1d4a240},
                                                      {426, 0xc0dea120},
                                                      {495, 0x3fd844c0},
                                                      {511, 0x405be740}},
                                                     -258.48720932006836,
                                                     -72432.7361793518}),
                         [](const auto &info) {
                           return stringifyDType(info.param.type).str();
                         });

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
