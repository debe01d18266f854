//===- EvaluationTest.cpp - Scores against closed forms -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Inference/Evaluation.h"
#include "gtest/gtest.h"
#include <cmath>

using namespace mlir::cq;

TEST(EvaluationTest, UniformLogitsHaveThePerplexityOfTheVocabulary) {
  std::vector<float> logits(50, 3.0f);
  Evaluation evaluation;
  for (int i = 0; i < 4; ++i)
    evaluation.add(scorePosition(logits, {}, i));
  EXPECT_NEAR(evaluation.perplexity().value, 50.0, 1e-9);
  EXPECT_NEAR(evaluation.perplexity().error, 0.0, 1e-9);
}

TEST(EvaluationTest, DivergenceIsZeroOnlyForEqualDistributions) {
  std::vector<float> p = {1.0f, 2.0f, -3.0f, 0.5f};
  std::vector<float> shifted = p;
  for (float &value : shifted)
    value += 100; // a constant changes no probability
  EXPECT_NEAR(scorePosition(shifted, p, 0).divergence, 0.0, 1e-6);
  std::vector<float> other = {2.0f, 1.0f, -3.0f, 0.5f};
  EXPECT_GT(scorePosition(other, p, 0).divergence, 0.1);
}

TEST(EvaluationTest, DivergenceOfTwoCoins) {
  // KL(Bernoulli(a) ‖ Bernoulli(b)) in closed form.
  double a = 0.8, b = 0.3;
  std::vector<float> reference = {static_cast<float>(std::log(a)),
                                  static_cast<float>(std::log(1 - a))};
  std::vector<float> model = {static_cast<float>(std::log(b)),
                              static_cast<float>(std::log(1 - b))};
  PositionScore score = scorePosition(model, reference, 1);
  EXPECT_NEAR(score.divergence,
              a * std::log(a / b) + (1 - a) * std::log((1 - a) / (1 - b)),
              1e-6);
  EXPECT_NEAR(score.deltaP, (1 - b) - (1 - a), 1e-6);
  EXPECT_NEAR(score.nll, -std::log(1 - b), 1e-6);
  EXPECT_FALSE(score.sameTop);
}

TEST(EvaluationTest, HugeLogitsDoNotOverflow) {
  std::vector<float> logits = {1e4f, -1e4f, 0.0f};
  PositionScore score = scorePosition(logits, logits, 0);
  EXPECT_NEAR(score.nll, 0.0, 1e-9);
  EXPECT_NEAR(score.divergence, 0.0, 1e-9);
}

TEST(EvaluationTest, StandardErrorIsThatOfTheMean) {
  Evaluation evaluation;
  for (double nll : {1.0, 2.0, 3.0, 4.0}) {
    PositionScore score;
    score.nll = nll;
    evaluation.add(score);
  }
  Estimate perplexity = evaluation.perplexity();
  EXPECT_NEAR(perplexity.value, std::exp(2.5), 1e-9);
  EXPECT_NEAR(perplexity.error, std::exp(2.5) * std::sqrt(5.0 / 3 / 4), 1e-9);
}

TEST(EvaluationTest, LlamaCppScoresTheSecondHalf) {
  EXPECT_EQ(firstScoredPosition(EvalProtocol::LlamaCpp, 512), 256);
  EXPECT_EQ(firstScoredPosition(EvalProtocol::Full, 512), 0);
  EXPECT_FALSE(parseEvalProtocol("half").has_value());
}
