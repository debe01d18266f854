//===- MaximaTest.cpp - Generated maxima of rows against std::fmax --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/CompiledModule.h"
#include "llvm/Support/FormatVariadic.h"
#include "gtest/gtest.h"
#include <cmath>
#include <limits>
#include <random>

using namespace mlir::cq;

namespace {
constexpr int64_t kRows = 3;
const std::vector<int64_t> kLengths = {1, 7, 31, 32, 63, 64, 65, 200};

/// y[i] = maxnum(y[i], x[i, 0], x[i, 1] …) for rows of every length.
std::string source() {
  std::string text;
  for (int64_t length : kLengths)
    text += llvm::formatv(
        "func.func @m{0}(%x: tensor<{1}x{0}xf32>, %y: tensor<{1}xf32>) -> "
        "tensor<{1}xf32> {{\n"
        "%r = linalg.generic {{indexing_maps = [affine_map<(i, k) -> (i, k)>, "
        "affine_map<(i, k) -> (i)>], iterator_types = [\"parallel\", "
        "\"reduction\"]} ins(%x : tensor<{1}x{0}xf32>) outs(%y : "
        "tensor<{1}xf32>) {{\n"
        "^bb0(%a: f32, %s: f32):\n%m = arith.maxnumf %s, %a : f32\n"
        "linalg.yield %m : f32\n} -> tensor<{1}xf32>\n"
        "return %r : tensor<{1}xf32>\n}\n",
        length, kRows);
  return text;
}

TEST(Maxima, OfRows) {
  ExecutionOptions options;
  options.useCache = false;
  auto module = CompiledModule::compileSource(source(), "maxima", options);
  ASSERT_TRUE(static_cast<bool>(module)) << llvm::toString(module.takeError());
  std::mt19937 random(5);
  std::uniform_real_distribution<float> values(-4, 4);
  for (int64_t length : kLengths) {
    auto function = (*module)->get<void(void **, float *, float *)>(
        "m" + std::to_string(length));
    ASSERT_TRUE(static_cast<bool>(function))
        << llvm::toString(function.takeError());
    // Each element in turn is the largest, or NaN, which maxnum passes over.
    for (int64_t at = 0; at < length; ++at)
      for (float special : {5.0f, std::numeric_limits<float>::quiet_NaN()}) {
        // What lies behind the last row is larger and counts nowhere.
        std::vector<float> x(kRows * length + 256, 100.0f), y, expected;
        for (int64_t i = 0; i < kRows * length; ++i)
          x[i] = i % length == at ? special : values(random);
        y = expected = {-std::numeric_limits<float>::infinity(), 1.0f, 50.0f};
        for (int64_t i = 0; i < kRows * length; ++i)
          expected[i / length] = std::fmax(expected[i / length], x[i]);
        (*function)(nullptr, x.data(), y.data());
        for (int64_t i = 0; i < kRows; ++i)
          ASSERT_TRUE(y[i] == expected[i])
              << y[i] << " for " << expected[i] << " of row " << i << ", "
              << length << " long, special at " << at;
      }
  }
}
} // namespace
