//===- RatioPlanProblem.h - From measured losses to a problem -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_SOLVER_RATIOPLANPROBLEM_H
#define CQ_LIB_SOLVER_RATIOPLANPROBLEM_H

#include "cq/Solver/RatioPlan.h"

namespace mlir::cq {

/// The weights of a plan that are to be decided, as the solver knows them, and
/// those that are settled before.
struct RatioPlanProblem {
  RatioProblem problem; ///< without budget and offset
  std::vector<std::vector<StorageChoice>> choices; ///< by layer, as its labels
  std::vector<unsigned> factOf;                    ///< by layer: index of facts
  std::vector<PlanEntry> fixed;                    ///< kept, or outside
};

/// Applies keep, overrides and limits, drops choices that store a weight
/// equally, ties weights that must agree, takes over measured interactions. An
/// error names the weight that lacks a loss and the pattern that matches none.
llvm::Expected<RatioPlanProblem>
buildRatioPlanProblem(llvm::ArrayRef<WeightFacts> facts,
                      const Measurements &measurements,
                      const RatioPlanOptions &options);

} // namespace mlir::cq

#endif // CQ_LIB_SOLVER_RATIOPLANPROBLEM_H
