//===- FrontKnapsack.cpp - One point of every front -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The Lagrangian bound at the slope λ where the greedy walk over all hulls runs
// out of budget leaves, of every front, the points whose reduced cost is below
// the window between bound and incumbent. Dynamic programming over lists of
// undominated (cost, value) states settles them (Nemhauser and Ullmann 1969;
// Pisinger's reduction). Windows grow from narrow to the whole gap: the first
// in which an answer is found contains every better one.
//
//===----------------------------------------------------------------------===//

#include "FrontKnapsack.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>
#include <numeric>

using namespace mlir::cq;

void mlir::cq::keepFront(std::vector<FrontPoint> &points) {
  llvm::sort(points, [](const FrontPoint &a, const FrontPoint &b) {
    return std::tie(a.cost, a.value, a.code) <
           std::tie(b.cost, b.value, b.code);
  });
  size_t kept = 0;
  for (const FrontPoint &point : points)
    if (kept == 0 || point.value < points[kept - 1].value)
      points[kept++] = point;
  points.resize(kept);
}

/// Positions of the lower convex hull of a front.
static std::vector<uint32_t> hullOf(const Front &front) {
  std::vector<uint32_t> hull;
  auto slope = [&](uint32_t a, uint32_t b) {
    return (front[a].value - front[b].value) /
           static_cast<double>(front[b].cost - front[a].cost);
  };
  for (uint32_t i = 0; i < front.size(); ++i) {
    while (hull.size() >= 2 &&
           slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), i))
      hull.pop_back();
    hull.push_back(i);
  }
  return hull;
}

FrontKnapsack::FrontKnapsack(std::vector<Front> fronts)
    : allFronts(std::move(fronts)) {
  int64_t divisor = 0;
  for (auto [index, front] : llvm::enumerate(allFronts)) {
    baseCost += front.front().cost;
    baseValue += front.front().value;
    double largest = 0;
    for (const FrontPoint &point : front) {
      divisor = std::gcd(divisor, point.cost - front.front().cost);
      largest = std::max(largest, std::fabs(point.value));
    }
    magnitude += largest;
    std::vector<uint32_t> hull = hullOf(front);
    for (size_t i = 1; i < hull.size(); ++i) {
      const FrontPoint &from = front[hull[i - 1]], &to = front[hull[i]];
      segments.push_back({static_cast<uint32_t>(index), hull[i - 1], hull[i],
                          to.cost - from.cost, from.value - to.value});
    }
  }
  unit = std::max<int64_t>(divisor, 1);
  // A front's own segments stay in order where slopes are equal.
  llvm::sort(segments, [](const Segment &a, const Segment &b) {
    if (a.slope() != b.slope())
      return a.slope() > b.slope();
    return std::tie(a.front, a.from) < std::tie(b.front, b.from);
  });
  prefixCosts = {0};
  prefixDrops = {0};
  for (const Segment &segment : segments) {
    prefixCosts.push_back(prefixCosts.back() + segment.cost);
    prefixDrops.push_back(prefixDrops.back() + segment.drop);
  }
}

std::vector<std::pair<int64_t, double>> FrontKnapsack::hull() const {
  std::vector<std::pair<int64_t, double>> points;
  for (auto [cost, drop] : llvm::zip_equal(prefixCosts, prefixDrops))
    points.push_back({baseCost + cost, baseValue - drop});
  return points;
}

/// One budget.
struct FrontKnapsack::Search {
  static constexpr int numSlopes = 9;

  const FrontKnapsack &problem;
  int64_t capacity;     ///< beyond the cheapest points, as are all costs here
  double lambda, bound; ///< slope, and Lagrangian bound at it
  double tolerance;     ///< rounding of sums of this size
  std::vector<uint32_t> best;
  double bestValue = 0;

  struct Candidate {
    int64_t cost;
    double value, reduced;
    uint32_t point;
  };
  std::vector<std::vector<Candidate>> candidates; ///< of each front

  struct State {
    int64_t cost;
    double value;
    uint32_t parent, point;
  };

  Search(const FrontKnapsack &problem, int64_t capacity)
      : problem(problem), capacity(capacity) {}

  void setPrice(double slope, double lagrangian) {
    lambda = slope;
    bound = lagrangian;
    tolerance =
        1e-12 * (problem.magnitude + lambda * static_cast<double>(capacity));
  }

  double sum(llvm::ArrayRef<uint32_t> points) const {
    double value = 0;
    for (auto [front, point] : llvm::zip_equal(problem.allFronts, points))
      value += front[point].value;
    return value;
  }

  /// The greedy walk: hull segments in order while they fit, the best single
  /// step of any front with what is left.
  void startFrom(size_t whole) {
    best.assign(problem.allFronts.size(), 0);
    int64_t left = capacity;
    for (auto [index, segment] : llvm::enumerate(problem.segments)) {
      if (segment.cost > left || best[segment.front] != segment.from) {
        if (index > whole + 4096)
          break;
        continue;
      }
      left -= segment.cost;
      best[segment.front] = segment.to;
    }
    for (bool moved = true; moved;) {
      moved = false;
      double gain = 0;
      size_t where = 0, to = 0;
      for (auto [index, front] : llvm::enumerate(problem.allFronts)) {
        int64_t limit = front[best[index]].cost + left;
        auto end = std::upper_bound(
            front.begin(), front.end(), limit,
            [](int64_t cost, const FrontPoint &p) { return cost < p.cost; });
        size_t last = end - front.begin() - 1;
        if (front[best[index]].value - front[last].value > gain) {
          gain = front[best[index]].value - front[last].value;
          where = index;
          to = last;
        }
      }
      if (gain > 0) {
        const Front &front = problem.allFronts[where];
        left -= front[to].cost - front[best[where]].cost;
        best[where] = to;
        moved = true;
      }
    }
    bestValue = sum(best);
  }

  /// Points that an answer better than the incumbent may use.
  void reduce() {
    double gap = bestValue - bound + tolerance;
    for (const Front &front : problem.allFronts) {
      double least = std::numeric_limits<double>::infinity();
      for (const FrontPoint &p : front)
        least = std::min(least, p.value + lambda * (p.cost - front[0].cost));
      std::vector<Candidate> &kept = candidates.emplace_back();
      for (auto [index, p] : llvm::enumerate(front)) {
        int64_t cost = p.cost - front[0].cost;
        double reduced = p.value + lambda * cost - least;
        if (reduced <= gap)
          kept.push_back(
              {cost, p.value, reduced, static_cast<uint32_t>(index)});
      }
    }
  }

  /// All answers of value ≤ target, if there are any, have survived: the best
  /// goes to the incumbent. False: too many states.
  bool explore(double target, size_t maxStates) {
    double window = target - bound + tolerance;
    size_t count = candidates.size();
    std::vector<std::vector<Candidate>> lists(count);
    for (size_t f = 0; f < count; ++f)
      llvm::copy_if(candidates[f], std::back_inserter(lists[f]),
                    [&](const Candidate &c) { return c.reduced <= window; });
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    llvm::sort(order, [&](uint32_t a, uint32_t b) {
      return std::pair(lists[a].size(), a) < std::pair(lists[b].size(), b);
    });

    // What the fronts still to come cost at least, and their Lagrangian
    // minima at slopes around λ.
    static const double factors[numSlopes] = {1,    0.97, 1.03, 0.9, 1.1,
                                              0.75, 1.35, 0.4,  2.5};
    double slopes[numSlopes];
    for (int j = 0; j < numSlopes; ++j)
      slopes[j] = lambda * factors[j];
    std::vector<int64_t> cheapest(count + 1);
    std::vector<std::array<double, numSlopes>> rest(count + 1);
    for (size_t k = count; k-- > 0;) {
      const std::vector<Candidate> &list = lists[order[k]];
      cheapest[k] = cheapest[k + 1] + list.front().cost;
      for (int j = 0; j < numSlopes; ++j) {
        double least = std::numeric_limits<double>::infinity();
        for (const Candidate &c : list)
          least = std::min(least, c.value + slopes[j] * c.cost);
        rest[k][j] = rest[k + 1][j] + least;
      }
    }

    std::vector<std::vector<State>> stages = {{{0, 0, 0, 0}}};
    size_t states = 0;
    for (size_t k = 0; k < count; ++k) {
      std::vector<State> merged, next, shifted;
      for (const Candidate &c : lists[order[k]]) {
        shifted.clear();
        for (auto [index, state] : llvm::enumerate(stages.back())) {
          State s{state.cost + c.cost, state.value + c.value,
                  static_cast<uint32_t>(index), c.point};
          if (s.cost + cheapest[k + 1] > capacity)
            break; // costs ascend
          if (isHopeless(s, rest[k + 1], slopes, target + tolerance))
            continue;
          shifted.push_back(s);
        }
        mergeFronts(merged, shifted, next);
        std::swap(merged, next);
        if (states + merged.size() > maxStates)
          return false;
      }
      states += merged.size();
      if (merged.empty())
        return true; // nothing that good
      stages.push_back(std::move(merged));
    }
    const std::vector<State> &last = stages.back();
    if (last.back().value >= bestValue)
      return true;
    uint32_t position = last.size() - 1;
    for (size_t k = count; k-- > 0;) {
      const State &state = stages[k + 1][position];
      best[order[k]] = state.point;
      position = state.parent;
    }
    bestValue = sum(best);
    return true;
  }

  bool isHopeless(const State &s, const std::array<double, numSlopes> &rest,
                  const double *slopes, double target) const {
    double left = static_cast<double>(s.cost - capacity);
    for (int j = 0; j < numSlopes; ++j)
      if (s.value + slopes[j] * left + rest[j] > target)
        return true;
    return false;
  }

  /// Merges lists of ascending cost, leaving out dominated states.
  static void mergeFronts(llvm::ArrayRef<State> a, llvm::ArrayRef<State> b,
                          std::vector<State> &out) {
    out.clear();
    size_t i = 0, j = 0;
    while (i < a.size() || j < b.size()) {
      bool first =
          j == b.size() ||
          (i < a.size() && (a[i].cost != b[j].cost ? a[i].cost < b[j].cost
                                                   : a[i].value <= b[j].value));
      const State &s = first ? a[i++] : b[j++];
      if (out.empty() || s.value < out.back().value)
        out.push_back(s);
    }
  }
};

std::optional<FrontKnapsack::Answer>
FrontKnapsack::solve(int64_t capacity, size_t maxStates) const {
  if (capacity < baseCost)
    return std::nullopt;
  capacity = (capacity - baseCost) / unit * unit;
  Search search(*this, capacity);
  Answer answer;
  auto whole =
      llvm::upper_bound(prefixCosts, capacity) - prefixCosts.begin() - 1;
  search.startFrom(whole);
  if (static_cast<size_t>(whole) == segments.size() ||
      prefixCosts[whole] == capacity) {
    // The walk ended on hull points of all fronts: nothing is below them.
    // (With equal slopes it may have passed this point by other segments of
    // the same slope, to the same value.)
    answer.points = search.best;
    answer.value = answer.bound = search.bestValue;
    if (static_cast<size_t>(whole) < segments.size())
      answer.price = segments[whole].slope();
    return answer;
  }
  double slope = segments[whole].slope();
  search.setPrice(slope, baseValue - prefixDrops[whole] -
                             slope * (capacity - prefixCosts[whole]));
  search.reduce();
  double proven = search.bound;
  double gap = search.bestValue - search.bound;
  for (double window = gap / 256;; window *= 4) {
    double target = std::min(search.bound + window, search.bestValue);
    bool complete = search.explore(target, maxStates);
    if (!complete)
      break;
    proven = target;
    if (search.bestValue <= target)
      break;
  }
  answer.points = search.best;
  answer.value = search.bestValue;
  answer.bound = std::min(proven, search.bestValue);
  answer.price = search.lambda;
  return answer;
}
