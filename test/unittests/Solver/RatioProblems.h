//===- RatioProblems.h - Random instances and brute force -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_UNITTESTS_SOLVER_RATIOPROBLEMS_H
#define CQ_UNITTESTS_SOLVER_RATIOPROBLEMS_H

#include "cq/Solver/RatioProblem.h"
#include <cmath>
#include <random>

namespace mlir::cq {

struct RandomProblem {
  unsigned blocks = 2, layersPerBlock = 3, choices = 3;
  double interaction = 0.3; ///< of the losses' size, either sign
  bool ties = false;        ///< small integers everywhere
  bool tied = false;        ///< the first two layers of a block share a choice
  unsigned couplings = 0;
  int64_t gramDimension = 0;
};

inline RatioProblem makeRandom(const RandomProblem &shape, uint64_t seed) {
  std::mt19937_64 random(seed);
  auto uniform = [&] { return (random() >> 11) * 0x1p-53; };
  auto round = [&](double x) { return shape.ties ? std::round(4 * x) : x; };
  RatioProblem problem;
  for (unsigned b = 0; b < shape.blocks; ++b) {
    RatioBlock block;
    size_t size = 0;
    for (unsigned i = 0; i < shape.layersPerBlock; ++i) {
      RatioLayer layer;
      layer.name = "blk." + std::to_string(b) + ".l" + std::to_string(i);
      layer.weights = 1000 + random() % 4000;
      double loss = 1 + uniform();
      for (unsigned c = 0; c < shape.choices; ++c) {
        RatioChoice choice;
        choice.bits = 2 + c;
        choice.label = "b" + std::to_string(2 + c);
        choice.cost = shape.ties ? 2 + c + random() % 2
                                 : layer.weights * (2 + c) / 8 + random() % 100;
        choice.loss = round(loss);
        loss *= 0.2 + 0.7 * uniform();
        layer.choices.push_back(choice);
      }
      block.layers.push_back(problem.layers.size());
      size += layer.choices.size();
      problem.layers.push_back(std::move(layer));
    }
    if (shape.tied && shape.layersPerBlock >= 2)
      problem.groups.push_back({block.layers[0], block.layers[1]});
    if (shape.interaction != 0) {
      block.matrix.resize(size * size);
      for (size_t a = 0; a < size; ++a)
        for (size_t c = 0; c < a; ++c) {
          bool same = a / shape.choices == c / shape.choices;
          double x = round(shape.interaction * (2 * uniform() - 1));
          block.matrix[a * size + c] = block.matrix[c * size + a] =
              same ? 0 : x;
        }
    }
    problem.blocks.push_back(std::move(block));
  }
  unsigned layers = problem.layers.size();
  for (unsigned i = 0; i < shape.couplings; ++i) {
    unsigned a = random() % layers, b = random() % layers;
    if (a / shape.layersPerBlock == b / shape.layersPerBlock)
      continue;
    problem.couplings.push_back(
        {a, static_cast<unsigned>(random() % shape.choices), b,
         static_cast<unsigned>(random() % shape.choices),
         round(uniform() - 0.5)});
  }
  if (shape.gramDimension > 0) {
    problem.gram.emplace();
    problem.gram->dimension = shape.gramDimension;
    problem.gram->scale = 0.25;
    for (size_t i = 0; i < problem.variableOffsets().back(); ++i)
      for (int64_t d = 0; d < shape.gramDimension; ++d)
        problem.gram->vectors.push_back(static_cast<float>(uniform() - 0.3));
  }
  return problem;
}

/// The best value of all assignments within the budget; NaN if none is.
inline double bruteForce(const RatioProblem &problem) {
  std::vector<std::vector<unsigned>> allowed;
  for (unsigned l = 0; l < problem.layers.size(); ++l)
    allowed.push_back(problem.allowed(l));
  std::vector<unsigned> at(problem.layers.size()), choices = at;
  double best = std::nan("");
  while (true) {
    for (size_t l = 0; l < at.size(); ++l)
      choices[l] = allowed[l][at[l]];
    bool good = problem.cost(choices) <= problem.budget - problem.offset;
    for (const std::vector<unsigned> &group : problem.groups)
      for (unsigned layer : group)
        good &= choices[layer] == choices[group.front()];
    if (good) {
      double value = problem.value(choices);
      if (!(best <= value))
        best = value;
    }
    size_t l = 0;
    for (; l < at.size() && ++at[l] == allowed[l].size(); ++l)
      at[l] = 0;
    if (l == at.size())
      return best;
  }
}

} // namespace mlir::cq

#endif // CQ_UNITTESTS_SOLVER_RATIOPROBLEMS_H
