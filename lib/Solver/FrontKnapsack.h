//===- FrontKnapsack.h - One point of every front -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The multiple-choice knapsack over Pareto fronts: one point of each, least
// value in total, cost within a capacity. Exact; costs are integers.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_SOLVER_FRONTKNAPSACK_H
#define CQ_LIB_SOLVER_FRONTKNAPSACK_H

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace mlir::cq {

/// `code` says which assignment it is.
struct FrontPoint {
  int64_t cost;
  double value;
  uint64_t code;
};

/// Costs ascend, values descend, both strictly.
using Front = std::vector<FrontPoint>;

/// Leaves of any points those that no other dominates; of equal points the one
/// of the smallest code.
void keepFront(std::vector<FrontPoint> &points);

class FrontKnapsack {
public:
  /// Fronts must not be empty.
  explicit FrontKnapsack(std::vector<Front> fronts);

  struct Answer {
    std::vector<uint32_t> points; ///< one of each front
    double value = 0, bound = 0, price = 0;
  };
  /// None if even the cheapest points exceed the capacity. The bound equals
  /// the value unless more than `maxStates` states would have been kept.
  std::optional<Answer> solve(int64_t capacity, size_t maxStates = size_t(1)
                                                                   << 23) const;

  const std::vector<Front> &fronts() const { return allFronts; }
  /// Convex hull of all fronts added up, cheapest first.
  std::vector<std::pair<int64_t, double>> hull() const;

private:
  struct Segment {
    uint32_t front, from, to; ///< neighbours on the front's convex hull
    int64_t cost;             ///< of going from → to
    double drop;
    double slope() const { return drop / static_cast<double>(cost); }
  };
  struct Search;

  std::vector<Front> allFronts;
  std::vector<Segment> segments;    ///< steepest first
  std::vector<int64_t> prefixCosts; ///< of the first i segments
  std::vector<double> prefixDrops;
  int64_t baseCost = 0, unit = 1; ///< unit divides all cost differences
  double baseValue = 0, magnitude = 0;
};

} // namespace mlir::cq

#endif // CQ_LIB_SOLVER_FRONTKNAPSACK_H
