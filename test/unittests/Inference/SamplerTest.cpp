//===- SamplerTest.cpp - Draws follow the distribution --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Inference/Sampler.h"
#include "gtest/gtest.h"
#include <cmath>

using namespace mlir::cq;

TEST(SamplerTest, GreedyTakesTheLargestAndTheFirstOfEquals) {
  Sampler sampler({});
  EXPECT_EQ(sampler.next({1.0f, 3.0f, 3.0f, 2.0f}), 1);
}

TEST(SamplerTest, SameSeedSameDraws) {
  SamplerOptions options;
  options.temperature = 1;
  options.seed = 7;
  Sampler a(options), b(options);
  std::vector<float> logits = {0.1f, 0.5f, -1.0f, 2.0f};
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(a.next(logits), b.next(logits));
}

TEST(SamplerTest, FrequenciesFollowTheSoftmax) {
  SamplerOptions options;
  options.temperature = 0.5;
  options.seed = 1;
  Sampler sampler(options);
  std::vector<float> logits = {0.0f, 0.5f, 1.0f};
  double weights[] = {std::exp(0.0), std::exp(1.0), std::exp(2.0)};
  double total = weights[0] + weights[1] + weights[2];
  int counts[3] = {0, 0, 0}, draws = 30000;
  for (int i = 0; i < draws; ++i)
    ++counts[sampler.next(logits)];
  for (int i = 0; i < 3; ++i)
    EXPECT_NEAR(counts[i] / double(draws), weights[i] / total, 0.015);
}

TEST(SamplerTest, TopKAndTopPCutTheTail) {
  SamplerOptions options;
  options.temperature = 1;
  options.topK = 2;
  Sampler topK(options);
  options.topK = 0;
  options.topP = 0.6;
  Sampler topP(options);
  // Probabilities 0.643, 0.236, 0.087, 0.032.
  std::vector<float> logits = {3.0f, 2.0f, 1.0f, 0.0f};
  for (int i = 0; i < 500; ++i) {
    EXPECT_LT(topK.next(logits), 2);
    EXPECT_EQ(topP.next(logits), 0);
  }
}

TEST(SamplerTest, OptionsOutOfRangeAreRefused) {
  for (auto [temperature, topK, topP] :
       {std::tuple(-1.0, 0, 1.0), std::tuple(1.0, -1, 1.0),
        std::tuple(1.0, 0, 0.0), std::tuple(1.0, 0, 1.5),
        std::tuple(double(NAN), 0, 1.0)}) {
    SamplerOptions options;
    options.temperature = temperature;
    options.topK = topK;
    options.topP = topP;
    llvm::Error error = options.check();
    EXPECT_TRUE(static_cast<bool>(error));
    llvm::consumeError(std::move(error));
  }
}
