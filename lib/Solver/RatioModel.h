//===- RatioModel.h - A ratio problem as solvers see it ---------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Groups become one node, choices that constraints forbid are gone, and all
// interactions are tables of two nodes.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_SOLVER_RATIOMODEL_H
#define CQ_LIB_SOLVER_RATIOMODEL_H

#include "cq/Solver/RatioProblem.h"

namespace mlir::cq {

/// A layer, or the layers of a group.
struct RatioNode {
  std::vector<unsigned> layers;
  std::vector<unsigned> choices; ///< positions in the layers' lists
  std::vector<int64_t> costs;
  std::vector<double> losses; ///< interactions among `layers` included
};

/// Interactions of nodes a < b: [choices of a, choices of b].
struct RatioPair {
  unsigned a, b;
  std::vector<double> values;
};

struct RatioModel {
  std::vector<RatioNode> nodes;
  std::vector<RatioPair> pairs;
  size_t numLayers = 0;

  /// Of a checked problem. Errors: tables over 2^28 entries.
  static llvm::Expected<RatioModel> build(const RatioProblem &problem);

  /// Sets of nodes that interact, each ascending, by first node.
  std::vector<std::vector<unsigned>> components() const;
  /// Choices of the layers, from those of the nodes.
  std::vector<unsigned> expand(llvm::ArrayRef<unsigned> nodeChoices) const;
  /// Cost and value by the problem's own count.
  RatioSolution finish(const RatioProblem &problem,
                       llvm::ArrayRef<unsigned> nodeChoices) const;
};

} // namespace mlir::cq

#endif // CQ_LIB_SOLVER_RATIOMODEL_H
