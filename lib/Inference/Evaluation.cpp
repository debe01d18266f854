//===- Evaluation.cpp - Perplexity and KL divergence ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Inference/Evaluation.h"
#include "cq/Inference/Sampler.h"
#include <algorithm>
#include <cassert>
#include <cmath>

using namespace mlir::cq;

std::optional<EvalProtocol> mlir::cq::parseEvalProtocol(llvm::StringRef text) {
  if (text == "full")
    return EvalProtocol::Full;
  if (text == "llama.cpp")
    return EvalProtocol::LlamaCpp;
  return std::nullopt;
}

llvm::StringRef mlir::cq::stringifyEvalProtocol(EvalProtocol protocol) {
  return protocol == EvalProtocol::Full ? "full" : "llama.cpp";
}

int64_t mlir::cq::firstScoredPosition(EvalProtocol protocol, int64_t length) {
  return protocol == EvalProtocol::Full ? 0 : length / 2;
}

/// log Σ exp(logit), relative to the largest so that nothing overflows.
static double logSumExp(llvm::ArrayRef<float> logits) {
  double largest = logits[argmax(logits)];
  double sum = 0;
  for (float value : logits)
    sum += std::exp(static_cast<double>(value) - largest);
  return largest + std::log(sum);
}

PositionScore mlir::cq::scorePosition(llvm::ArrayRef<float> logits,
                                      llvm::ArrayRef<float> reference,
                                      int32_t target) {
  assert(target >= 0 && static_cast<size_t>(target) < logits.size());
  PositionScore score;
  double normalizer = logSumExp(logits);
  score.nll = normalizer - logits[target];
  if (reference.empty())
    return score;

  assert(reference.size() == logits.size());
  double referenceNormalizer = logSumExp(reference);
  score.referenceNll = referenceNormalizer - reference[target];
  double divergence = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    double logP = reference[i] - referenceNormalizer;
    // Below e^-40 a term cannot change the sum of terms of order one.
    if (logP > -40)
      divergence += std::exp(logP) * (logP - (logits[i] - normalizer));
  }
  // Rounding can leave a tiny negative number where both are equal.
  score.divergence = std::max(divergence, 0.0);
  score.deltaP = std::exp(-score.nll) - std::exp(-score.referenceNll);
  score.sameTop = argmax(logits) == argmax(reference);
  return score;
}

/// Mean and standard error of `value(score)`.
template <typename Fn>
static Estimate estimate(llvm::ArrayRef<PositionScore> scores, Fn value) {
  double n = static_cast<double>(scores.size()), sum = 0, squares = 0;
  if (scores.empty())
    return {};
  for (const PositionScore &score : scores)
    sum += value(score);
  double mean = sum / n;
  for (const PositionScore &score : scores)
    squares += (value(score) - mean) * (value(score) - mean);
  return {mean, n > 1 ? std::sqrt(squares / (n - 1) / n) : 0.0};
}

/// The error of exp(mean) to first order.
static Estimate exponential(Estimate mean) {
  double value = std::exp(mean.value);
  return {value, value * mean.error};
}

Estimate Evaluation::perplexity() const {
  return exponential(estimate(scores, [](auto &s) { return s.nll; }));
}

Estimate Evaluation::referencePerplexity() const {
  return exponential(estimate(scores, [](auto &s) { return s.referenceNll; }));
}

Estimate Evaluation::meanDivergence() const {
  return estimate(scores, [](auto &s) { return s.divergence; });
}

double Evaluation::divergenceQuantile(double q) const {
  if (scores.empty())
    return 0;
  std::vector<double> sorted;
  for (const PositionScore &score : scores)
    sorted.push_back(score.divergence);
  size_t index =
      std::min(sorted.size() - 1,
               static_cast<size_t>(q * static_cast<double>(sorted.size())));
  std::nth_element(sorted.begin(), sorted.begin() + index, sorted.end());
  return sorted[index];
}

double Evaluation::rmsDeltaP() const {
  return std::sqrt(
      estimate(scores, [](auto &s) { return s.deltaP * s.deltaP; }).value);
}

double Evaluation::sameTopShare() const {
  return estimate(scores, [](auto &s) { return s.sameTop ? 1.0 : 0.0; }).value;
}
