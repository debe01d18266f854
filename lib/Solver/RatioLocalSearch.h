//===- RatioLocalSearch.h - Moves of single choices -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_SOLVER_RATIOLOCALSEARCH_H
#define CQ_LIB_SOLVER_RATIOLOCALSEARCH_H

#include "RatioModel.h"

namespace mlir::cq {

/// One assignment, repaired to a capacity, improved by changing one node or two
/// at a time, and kicked out of local minima. Deterministic.
class RatioLocalSearch {
public:
  explicit RatioLocalSearch(const RatioModel &model);

  /// Starts from these choices, one a node.
  void set(llvm::ArrayRef<unsigned> to);
  llvm::ArrayRef<unsigned> current() const { return choices; }

  /// Cheaper choices, the least harm a byte first, until the capacity holds;
  /// false where even the cheapest are too much.
  bool repair(int64_t capacity);
  /// The best moves of one node, and with `pairs` of two at once, that keep the
  /// capacity, until none helps.
  void improve(int64_t capacity, bool pairs);
  /// From the best answer, some nodes changed at random (a fixed seed),
  /// repaired and improved again; better ones stay.
  void kick(int64_t capacity, std::vector<unsigned> &best);

private:
  void move(unsigned node, unsigned to);
  void spread(unsigned node, unsigned choice, double sign);
  bool moveOne(int64_t capacity);
  bool moveTwo(int64_t capacity);
  double value(llvm::ArrayRef<unsigned> of) const;
  /// Change of the value if the node alone moved.
  double gain(unsigned node, unsigned to) const {
    return sums[starts[node] + to] - sums[starts[node] + choices[node]];
  }
  /// What moves of two nodes add to the sum of their gains.
  double cross(unsigned a, unsigned x, unsigned b, unsigned y) const;

  const RatioModel &model;
  std::vector<unsigned> choices;
  int64_t cost = 0;
  double least = 0; ///< gains below may be rounding, and would go on for ever
  std::vector<size_t> starts = {0};
  std::vector<std::vector<unsigned>> adjacent; ///< pairs of a node
  std::vector<unsigned> between;               ///< pair of two nodes
  std::vector<double> sums; ///< [choices of all nodes]: loss if it alone moved
};

} // namespace mlir::cq

#endif // CQ_LIB_SOLVER_RATIOLOCALSEARCH_H
