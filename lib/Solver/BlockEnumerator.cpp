//===- BlockEnumerator.cpp - All assignments of one block -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BlockEnumerator.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>
#include <limits>

using namespace mlir::cq;

static constexpr double infinity = std::numeric_limits<double>::infinity();

/// The points found so far, and for each of many cost intervals a value that is
/// reached below it.
struct BlockEnumerator::Seen {
  static constexpr unsigned numBuckets = 8192;
  static constexpr size_t limit = size_t(1) << 18;

  int64_t smallest;
  double perCost;
  /// Least value of points in lower buckets than b.
  std::vector<double> below = std::vector<double>(numBuckets + 1, infinity);
  /// Some good point of the bucket itself.
  std::vector<std::pair<int64_t, double>> inside =
      std::vector<std::pair<int64_t, double>>(
          numBuckets, {std::numeric_limits<int64_t>::max(), infinity});
  std::vector<FrontPoint> points;
  size_t compactAt = limit;

  Seen(int64_t smallest, int64_t largest)
      : smallest(smallest),
        perCost((numBuckets - 1) /
                std::max(1.0, static_cast<double>(largest - smallest))) {}

  /// Ascends with the cost, so that lower buckets mean lower costs.
  unsigned bucket(int64_t cost) const {
    return static_cast<unsigned>(static_cast<double>(cost - smallest) *
                                 perCost);
  }
  bool dominates(int64_t cost, double value) const {
    unsigned b = bucket(cost);
    return below[b] <= value ||
           (inside[b].first <= cost && inside[b].second <= value);
  }
  void add(const FrontPoint &point) {
    points.push_back(point);
    unsigned b = bucket(point.cost);
    if (point.value < inside[b].second ||
        (point.value == inside[b].second && point.cost < inside[b].first))
      inside[b] = {point.cost, point.value};
    for (unsigned i = b + 1; i <= numBuckets && below[i] > point.value; ++i)
      below[i] = point.value;
    if (points.size() >= compactAt) {
      keepFront(points);
      compactAt = points.size() + limit;
    }
  }
};

BlockEnumerator::BlockEnumerator(const RatioModel &model,
                                 llvm::ArrayRef<unsigned> nodes)
    : depths(nodes.size()), position(nodes.size()) {
  for (unsigned i = 0; i < depths; ++i)
    position[i] = i;
  llvm::sort(position, [&](unsigned a, unsigned b) {
    return std::pair(model.nodes[nodes[a]].choices.size(), a) <
           std::pair(model.nodes[nodes[b]].choices.size(), b);
  });
  llvm::DenseMap<unsigned, unsigned> depthOf;
  for (auto [depth, at] : llvm::enumerate(position)) {
    const RatioNode &node = model.nodes[nodes[at]];
    depthOf[nodes[at]] = depth;
    starts.push_back(width);
    width += node.choices.size();
    llvm::append_range(costs, node.costs);
    llvm::append_range(losses, node.losses);
    assignments =
        llvm::SaturatingMultiply<uint64_t>(assignments, node.choices.size());
  }
  assignments = std::min(assignments, uint64_t(1) << 63);
  starts.push_back(width);
  matrix.resize(static_cast<size_t>(width) * width);
  std::vector<std::vector<double>> least(depths, std::vector<double>(depths));
  for (const RatioPair &pair : model.pairs) {
    auto a = depthOf.find(pair.a), b = depthOf.find(pair.b);
    if (a == depthOf.end() || b == depthOf.end())
      continue;
    unsigned rows = starts[a->second + 1] - starts[a->second];
    unsigned columns = starts[b->second + 1] - starts[b->second];
    for (unsigned x = 0; x < rows; ++x)
      for (unsigned y = 0; y < columns; ++y) {
        size_t r = starts[a->second] + x, c = starts[b->second] + y;
        matrix[r * width + c] = matrix[c * width + r] =
            pair.values[x * columns + y];
      }
    least[a->second][b->second] = least[b->second][a->second] =
        *llvm::min_element(pair.values);
  }
  cheapestRest.assign(depths + 1, 0);
  pairsRest.assign(depths + 1, 0);
  for (unsigned d = depths; d-- > 0;) {
    cheapestRest[d] =
        cheapestRest[d + 1] + *std::min_element(costs.begin() + starts[d],
                                                costs.begin() + starts[d + 1]);
    pairsRest[d] = pairsRest[d + 1];
    for (unsigned e = d + 1; e < depths; ++e)
      pairsRest[d] += least[d][e];
  }
  double magnitude = 0;
  for (double x : losses)
    magnitude += std::fabs(x);
  for (const std::vector<double> &row : least)
    for (double x : row)
      magnitude += std::fabs(x);
  rounding = 1e-13 * magnitude;
  sums.resize(static_cast<size_t>(depths) * width);
  llvm::copy(losses, sums.begin());
}

std::vector<unsigned> BlockEnumerator::decode(uint64_t code) const {
  std::vector<unsigned> choices(depths);
  for (unsigned d = depths; d-- > 0;) {
    unsigned count = starts[d + 1] - starts[d];
    choices[position[d]] = code % count;
    code /= count;
  }
  return choices;
}

/// Good points before the search begins: for slopes from cheap to dear, every
/// node takes what is best given the others, until nothing changes.
void BlockEnumerator::seed(Seen &seen) {
  double range = 0, cost = 1;
  for (unsigned d = 0; d < depths; ++d) {
    auto [low, high] = std::minmax_element(losses.begin() + starts[d],
                                           losses.begin() + starts[d + 1]);
    auto [few, many] = std::minmax_element(costs.begin() + starts[d],
                                           costs.begin() + starts[d + 1]);
    range += *high - *low;
    cost += *many - *few;
  }
  double slope = range / cost / 4096;
  std::vector<unsigned> chosen(depths);
  for (int step = 0; step < 48; ++step, slope *= 1.5) {
    for (int round = 0; round < 10; ++round) {
      bool moved = false;
      for (unsigned d = 0; d < depths; ++d) {
        double best = infinity;
        unsigned argument = 0;
        for (unsigned x = starts[d]; x < starts[d + 1]; ++x) {
          double value = losses[x] + slope * costs[x];
          for (unsigned e = 0; e < depths; ++e)
            if (e != d)
              value += matrixAt(x, starts[e] + chosen[e]);
          if (value < best) {
            best = value;
            argument = x - starts[d];
          }
        }
        moved |= chosen[d] != argument;
        chosen[d] = argument;
      }
      if (!moved)
        break;
    }
    // Summed as descend() sums, so that equal assignments compare equal.
    FrontPoint point{0, 0, 0};
    for (unsigned d = 0; d < depths; ++d) {
      unsigned x = starts[d] + chosen[d];
      double sum = losses[x];
      for (unsigned e = 0; e < d; ++e)
        sum += matrixAt(starts[e] + chosen[e], x);
      point.cost += costs[x];
      point.value += sum;
      point.code = point.code * (starts[d + 1] - starts[d]) + chosen[d];
    }
    if (!seen.dominates(point.cost, point.value))
      seen.add(point);
  }
}

void BlockEnumerator::visitLeaves(Seen &seen, unsigned depth, int64_t cost,
                                  double value, uint64_t code) {
  const double *sum = &sums[static_cast<size_t>(depth) * width];
  code *= starts[depth + 1] - starts[depth];
  leaves += starts[depth + 1] - starts[depth];
  for (unsigned x = starts[depth]; x < starts[depth + 1]; ++x, ++code) {
    FrontPoint point{cost + costs[x], value + sum[x], code};
    if (!seen.dominates(point.cost, point.value))
      seen.add(point);
  }
}

void BlockEnumerator::descend(Seen &seen, unsigned depth, int64_t cost,
                              double value, uint64_t code) {
  if (depth + 1 == depths)
    return visitLeaves(seen, depth, cost, value, code);
  const double *sum = &sums[static_cast<size_t>(depth) * width];
  double *next = &sums[static_cast<size_t>(depth + 1) * width];
  code *= starts[depth + 1] - starts[depth];
  for (unsigned x = starts[depth]; x < starts[depth + 1]; ++x, ++code) {
    const double *row = &matrix[static_cast<size_t>(x) * width];
    double childValue = value + sum[x];
    double least = childValue + pairsRest[depth + 1];
    for (unsigned e = depth + 1; e < depths; ++e) {
      double smallest = infinity;
      for (unsigned y = starts[e]; y < starts[e + 1]; ++y) {
        next[y] = sum[y] + row[y];
        smallest = std::min(smallest, next[y]);
      }
      least += smallest;
    }
    int64_t childCost = cost + costs[x];
    if (seen.dominates(childCost + cheapestRest[depth + 1], least - rounding))
      continue;
    descend(seen, depth + 1, childCost, childValue, code);
  }
}

Front BlockEnumerator::run() {
  if (depths == 1) {
    Front points;
    for (auto [x, cost] : llvm::enumerate(costs))
      points.push_back({cost, losses[x], x});
    leaves = points.size();
    keepFront(points);
    return points;
  }
  int64_t smallest = cheapestRest[0], largest = 0;
  for (unsigned d = 0; d < depths; ++d)
    largest += *std::max_element(costs.begin() + starts[d],
                                 costs.begin() + starts[d + 1]);
  Seen seen(smallest, largest);
  seed(seen);
  descend(seen, 0, 0, 0, 0);
  keepFront(seen.points);
  return std::move(seen.points);
}
