//===- Sampler.cpp - From logits to the next token ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Inference/Sampler.h"
#include <algorithm>
#include <cmath>

using namespace mlir::cq;

llvm::Error SamplerOptions::check() const {
  if (!(temperature >= 0) || !std::isfinite(temperature))
    return llvm::createStringError(
        "the temperature must be 0 (greedy) or more");
  if (topK < 0)
    return llvm::createStringError("top-k must be 0 (all tokens) or more");
  if (!(topP > 0) || topP > 1)
    return llvm::createStringError("top-p must be above 0 and at most 1");
  return llvm::Error::success();
}

int32_t mlir::cq::argmax(llvm::ArrayRef<float> values) {
  return static_cast<int32_t>(std::max_element(values.begin(), values.end()) -
                              values.begin());
}

double Sampler::uniform() {
  state += 0x9e3779b97f4a7c15ull;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

int32_t Sampler::next(llvm::ArrayRef<float> logits) {
  if (options.temperature == 0)
    return argmax(logits);

  candidates.clear();
  candidates.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    candidates.emplace_back(logits[i], static_cast<int32_t>(i));
  auto better = [](const auto &a, const auto &b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  size_t keep = candidates.size();
  if (options.topK > 0)
    keep = std::min<size_t>(keep, options.topK);
  if (keep < candidates.size())
    std::partial_sort(candidates.begin(), candidates.begin() + keep,
                      candidates.end(), better);
  else if (options.topP < 1)
    std::sort(candidates.begin(), candidates.end(), better);
  candidates.resize(keep);

  // Weights relative to the largest logit, so that nothing overflows.
  float largest = logits[argmax(logits)];
  double total = 0;
  for (auto &[value, id] : candidates) {
    value = static_cast<float>(
        std::exp((static_cast<double>(value) - largest) / options.temperature));
    total += value;
  }
  if (options.topP < 1) {
    double sum = 0;
    size_t count = 0;
    while (count < candidates.size() && sum < options.topP * total)
      sum += candidates[count++].first;
    candidates.resize(std::max<size_t>(count, 1));
    total = sum;
  }
  double target = uniform() * total;
  for (const auto &[weight, id] : candidates)
    if ((target -= weight) < 0)
      return id;
  return candidates.back().second;
}
