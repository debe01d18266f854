//===- InteractionsTest.cpp - Changes and their products --------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Measure/Interactions.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>

using namespace mlir::cq;

static std::vector<float> draw(std::mt19937 &random, int64_t count,
                               float scale) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float &value : values)
    value = scale * normal(random);
  return values;
}

TEST(InteractionsTest, InnerProductsAtAnyThreadCount) {
  std::mt19937 random(1);
  std::vector<std::vector<float>> changes;
  for (int i = 0; i < 5; ++i)
    changes.push_back(draw(random, 77, 1));
  std::vector<double> products = innerProducts(changes, 1);
  EXPECT_EQ(products, innerProducts(changes, 4));
  for (int a = 0; a < 5; ++a)
    for (int c = 0; c < 5; ++c) {
      double sum = 0;
      for (int i = 0; i < 77; ++i)
        sum += static_cast<double>(changes[a][i]) *
               static_cast<double>(changes[c][i]);
      EXPECT_NEAR(products[a * 5 + c], sum, 1e-9);
    }
  EXPECT_EQ(products[6], squaredNorm(changes[1]));
}

TEST(InteractionsTest, LossesFollowTheNearestProbe) {
  std::vector<double> losses =
      lossesFromProbes({4, 1}, {40, 20}, {8, 4, 1.5, 0.5, 0});
  EXPECT_EQ(losses, (std::vector<double>{80, 40, 30, 10, 0}));
  EXPECT_EQ(lossesFromProbes({0}, {0}, {1}), std::vector<double>{0});
}

namespace {
/// A head, final hidden states, and small changes of them.
struct Predictions {
  static constexpr int64_t words = 60, width = 24, tokens = 10;
  std::mt19937 random{3};
  std::vector<float> head = draw(random, words *width, 0.4f),
                     hidden = draw(random, tokens *width, 1),
                     change = draw(random, tokens *width, 0.01f);

  std::vector<double> probabilities(int64_t t, bool changed) const {
    std::vector<double> p(words);
    double sum = 0;
    for (int64_t v = 0; v < words; ++v) {
      double z = 0;
      for (int64_t d = 0; d < width; ++d)
        z += static_cast<double>(head[v * width + d]) *
             static_cast<double>(hidden[t * width + d] +
                                 (changed ? change[t * width + d] : 0));
      sum += p[v] = std::exp(z);
    }
    for (double &x : p)
      x /= sum;
    return p;
  }
  double divergence() const {
    double sum = 0;
    for (int64_t t = 0; t < tokens; ++t) {
      std::vector<double> p = probabilities(t, false),
                          q = probabilities(t, true);
      for (int64_t v = 0; v < words; ++v)
        sum += p[v] * std::log(p[v] / q[v]) / tokens;
    }
    return sum;
  }
  double estimate(unsigned samples, uint64_t seed) const {
    PredictionMetric metric(head.data(), words, width, samples, seed, 2);
    metric.add(hidden);
    EXPECT_EQ(metric.dimension(), tokens * samples);
    std::vector<float> changed = hidden;
    for (size_t i = 0; i < changed.size(); ++i)
      changed[i] += change[i];
    return squaredNorm(metric.project({changed}));
  }
};
} // namespace

TEST(InteractionsTest, ManySamplesAreTheDivergence) {
  Predictions predictions;
  double exact = predictions.divergence();
  EXPECT_NEAR(predictions.estimate(20000, 0), exact, 0.02 * exact);
}

TEST(InteractionsTest, FewSamplesAreUnbiased) {
  Predictions predictions;
  double exact = predictions.divergence(), sum = 0;
  constexpr int rounds = 400;
  for (int i = 0; i < rounds; ++i)
    sum += predictions.estimate(4, i * 1000);
  EXPECT_NEAR(sum / rounds, exact, 0.05 * exact);
}
