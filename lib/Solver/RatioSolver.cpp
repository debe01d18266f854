//===- RatioSolver.cpp - Methods by name, and baselines ---------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/RatioSolver.h"
#include "BlockEnumerator.h"
#include "RatioBounds.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>
#include <map>
#include <random>

using namespace mlir::cq;

static constexpr llvm::StringLiteral methodNames[] = {
    "exact",  "bound", "greedy",  "uniform",
    "scores", "index", "reverse", "random"};

llvm::StringRef mlir::cq::stringifyRatioMethod(RatioMethod method) {
  return methodNames[static_cast<size_t>(method)];
}

std::optional<RatioMethod> mlir::cq::parseRatioMethod(llvm::StringRef text) {
  for (auto [index, name] : llvm::enumerate(methodNames))
    if (name == text)
      return static_cast<RatioMethod>(index);
  return std::nullopt;
}

/// Starting from the cheapest choices, the step that saves most loss a byte,
/// interactions with what is chosen included, until none fits.
static RatioSolution solveGreedily(const RatioProblem &problem,
                                   const RatioModel &model) {
  int64_t left = problem.budget - problem.offset;
  std::vector<unsigned> chosen;
  for (const RatioNode &node : model.nodes) {
    unsigned best = 0;
    for (unsigned x = 1; x < node.costs.size(); ++x)
      if (std::tie(node.costs[x], node.losses[x]) <
          std::tie(node.costs[best], node.losses[best]))
        best = x;
    chosen.push_back(best);
    left -= node.costs[best];
  }
  auto interactions = [&](unsigned index, unsigned x) {
    double sum = model.nodes[index].losses[x];
    for (const RatioPair &pair : model.pairs) {
      size_t columns = model.nodes[pair.b].choices.size();
      if (pair.a == index)
        sum += pair.values[x * columns + chosen[pair.b]];
      else if (pair.b == index)
        sum += pair.values[chosen[pair.a] * columns + x];
    }
    return sum;
  };
  while (true) {
    double best = 0;
    unsigned node = 0, to = 0;
    for (unsigned i = 0; i < chosen.size(); ++i) {
      double now = interactions(i, chosen[i]);
      const std::vector<int64_t> &costs = model.nodes[i].costs;
      for (unsigned x = 0; x < costs.size(); ++x) {
        int64_t dearer = costs[x] - costs[chosen[i]];
        if (dearer <= 0 || dearer > left)
          continue;
        double rate = (now - interactions(i, x)) / static_cast<double>(dearer);
        if (rate > best) {
          best = rate;
          node = i;
          to = x;
        }
      }
    }
    if (best == 0)
      return model.finish(problem, chosen);
    left -= model.nodes[node].costs[to] - model.nodes[node].costs[chosen[node]];
    chosen[node] = to;
  }
}

namespace {

/// Choices by label: what "all layers at b3" means under pins, floors and
/// ceilings.
class Levels {
public:
  Levels(const RatioProblem &problem, const RatioModel &model)
      : problem(problem), model(model) {
    std::map<llvm::StringRef, size_t> known;
    for (const RatioLayer &layer : problem.layers) {
      std::vector<llvm::StringRef> own;
      for (const RatioChoice &choice : layer.choices)
        if (!llvm::is_contained(own, choice.label))
          own.push_back(choice.label);
      for (llvm::StringRef label : own)
        ++known[label];
    }
    for (const RatioChoice &choice : problem.layers.front().choices)
      if (known[choice.label] == problem.layers.size() &&
          !llvm::is_contained(labels, choice.label))
        labels.push_back(choice.label);
    llvm::sort(labels, [&](llvm::StringRef a, llvm::StringRef b) {
      return std::pair(cost(all(a)), a) < std::pair(cost(all(b)), b);
    });
  }

  /// The node's choice of that label; where constraints forbid it, the allowed
  /// one of the nearest width.
  unsigned at(unsigned index, llvm::StringRef label) const {
    const RatioNode &node = model.nodes[index];
    const RatioLayer &layer = problem.layers[node.layers.front()];
    double wanted = 0;
    for (const RatioChoice &choice : layer.choices)
      if (choice.label == label)
        wanted = choice.bits;
    unsigned best = 0;
    double distance = std::numeric_limits<double>::infinity();
    for (auto [x, choice] : llvm::enumerate(node.choices)) {
      if (layer.choices[choice].label == label)
        return x;
      double d = std::fabs(layer.choices[choice].bits - wanted);
      if (d < distance) {
        distance = d;
        best = x;
      }
    }
    return best;
  }
  std::vector<unsigned> all(llvm::StringRef label) const {
    std::vector<unsigned> choices;
    for (unsigned i = 0; i < model.nodes.size(); ++i)
      choices.push_back(at(i, label));
    return choices;
  }
  int64_t cost(llvm::ArrayRef<unsigned> choices) const {
    int64_t sum = 0;
    for (auto [node, x] : llvm::zip_equal(model.nodes, choices))
      sum += node.costs[x];
    return sum;
  }

  const RatioProblem &problem;
  const RatioModel &model;
  std::vector<llvm::StringRef> labels; ///< that all layers know, cheapest first
};

} // namespace

static llvm::Error noLevel(llvm::StringRef what) {
  return llvm::createStringError(
      "no choice that all layers have " + what +
      "; use method=exact, which mixes choices, or give a larger budget");
}

static llvm::Expected<RatioSolution> solveUniformly(const RatioProblem &problem,
                                                    const RatioModel &model) {
  Levels levels(problem, model);
  RatioSolution best;
  best.value = std::numeric_limits<double>::infinity();
  for (llvm::StringRef label : levels.labels) {
    std::vector<unsigned> choices = levels.all(label);
    if (levels.cost(choices) > problem.budget - problem.offset)
      continue;
    RatioSolution solution = model.finish(problem, choices);
    if (solution.value < best.value)
      best = std::move(solution);
  }
  if (best.choices.empty())
    return noLevel("fits the budget");
  return best;
}

/// Blocks in order of importance.
static llvm::Expected<std::vector<unsigned>>
orderBlocks(const RatioProblem &problem, const RatioOptions &options) {
  std::vector<unsigned> order(problem.blocks.size());
  for (unsigned i = 0; i < order.size(); ++i)
    order[i] = i;
  switch (options.method) {
  case RatioMethod::Scores:
    if (options.scores.size() != order.size())
      return llvm::createStringError(llvm::formatv(
          "{0} scores for {1} blocks", options.scores.size(), order.size()));
    for (double score : options.scores)
      if (std::isnan(score))
        return llvm::createStringError("a block's score is not a number");
    llvm::sort(order, [&](unsigned a, unsigned b) {
      return options.scores[a] != options.scores[b]
                 ? options.scores[a] > options.scores[b]
                 : a < b;
    });
    break;
  case RatioMethod::Reverse:
    std::reverse(order.begin(), order.end());
    break;
  case RatioMethod::Random: {
    // Not std::shuffle: its results differ between libraries.
    std::mt19937_64 random(options.seed);
    for (size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[random() % i]);
    break;
  }
  default:
    break;
  }
  return order;
}

/// The first blocks of the order get the high choice while the budget lasts.
static llvm::Expected<RatioSolution>
solveTwoLevels(const RatioProblem &problem, const RatioModel &model,
               const RatioOptions &options) {
  Levels levels(problem, model);
  int64_t capacity = problem.budget - problem.offset;
  llvm::StringRef low = options.low, high = options.high;
  for (llvm::StringRef label : {low, high})
    if (!label.empty() && !llvm::is_contained(levels.labels, label))
      return noLevel("is called '" + label.str() + "'");
  if (low.empty())
    for (llvm::StringRef label : levels.labels)
      if (levels.cost(levels.all(label)) <= capacity)
        low = label;
  if (low.empty() || levels.cost(levels.all(low)) > capacity)
    return noLevel("fits the budget");
  if (high.empty()) {
    high = low;
    int64_t floor = levels.cost(levels.all(low));
    for (llvm::StringRef label : llvm::reverse(levels.labels))
      if (levels.cost(levels.all(label)) > floor)
        high = label;
  }
  auto order = orderBlocks(problem, options);
  if (!order)
    return order.takeError();
  std::vector<unsigned> choices = levels.all(low);
  std::vector<int64_t> blockOf(problem.layers.size(), -1);
  for (auto [index, block] : llvm::enumerate(problem.blocks))
    for (unsigned layer : block.layers)
      blockOf[layer] = index;
  for (unsigned block : *order) {
    std::vector<unsigned> next = choices;
    for (auto [index, node] : llvm::enumerate(model.nodes))
      if (blockOf[node.layers.front()] == block)
        next[index] = levels.at(index, high);
    if (levels.cost(next) > capacity)
      break;
    choices = std::move(next);
  }
  return model.finish(problem, choices);
}

static llvm::Expected<RatioSolution>
solveUnverified(const RatioProblem &problem, const RatioOptions &options) {
  if (llvm::Error error = problem.check())
    return std::move(error);
  if (llvm::Error error = problem.checkBudget(problem.budget))
    return std::move(error);
  auto model = RatioModel::build(problem);
  if (!model)
    return model.takeError();
  switch (options.method) {
  case RatioMethod::Exact: {
    for (const std::vector<unsigned> &nodes : model->components())
      if (BlockEnumerator(*model, nodes).size() > (uint64_t(1) << 32))
        return boundAndRepair(problem, *model);
    auto fronts = RatioFronts::build(problem, options.threads);
    if (!fronts)
      return fronts.takeError();
    return fronts->solve(problem.budget);
  }
  case RatioMethod::Bound:
    return boundAndRepair(problem, *model);
  case RatioMethod::Greedy:
    return solveGreedily(problem, *model);
  case RatioMethod::Uniform:
    return solveUniformly(problem, *model);
  default:
    return solveTwoLevels(problem, *model, options);
  }
}

llvm::Expected<RatioSolution>
mlir::cq::solveRatios(const RatioProblem &problem,
                      const RatioOptions &options) {
  auto solution = solveUnverified(problem, options);
  if (!solution)
    return solution.takeError();
  // A second opinion on every answer, before anyone acts on it.
  if (llvm::Error error = problem.verify(*solution))
    return llvm::createStringError(
        "the solver made a wrong answer; please report this: " +
        llvm::toString(std::move(error)));
  return solution;
}
