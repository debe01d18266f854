//===- RopeFrequenciesTest.cpp - Angles of rotary embeddings --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestModels.h"
#include "gtest/gtest.h"
#include <cmath>

using namespace mlir::cq;
using namespace mlir::cq::test;

TEST(RopeFrequencies, PowersOfTheBase) {
  auto frequencies = ropeFrequencies(storiesConfig());
  ASSERT_EQ(frequencies.size(), 4u);
  EXPECT_EQ(frequencies[0], 1.0f);
  EXPECT_EQ(frequencies[1], 0.1f);
  EXPECT_EQ(frequencies[2], 0.01f);
  EXPECT_EQ(frequencies[3], 0.001f);
}

// Llama 3.2 1B: base 500000, head 64, factor 32, 1 and 4 of 8192 positions.
TEST(RopeFrequencies, ThreeRangesOfLlama3) {
  ModelConfig config = smolConfig();
  config.ropeBase = 500000;
  auto plain = ropeFrequencies(config);
  config.ropeFactors =
      ropeFactorsOf(RopeScaling{32, 1, 4, 8192}, config.ropeBase, 64);
  auto scaled = ropeFrequencies(config);
  ASSERT_EQ(scaled.size(), 32u);
  for (size_t i = 0; i < 32; ++i) {
    double turns = 8192 * plain[i] / (2 * M_PI);
    if (turns > 4)
      EXPECT_EQ(scaled[i], plain[i]) << i;
    else if (turns < 1)
      EXPECT_FLOAT_EQ(scaled[i], plain[i] / 32) << i;
    else
      EXPECT_TRUE(scaled[i] < plain[i] && scaled[i] > plain[i] / 32) << i;
  }
  // Pair 16: 8192 · 500000^-0.5 / 2π = 1.843848 turns, smooth 0.281283.
  EXPECT_NEAR(scaled[16],
              0.281283 / std::sqrt(5e5) + 0.718717 / 32 / std::sqrt(5e5), 1e-8);
}
