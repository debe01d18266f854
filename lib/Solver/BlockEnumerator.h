//===- BlockEnumerator.h - All assignments of one block -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_SOLVER_BLOCKENUMERATOR_H
#define CQ_LIB_SOLVER_BLOCKENUMERATOR_H

#include "FrontKnapsack.h"
#include "RatioModel.h"

namespace mlir::cq {

/// The Pareto front of the assignments of interacting nodes: depth first, the
/// node of most choices innermost, subtrees cut where a known point is no
/// dearer than their cheapest and no worse than their lower bound.
class BlockEnumerator {
public:
  BlockEnumerator(const RatioModel &model, llvm::ArrayRef<unsigned> nodes);

  /// Assignments there are; saturates at 2^63.
  uint64_t size() const { return assignments; }
  Front run();
  /// Choices of the assignment, in the order of the constructor's `nodes`.
  std::vector<unsigned> decode(uint64_t code) const;
  uint64_t visited() const { return leaves; }

private:
  struct Seen;
  void seed(Seen &seen);
  void descend(Seen &seen, unsigned depth, int64_t cost, double value,
               uint64_t code);
  void visitLeaves(Seen &seen, unsigned depth, int64_t cost, double value,
                   uint64_t code);
  double matrixAt(unsigned row, unsigned column) const {
    return matrix[static_cast<size_t>(row) * width + column];
  }

  unsigned depths = 0, width = 0; ///< nodes, and their choices together
  uint64_t assignments = 1, leaves = 0;
  std::vector<unsigned> position; ///< of depth d in the constructor's `nodes`
  std::vector<unsigned> starts;   ///< of depth d among the choices
  std::vector<int64_t> costs;
  std::vector<double> losses;
  std::vector<double> matrix;        ///< [width, width] interactions
  std::vector<int64_t> cheapestRest; ///< of depths ≥ d
  std::vector<double> pairsRest;     ///< least interactions among depths ≥ d
  /// Values of a subtree are summed in another order than its bound: one that
  /// is above a known value by this much may be so by rounding alone.
  double rounding = 0;
  /// [depths, width]: losses plus interactions with what depths < d chose.
  std::vector<double> sums;
};

} // namespace mlir::cq

#endif // CQ_LIB_SOLVER_BLOCKENUMERATOR_H
