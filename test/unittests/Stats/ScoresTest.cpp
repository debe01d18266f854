//===- ScoresTest.cpp - Heterogeneity, overlap, ZD ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Stats/Scores.h"
#include "SmallStatistics.h"
#include <cmath>

using namespace mlir::cq;
using namespace mlir::cq::test;

TEST(Scores, HeterogeneityByHand) {
  std::vector<float> scores(300, 1);
  EXPECT_EQ(heterogeneityScore(scores), 1);
  scores[7] = 10;
  scores[200] = 4;
  scores[299] = 6;
  scores[50] = 2; // the largest of the other 99 %
  EXPECT_DOUBLE_EQ(heterogeneityScore(scores), (10 + 4 + 6) / 3.0 / 2);
  EXPECT_EQ(heterogeneityScore(std::vector<float>{3, 1}), 3);
  EXPECT_EQ(heterogeneityScore(std::vector<float>{3, 0}), INFINITY);
  EXPECT_EQ(heterogeneityScore(std::vector<float>{0, 0}), 0);
  EXPECT_EQ(heterogeneityScore(std::vector<float>{3}), 0);
  EXPECT_EQ(heterogeneityScore({}), 0);
}

TEST(Scores, TopPositionsBreakTiesToTheLeft) {
  std::vector<float> scores = {1, 5, 3, 5, 3, 3};
  EXPECT_EQ(topPositions(scores, 3), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(topPositions(scores, 99).size(), 6u);
  EXPECT_EQ(topPositions(scores, 0).size(), 0u);
}

TEST(Scores, Overlap) {
  EXPECT_EQ(overlap({1, 4, 9, 12}, {0, 4, 12, 13}), 0.5);
  EXPECT_EQ(overlap({1, 2}, {1, 2}), 1);
  EXPECT_EQ(overlap({1}, {}), 0);
  EXPECT_EQ(overlap({}, {1}), 0);
}

TEST(Scores, ActivationIsWandas) {
  EXPECT_EQ(activationScores({1, -2, 3, 4}, {4, 9}),
            (std::vector<float>{2, 6, 6, 12}));
  EXPECT_EQ(magnitudeScores({-2, 1}), (std::vector<float>{2, 1}));
}

TEST(Scores, ZDByHand) {
  // Mean 0, deviation √(18/6) = 1.732; 3 lies above it.
  std::vector<float> a = {3, -1.5f, -1.5f}, b = {0, 1.5f, -1.5f};
  EXPECT_DOUBLE_EQ(zScoreShare({a, b}), 1.0 / 6);
  EXPECT_DOUBLE_EQ(zScoreShare({a, b}, true), 1.0 / 6);
  a = {3, -3, 0};
  b = {0, 0, 0};
  EXPECT_DOUBLE_EQ(zScoreShare({a, b}), 1.0 / 6);
  EXPECT_DOUBLE_EQ(zScoreShare({a, b}, true), 2.0 / 6);
  EXPECT_EQ(zScoreShare({b}), 0);
  EXPECT_EQ(zScoreShare({}), 0);
}

TEST(Scores, ConditionOfKnownMatrices) {
  // diag(1, 100, 10), and a rotation of diag(1, 9).
  EXPECT_NEAR(conditionNumber({1, 0, 0, 100, 0, 10}, 3), 100, 1);
  EXPECT_NEAR(conditionNumber({5, 4, 5}, 2), 9, 0.1);
  EXPECT_EQ(conditionNumber({1, 1, 1}, 2), INFINITY);
}
