//===- RatioBounds.cpp - Bound and repair for any M -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For any price λ ≥ 0 of a byte and any messages m of a pair to its nodes,
//
//   Σ_i min_x [loss_i(x) + λ cost_i(x) + Σ_j m_ji(x)]
//     + Σ_ij min_xy [M_ij(x, y) − m_ji(x) − m_ij(y)] − λ capacity
//
// is not above the value of any feasible answer. Messages move by block
// coordinate ascent (max-product linear programming: Globerson and Jaakkola
// 2007), which never lowers it; λ by bisection on the cost of the minimising
// choices. Every round's minimising choices are repaired to the budget and
// improved by local moves: the best of them is the answer.
//
//===----------------------------------------------------------------------===//

#include "RatioBounds.h"
#include "BlockEnumerator.h"
#include "RatioLocalSearch.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>

using namespace mlir::cq;

static constexpr double infinity = std::numeric_limits<double>::infinity();

namespace {

class DualBound {
public:
  explicit DualBound(const RatioModel &model) : model(model) {
    for (const RatioNode &node : model.nodes) {
      starts.push_back(starts.back() + node.choices.size());
      llvm::append_range(losses, node.losses);
      for (int64_t cost : node.costs)
        costs.push_back(static_cast<double>(cost));
    }
    for (const RatioPair &pair : model.pairs) {
      toA.emplace_back(model.nodes[pair.a].choices.size());
      toB.emplace_back(model.nodes[pair.b].choices.size());
    }
  }

  /// Node sums at a price; messages stay.
  void setPrice(double price) {
    lambda = price;
    sums = losses;
    for (size_t i = 0; i < sums.size(); ++i)
      sums[i] += lambda * costs[i];
    for (auto [index, pair] : llvm::enumerate(model.pairs)) {
      addTo(starts[pair.a], toA[index]);
      addTo(starts[pair.b], toB[index]);
    }
  }

  /// One update of all pairs.
  void sweep() {
    std::vector<double> a, b, leastA, leastB;
    for (auto [index, pair] : llvm::enumerate(model.pairs)) {
      size_t rows = toA[index].size(), columns = toB[index].size();
      double *sumA = &sums[starts[pair.a]], *sumB = &sums[starts[pair.b]];
      a.resize(rows);
      b.resize(columns);
      for (size_t x = 0; x < rows; ++x)
        a[x] = sumA[x] - toA[index][x];
      for (size_t y = 0; y < columns; ++y)
        b[y] = sumB[y] - toB[index][y];
      leastA.assign(rows, infinity);
      leastB.assign(columns, infinity);
      for (size_t x = 0; x < rows; ++x) {
        const double *row = &pair.values[x * columns];
        double least = infinity;
        for (size_t y = 0; y < columns; ++y) {
          least = std::min(least, row[y] + b[y]);
          leastB[y] = std::min(leastB[y], row[y] + a[x]);
        }
        leastA[x] = least;
      }
      for (size_t x = 0; x < rows; ++x) {
        toA[index][x] = 0.5 * (leastA[x] - a[x]);
        sumA[x] = a[x] + toA[index][x];
      }
      for (size_t y = 0; y < columns; ++y) {
        toB[index][y] = 0.5 * (leastB[y] - b[y]);
        sumB[y] = b[y] + toB[index][y];
      }
    }
  }

  /// The bound and the choices that attain the nodes' minima.
  double evaluate(int64_t capacity, std::vector<unsigned> &choices) const {
    double bound = -lambda * static_cast<double>(capacity);
    double magnitude = std::fabs(bound); // of what is rounded
    choices.clear();
    for (size_t i = 0; i < model.nodes.size(); ++i) {
      auto least = std::min_element(sums.begin() + starts[i],
                                    sums.begin() + starts[i + 1]);
      bound += *least;
      magnitude += std::fabs(*least);
      choices.push_back(least - sums.begin() - starts[i]);
    }
    for (auto [index, pair] : llvm::enumerate(model.pairs)) {
      double least = infinity;
      size_t columns = toB[index].size();
      for (size_t x = 0; x < toA[index].size(); ++x)
        for (size_t y = 0; y < columns; ++y)
          least = std::min(least, pair.values[x * columns + y] - toA[index][x] -
                                      toB[index][y]);
      bound += least;
      magnitude += std::fabs(least);
    }
    return bound - 1e-13 * magnitude;
  }

  double lambda = 0;

private:
  void addTo(size_t start, llvm::ArrayRef<double> message) {
    for (auto [i, x] : llvm::enumerate(message))
      sums[start + i] += x;
  }

  const RatioModel &model;
  std::vector<size_t> starts = {0};
  std::vector<double> losses, costs, sums;
  std::vector<std::vector<double>> toA, toB;
};

/// The bound by convexity of a Gram matrix over a block-diagonal rest.
class ConvexBound {
public:
  explicit ConvexBound(const RatioProblem &problem)
      : scale(problem.gram->scale), dimension(problem.gram->dimension) {
    // scale ‖ΣΔ‖² counts every layer's own ‖Δ‖² and the pairs that a block's
    // matrix covers: the rest does without them.
    RatioProblem rest = problem;
    rest.gram.reset();
    const float *vectors = problem.gram->vectors.data();
    std::vector<size_t> offsets = problem.variableOffsets();
    auto product = [&](size_t a, size_t c) {
      double sum = 0;
      for (int64_t d = 0; d < dimension; ++d)
        sum += static_cast<double>(vectors[a * dimension + d]) *
               static_cast<double>(vectors[c * dimension + d]);
      return scale * sum;
    };
    for (auto [l, layer] : llvm::enumerate(rest.layers))
      for (auto [x, choice] : llvm::enumerate(layer.choices))
        choice.loss -= product(offsets[l] + x, offsets[l] + x);
    for (RatioBlock &block : rest.blocks) {
      if (block.matrix.empty())
        continue;
      std::vector<size_t> variables;
      for (unsigned layer : block.layers)
        for (size_t x = offsets[layer]; x < offsets[layer + 1]; ++x)
          variables.push_back(x);
      for (size_t a = 0; a < variables.size(); ++a)
        for (size_t c = 0; c < variables.size(); ++c)
          block.matrix[a * variables.size() + c] -=
              2 * product(variables[a], variables[c]);
    }
    model = llvm::cantFail(RatioModel::build(rest)); // no larger than it was
    for (const RatioNode &node : model.nodes) {
      starts.push_back(starts.back() + node.choices.size());
      for (unsigned choice : node.choices)
        for (int64_t d = 0; d < dimension; ++d) {
          double sum = 0;
          for (unsigned layer : node.layers)
            sum += static_cast<double>(
                vectors[(offsets[layer] + choice) * dimension + d]);
          changes.push_back(sum);
        }
    }
    components = model.components();
  }

  double run(int64_t capacity,
             llvm::function_ref<void(llvm::ArrayRef<unsigned>)> offer) {
    double bound = -infinity, value = 0;
    std::vector<double> at(dimension), to(dimension);
    uint64_t work = 0;
    for (const std::vector<unsigned> &nodes : components)
      work += BlockEnumerator(model, nodes).size();
    if (work > 1000000)
      return bound;
    int steps = std::clamp<int64_t>(20000000 / work, 20, 300);
    for (int step = 0; step < steps; ++step) {
      std::vector<unsigned> choices;
      FrontKnapsack::Answer answer = minimise(capacity, at, choices);
      bound = std::max(bound, answer.bound - scale * dot(at, at));
      if (step % 8 == 0)
        offer(choices);
      std::fill(to.begin(), to.end(), 0);
      for (size_t i = 0; i < choices.size(); ++i)
        for (int64_t d = 0; d < dimension; ++d)
          to[d] += changes[(starts[i] + choices[i]) * dimension + d];
      double toValue = answer.value - 2 * scale * dot(at, to);
      if (step == 0) {
        at = to;
        value = toValue;
        continue;
      }
      for (int64_t d = 0; d < dimension; ++d)
        to[d] -= at[d];
      double curve = 2 * scale * dot(to, to);
      double slope = toValue - value + 2 * scale * dot(at, to);
      if (slope >= 0)
        break; // the relaxation's optimum
      double length = curve > 0 ? std::min(1.0, -slope / curve) : 1.0;
      value += length * (toValue - value);
      for (int64_t d = 0; d < dimension; ++d)
        at[d] += length * to[d];
    }
    return bound - 1e-12 * std::fabs(bound);
  }

private:
  static double dot(llvm::ArrayRef<double> a, llvm::ArrayRef<double> b) {
    double sum = 0;
    for (auto [x, y] : llvm::zip_equal(a, b))
      sum += x * y;
    return sum;
  }

  /// Least Σ rest(x) + 2 scale ⟨u, ΣΔ(x)⟩ within the capacity.
  FrontKnapsack::Answer minimise(int64_t capacity, llvm::ArrayRef<double> u,
                                 std::vector<unsigned> &choices) {
    RatioModel tilted = model;
    for (size_t i = 0; i < tilted.nodes.size(); ++i)
      for (size_t x = 0; x < tilted.nodes[i].losses.size(); ++x)
        tilted.nodes[i].losses[x] +=
            2 * scale *
            dot(u, llvm::ArrayRef(changes).slice((starts[i] + x) * dimension,
                                                 dimension));
    std::vector<BlockEnumerator> enumerators;
    std::vector<Front> fronts;
    for (const std::vector<unsigned> &nodes : components) {
      enumerators.emplace_back(tilted, nodes);
      fronts.push_back(enumerators.back().run());
    }
    FrontKnapsack knapsack(std::move(fronts));
    FrontKnapsack::Answer answer = *knapsack.solve(capacity, 1 << 16);
    choices.resize(model.nodes.size());
    for (size_t i = 0; i < components.size(); ++i) {
      uint64_t code = knapsack.fronts()[i][answer.points[i]].code;
      for (auto [node, x] :
           llvm::zip_equal(components[i], enumerators[i].decode(code)))
        choices[node] = x;
    }
    return answer;
  }

  double scale;
  int64_t dimension;
  RatioModel model; ///< without the Gram matrix
  std::vector<size_t> starts = {0};
  std::vector<double> changes; ///< [choices of all nodes, dimension]
  std::vector<std::vector<unsigned>> components;
};

} // namespace

RatioSolution mlir::cq::boundAndRepair(const RatioProblem &problem,
                                       const RatioModel &model) {
  int64_t capacity = problem.budget - problem.offset;
  RatioSolution best;
  best.value = infinity;
  std::vector<unsigned> bestNodes;
  RatioLocalSearch search(model);
  auto offer = [&](llvm::ArrayRef<unsigned> choices, bool thorough) {
    search.set(choices);
    if (!search.repair(capacity))
      return;
    search.improve(capacity, thorough);
    RatioSolution solution = model.finish(problem, search.current());
    if (solution.value < best.value) {
      best = std::move(solution);
      bestNodes = search.current().vec();
    }
  };

  std::vector<unsigned> cheapest;
  double range = 0, cost = 1;
  for (const RatioNode &node : model.nodes) {
    auto [few, many] =
        std::minmax_element(node.costs.begin(), node.costs.end());
    auto [low, high] =
        std::minmax_element(node.losses.begin(), node.losses.end());
    cheapest.push_back(few - node.costs.begin());
    range += *high - *low;
    cost += static_cast<double>(*many - *few);
  }
  offer(cheapest, true);

  // A coarse bisection finds the price, sweeps at it tighten the bound.
  DualBound dual(model);
  double bound = -infinity, price = 0;
  std::vector<unsigned> choices;
  auto look = [&](double lambda, int sweeps) {
    dual.setPrice(lambda);
    for (int i = 0; i < sweeps; ++i)
      dual.sweep();
    double value = dual.evaluate(capacity, choices);
    if (value > bound) {
      bound = value;
      price = lambda;
    }
    int64_t taken = 0;
    for (auto [node, x] : llvm::zip_equal(model.nodes, choices))
      taken += node.costs[x];
    return taken;
  };
  double low = 0, high = 0;
  if (look(0, 20) > capacity) {
    high = range / cost;
    for (int i = 0; i < 60 && look(high, 4) > capacity; ++i) {
      low = high;
      high *= 2;
    }
  }
  offer(choices, true);
  for (int i = 0; i < 24 && high > 0; ++i) {
    double middle = 0.5 * (low + high);
    (look(middle, 4) > capacity ? low : high) = middle;
    offer(choices, i % 4 == 3);
  }
  for (int i = 0; i < 12; ++i) {
    look(price, 20);
    offer(choices, true);
  }
  if (problem.gram && problem.gram->scale > 0 && problem.couplings.empty()) {
    ConvexBound convex(problem);
    bound = std::max(bound, convex.run(capacity, [&](auto nodeChoices) {
      offer(nodeChoices, false);
    }));
  }
  search.kick(capacity, bestNodes);
  best = model.finish(problem, bestNodes);
  best.bound = std::min(bound, best.value);
  best.price = price;
  return best;
}
