//===- CodecTestUtils.h - Shapes and weights of codec tests -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TEST_CODEC_CODECTESTUTILS_H
#define CQ_TEST_CODEC_CODECTESTUTILS_H

#include "cq/Codec/Quantizer.h"
#include "gtest/gtest.h"
#include <random>

namespace mlir::cq::test {

struct Shape {
  int64_t n, k;
};

/// Everyday shapes, ragged ones, and a few drawn from a fixed seed. Draws use
/// the engine only: distributions differ between standard libraries.
inline std::vector<Shape> shapes() {
  std::vector<Shape> result = {{16, 64},  {5, 172},  {33, 576}, {16, 1536},
                               {17, 100}, {1, 1},    {3, 31},   {31, 257},
                               {2, 384},  {48, 128}, {1, 33}};
  std::mt19937 random(20240);
  for (int i = 0; i < 6; ++i)
    result.push_back({1 + static_cast<int64_t>(random() % 50),
                      1 + static_cast<int64_t>(random() % 700)});
  return result;
}

inline std::vector<Scheme> schemes() {
  std::vector<Scheme> result;
  for (unsigned bits : {2u, 3u, 4u, 5u, 6u, 8u})
    for (int64_t group : {32, 64, 128, 0})
      for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep}) {
        ScaleType type = static_cast<ScaleType>((bits + group / 32) % 3);
        if (grid != Grid::HalfStep || bits <= 4)
          result.push_back({bits, group, grid, type});
      }
  return result;
}

/// Bell-shaped weights of about 0.05, with some outliers, all of one seed.
inline std::vector<float> randomWeights(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> w(count);
  for (float &x : w) {
    float sum = 0;
    for (int i = 0; i < 4; ++i)
      sum += static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f;
    x = sum * 0.1f;
    if (random() % 97 == 0)
      x *= 6;
  }
  return w;
}

inline std::vector<uint8_t> randomCodes(int64_t count, unsigned bits,
                                        unsigned seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> codes(count);
  for (uint8_t &code : codes)
    code = random() & ((1u << bits) - 1);
  return codes;
}

/// The message of a failure; "" of a success.
inline std::string messageOf(llvm::Error error) {
  return llvm::toString(std::move(error));
}
template <typename T> std::string messageOf(llvm::Expected<T> value) {
  return value ? "" : llvm::toString(value.takeError());
}

template <typename T> T valueOf(llvm::Expected<T> value) {
  if (value)
    return std::move(*value);
  ADD_FAILURE() << llvm::toString(value.takeError());
  return T();
}

} // namespace mlir::cq::test

#endif // CQ_TEST_CODEC_CODECTESTUTILS_H
