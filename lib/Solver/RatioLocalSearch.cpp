//===- RatioLocalSearch.cpp - Moves of single choices ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RatioLocalSearch.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>
#include <limits>
#include <random>

using namespace mlir::cq;

RatioLocalSearch::RatioLocalSearch(const RatioModel &model) : model(model) {
  double magnitude = 0;
  for (const RatioNode &node : model.nodes) {
    starts.push_back(starts.back() + node.choices.size());
    for (double loss : node.losses)
      magnitude = std::max(magnitude, std::fabs(loss));
  }
  adjacent.resize(model.nodes.size());
  between.assign(model.nodes.size() * model.nodes.size(), ~0u);
  for (auto [index, pair] : llvm::enumerate(model.pairs)) {
    adjacent[pair.a].push_back(index);
    adjacent[pair.b].push_back(index);
    between[pair.a * model.nodes.size() + pair.b] =
        between[pair.b * model.nodes.size() + pair.a] = index;
    for (double value : pair.values)
      magnitude = std::max(magnitude, std::fabs(value));
  }
  least = 1e-10 * magnitude;
}

//===----------------------------------------------------------------------===//
// One assignment
//===----------------------------------------------------------------------===//

void RatioLocalSearch::set(llvm::ArrayRef<unsigned> to) {
  choices.assign(to.begin(), to.end());
  cost = 0;
  for (auto [node, x] : llvm::zip_equal(model.nodes, choices))
    cost += node.costs[x];
  // Losses and interactions with what the others chose.
  sums.clear();
  for (const RatioNode &node : model.nodes)
    llvm::append_range(sums, node.losses);
  for (unsigned i = 0; i < choices.size(); ++i)
    spread(i, choices[i], 1);
}

void RatioLocalSearch::move(unsigned node, unsigned to) {
  cost += model.nodes[node].costs[to] - model.nodes[node].costs[choices[node]];
  spread(node, choices[node], -1);
  choices[node] = to;
  spread(node, to, 1);
}

void RatioLocalSearch::spread(unsigned node, unsigned choice, double sign) {
  for (unsigned index : adjacent[node]) {
    const RatioPair &pair = model.pairs[index];
    size_t columns = model.nodes[pair.b].choices.size();
    if (pair.a == node)
      for (size_t y = 0; y < columns; ++y)
        sums[starts[pair.b] + y] += sign * pair.values[choice * columns + y];
    else
      for (size_t x = 0; x < model.nodes[pair.a].choices.size(); ++x)
        sums[starts[pair.a] + x] += sign * pair.values[x * columns + choice];
  }
}

double RatioLocalSearch::value(llvm::ArrayRef<unsigned> of) const {
  double sum = 0;
  for (auto [node, x] : llvm::zip_equal(model.nodes, of))
    sum += node.losses[x];
  for (const RatioPair &pair : model.pairs)
    sum += pair.values[of[pair.a] * model.nodes[pair.b].choices.size() +
                       of[pair.b]];
  return sum;
}

double RatioLocalSearch::cross(unsigned a, unsigned x, unsigned b,
                               unsigned y) const {
  unsigned index = between[a * model.nodes.size() + b];
  if (index == ~0u)
    return 0;
  const RatioPair &pair = model.pairs[index];
  if (pair.a != a) {
    std::swap(a, b);
    std::swap(x, y);
  }
  size_t columns = model.nodes[b].choices.size();
  const double *now = &pair.values[choices[a] * columns];
  const double *then = &pair.values[x * columns];
  return then[y] - then[choices[b]] - now[y] + now[choices[b]];
}

//===----------------------------------------------------------------------===//
// Search
//===----------------------------------------------------------------------===//

bool RatioLocalSearch::repair(int64_t capacity) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  while (cost > capacity) {
    double best = infinity;
    unsigned node = 0, to = 0;
    for (unsigned i = 0; i < choices.size(); ++i) {
      const std::vector<int64_t> &costs = model.nodes[i].costs;
      for (unsigned x = 0; x < costs.size(); ++x) {
        int64_t saved = costs[choices[i]] - costs[x];
        if (saved <= 0)
          continue;
        // No more than is needed counts as saved.
        double useful = std::min<int64_t>(saved, cost - capacity);
        double harm = gain(i, x);
        double ratio = harm > 0 ? harm / useful : harm * useful;
        if (ratio < best) {
          best = ratio;
          node = i;
          to = x;
        }
      }
    }
    if (best == infinity)
      return false;
    move(node, to);
  }
  return true;
}

bool RatioLocalSearch::moveOne(int64_t capacity) {
  double best = -least;
  unsigned node = ~0u, to = 0;
  for (unsigned i = 0; i < choices.size(); ++i) {
    const std::vector<int64_t> &costs = model.nodes[i].costs;
    for (unsigned x = 0; x < costs.size(); ++x)
      if (cost - costs[choices[i]] + costs[x] <= capacity &&
          gain(i, x) < best) {
        best = gain(i, x);
        node = i;
        to = x;
      }
  }
  if (node == ~0u)
    return false;
  move(node, to);
  return true;
}

/// The first best partner of every node in turn.
bool RatioLocalSearch::moveTwo(int64_t capacity) {
  bool moved = false;
  for (unsigned i = 0; i < choices.size(); ++i) {
    double best = -least;
    unsigned toI = 0, j = ~0u, toJ = 0;
    const std::vector<int64_t> &costsI = model.nodes[i].costs;
    for (unsigned x = 0; x < costsI.size(); ++x) {
      if (x == choices[i])
        continue;
      int64_t left = capacity - cost + costsI[choices[i]] - costsI[x];
      double gainI = gain(i, x);
      for (unsigned k = i + 1; k < choices.size(); ++k) {
        const std::vector<int64_t> &costs = model.nodes[k].costs;
        for (unsigned y = 0; y < costs.size(); ++y) {
          if (y == choices[k] || costs[y] - costs[choices[k]] > left)
            continue;
          double both = gainI + gain(k, y) + cross(i, x, k, y);
          if (both < best) {
            best = both;
            toI = x;
            j = k;
            toJ = y;
          }
        }
      }
    }
    if (j == ~0u)
      continue;
    move(i, toI);
    move(j, toJ);
    moved = true;
  }
  return moved;
}

void RatioLocalSearch::improve(int64_t capacity, bool pairs) {
  for (int round = 0; round < 200; ++round) {
    while (moveOne(capacity))
      ;
    if (!pairs || !moveTwo(capacity))
      break;
  }
}

void RatioLocalSearch::kick(int64_t capacity, std::vector<unsigned> &best) {
  double variables = static_cast<double>(starts.back());
  int kicks = std::clamp(2e7 / (variables * variables), 4.0, 200.0);
  std::mt19937_64 random(0);
  for (int i = 0; i < kicks; ++i) {
    set(best);
    for (int j = 0; j < 4; ++j) {
      unsigned node = random() % model.nodes.size();
      move(node, random() % model.nodes[node].choices.size());
    }
    if (!repair(capacity))
      continue;
    improve(capacity, true);
    if (value(choices) < value(best) - least)
      best = choices;
  }
}
