//===- BenchSolver.cpp - Time to solve ratio problems -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// cq-bench-solver: synthetic models, a line each: time to the fronts, to the
// answers for 32 budgets, worst gap. Losses fall fourfold a bit, times chance;
// blocks interact like changes of an output (Gram matrices of mostly separate
// directions).
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/RatioSolver.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <cmath>
#include <random>

using namespace mlir::cq;

namespace {

struct Case {
  const char *name;
  unsigned blocks, choices;
  bool tied;
  double coherence; ///< how far the changes of one block point the same way
  bool acrossBlocks = false;
};

RatioProblem makeProblem(const Case &shape) {
  std::mt19937_64 random(1);
  auto uniform = [&] { return (random() >> 11) * 0x1p-53; };
  // A Llama block: q, k, v, o, gate, up, down.
  static const int64_t rows[] = {576, 192, 192, 576, 1536, 1536, 576};
  static const int64_t columns[] = {576, 576, 576, 576, 576, 576, 1536};
  const size_t dimension = shape.acrossBlocks ? 2048 : 128;
  RatioProblem problem;
  std::vector<float> all;
  for (unsigned b = 0; b < shape.blocks; ++b) {
    RatioBlock block;
    std::vector<std::vector<double>> changes;
    std::vector<double> common(dimension);
    for (double &x : common)
      x = uniform() - 0.5;
    for (unsigned l = 0; l < 7; ++l) {
      RatioLayer layer;
      layer.name = "blk." + std::to_string(b) + "." + std::to_string(l);
      layer.weights = rows[l] * columns[l];
      double size = std::exp(2 * uniform());
      std::vector<double> own(dimension);
      for (size_t d = 0; d < dimension; ++d)
        own[d] = (1 - shape.coherence) * (uniform() - 0.5) +
                 shape.coherence * common[d];
      for (unsigned c = 0; c < shape.choices; ++c) {
        RatioChoice choice;
        choice.bits = 2 + 6.0 * c / shape.choices;
        choice.label = "c" + std::to_string(c);
        int64_t panels = rows[l] / 16 * static_cast<int64_t>(c) / shape.choices;
        choice.cost = layer.weights * 2 / 8 + panels * 16 * columns[l] * 6 / 8;
        double scale = size * std::exp2(-choice.bits) * (0.9 + 0.2 * uniform());
        std::vector<double> change(dimension);
        for (size_t d = 0; d < dimension; ++d) {
          change[d] = scale * (own[d] + 0.3 * (uniform() - 0.5));
          choice.loss += change[d] * change[d];
        }
        changes.push_back(change);
        layer.choices.push_back(choice);
      }
      block.layers.push_back(problem.layers.size());
      problem.layers.push_back(std::move(layer));
    }
    size_t count = changes.size();
    if (shape.coherence > 0 && !shape.acrossBlocks) {
      block.matrix.resize(count * count);
      for (size_t a = 0; a < count; ++a)
        for (size_t c = 0; c < count; ++c)
          for (size_t d = 0; d < dimension; ++d)
            block.matrix[a * count + c] +=
                a / shape.choices == c / shape.choices
                    ? 0
                    : 2 * changes[a][d] * changes[c][d];
    }
    for (const std::vector<double> &change : changes)
      all.insert(all.end(), change.begin(), change.end());
    if (shape.tied) {
      problem.groups.push_back({7 * b, 7 * b + 1, 7 * b + 2});
      problem.groups.push_back({7 * b + 4, 7 * b + 5});
    }
    problem.blocks.push_back(std::move(block));
  }
  if (shape.acrossBlocks)
    problem.gram =
        RatioGram{static_cast<int64_t>(dimension), 1.0, std::move(all)};
  return problem;
}

double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

void measure(const Case &shape) {
  RatioProblem problem = makeProblem(shape);
  RatioRange range = problem.range();
  auto start = std::chrono::steady_clock::now();
  llvm::outs() << llvm::format("%-44s", shape.name);
  if (shape.acrossBlocks) {
    RatioOptions options;
    options.method = RatioMethod::Bound;
    problem.budget = (range.smallest + range.largest) / 2;
    RatioSolution solution = llvm::cantFail(solveRatios(problem, options));
    llvm::outs() << llvm::format("solved %6.2f s, gap %.2g %%\n",
                                 secondsSince(start),
                                 100 * solution.gap() / solution.value);
    return;
  }
  RatioFronts fronts = llvm::cantFail(RatioFronts::build(problem));
  double build = secondsSince(start), slowest = 0, gap = 0, sum = 0;
  for (int i = 1; i <= 32; ++i) {
    problem.budget = range.smallest + (range.largest - range.smallest) * i / 33;
    start = std::chrono::steady_clock::now();
    RatioSolution solution = llvm::cantFail(fronts.solve(problem.budget));
    double seconds = secondsSince(start);
    llvm::cantFail(problem.verify(solution));
    sum += seconds;
    slowest = std::max(slowest, seconds);
    gap = std::max(gap, solution.gap() / solution.value);
  }
  llvm::outs() << llvm::format(
      "fronts %6.2f s, %7zu points of %.3g assignments; a budget %.1f ms "
      "(slowest %.1f), worst gap %.1g\n",
      build, fronts.points(), static_cast<double>(fronts.assignments()),
      1e3 * sum / 32, 1e3 * slowest, gap);
}

} // namespace

int main(int argc, char **) {
  measure({"32 blocks x 7 layers x 6, separable", 32, 6, false, 0});
  measure({"32 blocks x 7 layers x 6, little coherence", 32, 6, false, 0.2});
  measure({"32 blocks x 7 layers x 6, coherent", 32, 6, false, 0.9});
  measure({"80 blocks x 7 layers x 12, tied", 80, 12, true, 0.5});
  measure({"80 blocks x 7 layers x 12, tied, separable", 80, 12, true, 0});
  measure({"32 blocks x 7 layers x 6, across blocks", 32, 6, false, 0.2, true});
  if (argc > 1) // takes long
    measure({"8 blocks x 7 layers x 12", 8, 12, false, 0.5});
  return 0;
}
