//===- RatioSolver.h - Exact and heuristic answers --------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// All solvers are deterministic at any thread count. Errors: check() and
// checkBudget() of the problem.
//
//   exact   Block diagonal M: every block's assignments are enumerated once
//           (bounds cut subtrees), the Pareto front of (cost, value) is kept;
//           a budget then is a multiple-choice knapsack over the fronts: the
//           Lagrangian bound leaves of every front the points near its slope,
//           dynamic programming over (cost, value) lists settles them.
//   bound   Any M: a dual bound (messages of the pairs to their layers, the
//           local-polytope relaxation, at the best price of a byte), repaired
//           to feasible answers and improved by moves of one and two layers.
//   others  Baselines; they may miss the optimum and prove nothing.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SOLVER_RATIOSOLVER_H
#define CQ_SOLVER_RATIOSOLVER_H

#include "cq/Solver/RatioProblem.h"
#include <memory>

namespace mlir::cq {

/// The Pareto fronts of all blocks of a block-diagonal problem, kept so that a
/// new budget costs milliseconds.
class RatioFronts {
public:
  /// Errors: check(); a block with too many assignments (2^32) to enumerate;
  /// couplings between blocks.
  static llvm::Expected<RatioFronts> build(const RatioProblem &problem,
                                           unsigned threads = 0);
  RatioFronts(RatioFronts &&);
  RatioFronts &operator=(RatioFronts &&);
  ~RatioFronts();

  /// The optimum for a budget (offset as in the problem).
  llvm::Expected<RatioSolution> solve(int64_t budget) const;
  /// Points on all fronts together, and assignments that were looked at.
  size_t points() const;
  uint64_t assignments() const;
  /// The whole problem's lower convex hull as (cost, value), cheapest first:
  /// between two of its points no answer lies below their connecting line.
  std::vector<std::pair<int64_t, double>> hull() const;

private:
  struct Impl;
  explicit RatioFronts(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

enum class RatioMethod : uint8_t {
  Exact,   ///< falls back to Bound where blocks couple or are too large
  Bound,   ///< dual bound and repair
  Greedy,  ///< most loss saved a byte, one step after another
  Uniform, ///< one label for all layers: the one of least value that fits
  Scores,  ///< two levels by RatioOptions::scores, largest first (LIM, ZD)
  Index,   ///< two levels, first blocks first
  Reverse, ///< two levels, last blocks first
  Random,  ///< two levels, order drawn from the seed
};
llvm::StringRef stringifyRatioMethod(RatioMethod method);
std::optional<RatioMethod> parseRatioMethod(llvm::StringRef text);

struct RatioOptions {
  RatioMethod method = RatioMethod::Exact;
  unsigned threads = 0;
  uint64_t seed = 0; ///< Random
  /// Scores: one for each entry of RatioProblem::blocks, larger = more
  /// important. Layers in no block take the low choice.
  std::vector<double> scores;
  /// The labels of the two levels. Empty: the two neighbours, among the labels
  /// that all layers know, between which the budget lies.
  std::string low, high;
};

llvm::Expected<RatioSolution> solveRatios(const RatioProblem &problem,
                                          const RatioOptions &options = {});

} // namespace mlir::cq

#endif // CQ_SOLVER_RATIOSOLVER_H
