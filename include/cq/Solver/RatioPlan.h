//===- RatioPlan.h - From measured losses to a plan ------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SOLVER_RATIOPLAN_H
#define CQ_SOLVER_RATIOPLAN_H

#include "cq/Solver/Measurements.h"
#include "cq/Solver/RatioSolver.h"
#include "cq/Solver/UniformPlan.h"

namespace mlir::cq {

/// A regular expression over weight names and what it sets.
struct ChoiceOverride {
  std::string pattern;
  StorageChoice choice;
};
struct WidthLimit {
  std::string pattern;
  double bits;
  /// "REGEX:BITS"
  static llvm::Expected<WidthLimit> parse(llvm::StringRef text);
};

struct RatioPlanOptions {
  /// What each weight may become; the order does not matter.
  std::vector<StorageChoice> choices;
  /// Embeddings and heads: this, outside of the budget in bits per weight; or
  /// choices like all others, if there is none.
  std::optional<StorageChoice> outer;
  LayoutKind layout = LayoutKind::Panel16;
  std::vector<std::string> keep;
  std::vector<ChoiceOverride> overrides; ///< the first that matches wins
  std::vector<WidthLimit> floors, ceilings;
  bool tieFused = false;    ///< weights of one input share a choice
  bool interactions = true; ///< use the blocks' matrices
  unsigned curvePoints = 0; ///< of PlanDecision::curve
  /// One of the two: bits per weight over the weights that are solved for, or
  /// bytes of everything, `otherBytes` (tensors that are no weights, headers)
  /// included.
  std::optional<double> bitsPerWeight;
  std::optional<int64_t> bytes;
  int64_t otherBytes = 0;
  RatioOptions solver;
  /// Scores by block number for method=scores, larger = more important.
  std::vector<std::pair<int64_t, double>> blockScores;
  /// Score blocks by ZD of the measurement file (smaller = more important).
  bool zdScores = false;
};

/// The first number in a weight's name ("blk.7.attn_v.weight"); −1 without.
int64_t blockNumber(llvm::StringRef weight);

/// The problem behind a plan, to be solved for any budget.
class RatioPlanner {
public:
  /// Errors: patterns that match nothing or do not compile, losses that the
  /// measurements lack, shapes that differ from theirs.
  static llvm::Expected<RatioPlanner> create(llvm::ArrayRef<WeightFacts> facts,
                                             const Measurements &measurements,
                                             const RatioPlanOptions &options);

  const RatioProblem &problem() const { return ratio; }
  /// Bytes that a number of bits per weight means for the problem's budget.
  int64_t budgetFor(double bitsPerWeight) const;
  /// Solves for the options' budget; the plan has a decision record for every
  /// weight, and the curve where options ask for it.
  llvm::Expected<Plan> plan() const;

private:
  RatioPlanner() = default;
  /// Fills plan.entries; returns what one more byte would save.
  double explain(const RatioSolution &solution, Plan &plan) const;
  /// (bits per weight, predicted loss) of exact plans over the reachable range.
  std::vector<std::pair<double, double>> curve(const RatioFronts &fronts) const;

  RatioPlanOptions options;
  std::vector<WeightFacts> facts;
  MeasurementHeader header;
  RatioProblem ratio;
  std::vector<std::vector<StorageChoice>> layerChoices;
  std::vector<unsigned> factOf; ///< layer → weight
  std::vector<PlanEntry> fixed; ///< entries of weights that are not layers
  int64_t solvedWeights = 0, fixedBytes = 0;
};

} // namespace mlir::cq

#endif // CQ_SOLVER_RATIOPLAN_H
