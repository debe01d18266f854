//===- RatioPlanReasons.cpp - Why each weight got its choice --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/RatioPlan.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir::cq;

/// 12,345 B or 1.2e-06.
static std::string grouped(int64_t value) {
  std::string digits = std::to_string(value);
  for (int64_t i = static_cast<int64_t>(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(i, ",");
  return digits;
}
static std::string number(double value) {
  return llvm::formatv("{0}", llvm::format("%.3g", value));
}

/// What layer l would add to the value with each of its choices, the others
/// being as chosen: its loss and its interactions.
static std::vector<double> lossesAmongOthers(const RatioProblem &problem,
                                             llvm::ArrayRef<unsigned> chosen,
                                             llvm::ArrayRef<double> changes,
                                             unsigned l) {
  std::vector<double> losses;
  std::vector<size_t> offsets = problem.variableOffsets();
  for (const RatioChoice &choice : problem.layers[l].choices)
    losses.push_back(choice.loss);
  for (const RatioBlock &block : problem.blocks) {
    if (block.matrix.empty() || !llvm::is_contained(block.layers, l))
      continue;
    size_t size = 0, own = 0;
    std::vector<size_t> others;
    for (unsigned layer : block.layers) {
      if (layer == l)
        own = size;
      else
        others.push_back(size + chosen[layer]);
      size += problem.layers[layer].choices.size();
    }
    for (size_t x = 0; x < losses.size(); ++x)
      for (size_t other : others)
        losses[x] += block.matrix[(own + x) * size + other];
  }
  if (!problem.gram)
    return losses;
  size_t dimension = problem.gram->dimension;
  const float *vectors = problem.gram->vectors.data();
  const float *now = &vectors[(offsets[l] + chosen[l]) * dimension];
  for (size_t x = 0; x < losses.size(); ++x) {
    const float *own = &vectors[(offsets[l] + x) * dimension];
    double sum = 0;
    for (size_t d = 0; d < dimension; ++d)
      sum += static_cast<double>(own[d]) *
             (changes[d] - static_cast<double>(now[d]));
    losses[x] += 2 * problem.gram->scale * sum;
  }
  return losses;
}

double RatioPlanner::explain(const RatioSolution &solution, Plan &plan) const {
  bool interacting = false;
  for (const RatioBlock &block : ratio.blocks)
    interacting |= !block.matrix.empty();
  std::vector<double> changes; // Σ Δ of what is chosen
  std::vector<size_t> offsets = ratio.variableOffsets();
  if (ratio.gram) {
    changes.resize(ratio.gram->dimension);
    for (unsigned l = 0; l < factOf.size(); ++l)
      for (size_t d = 0; d < changes.size(); ++d)
        changes[d] += static_cast<double>(
            ratio.gram
                ->vectors[(offsets[l] + solution.choices[l]) * changes.size() +
                          d]);
  }
  // Reasons are about what a choice saves where it stands.
  std::vector<std::vector<double>> allLosses;
  // Where the solver knows no price (bounds, baselines), the best exchange that
  // is left.
  double price = solution.price;
  for (unsigned l = 0; l < factOf.size(); ++l) {
    allLosses.push_back(lossesAmongOthers(ratio, solution.choices, changes, l));
    unsigned chosen = solution.choices[l];
    const std::vector<RatioChoice> &choices = ratio.layers[l].choices;
    if (solution.price == 0)
      for (unsigned x : ratio.allowed(l))
        if (choices[x].cost > choices[chosen].cost)
          price =
              std::max(price, (allLosses[l][chosen] - allLosses[l][x]) /
                                  static_cast<double>(choices[x].cost -
                                                      choices[chosen].cost));
  }
  for (unsigned l = 0; l < factOf.size(); ++l) {
    RatioLayer layer = ratio.layers[l];
    const std::vector<double> &losses = allLosses[l];
    PlanEntry entry = layerChoices[l][solution.choices[l]].entryFor(
        facts[factOf[l]], options.layout);
    for (auto [choice, loss] : llvm::zip_equal(layer.choices, losses)) {
      entry.candidates.push_back({choice.label, choice.cost, choice.loss});
      choice.loss = loss;
    }
    const RatioChoice &chosen = layer.choices[solution.choices[l]];
    const RatioChoice *down = nullptr, *up = nullptr;
    for (const RatioChoice &other : layer.choices) {
      // The neighbours of the best exchange rate, below and above.
      auto rate = [&](const RatioChoice &a) {
        return (a.loss - chosen.loss) /
               static_cast<double>(chosen.cost - a.cost);
      };
      if (other.cost < chosen.cost && (!down || rate(other) < rate(*down)))
        down = &other;
      if (other.cost > chosen.cost && other.loss < chosen.loss &&
          (!up || rate(other) > rate(*up)))
        up = &other;
    }
    std::string reason;
    if (layer.choices.size() == 1)
      reason = "override";
    else if (price == 0 && !up)
      reason = "the budget does not bind: least loss of all choices";
    else {
      if (down)
        reason = llvm::formatv(
            "saves {0} of loss over {1} for {2} bytes ({3} a byte)",
            number(down->loss - chosen.loss), down->label,
            grouped(chosen.cost - down->cost),
            number((down->loss - chosen.loss) /
                   static_cast<double>(chosen.cost - down->cost)));
      else
        reason = "the cheapest choice";
      if (up)
        reason += llvm::formatv(
            "; {0} would save {1} for {2} more ({3} a byte)", up->label,
            number(chosen.loss - up->loss), grouped(up->cost - chosen.cost),
            number((chosen.loss - up->loss) /
                   static_cast<double>(up->cost - chosen.cost)));
      if (price > 0)
        reason += "; a byte is worth " + number(price) + " at this budget";
      for (const std::vector<unsigned> &group : ratio.groups)
        if (llvm::is_contained(group, l))
          reason += llvm::formatv("; one choice for {0} weights together",
                                  group.size());
      if (ratio.gram)
        reason += "; interactions with all other layers counted";
      else if (interacting)
        reason += "; interactions in its block counted";
    }
    entry.reason = std::move(reason);
    plan.entries.push_back(std::move(entry));
  }
  return price;
}
