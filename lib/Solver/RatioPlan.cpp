//===- RatioPlan.cpp - From measured losses to a plan ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/RatioPlan.h"
#include "RatioPlanProblem.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

using namespace mlir::cq;

llvm::Expected<WidthLimit> WidthLimit::parse(llvm::StringRef text) {
  auto [pattern, bits] = text.rsplit(':');
  WidthLimit limit{pattern.str(), 0};
  if (pattern.empty() || bits.getAsDouble(limit.bits) ||
      !std::isfinite(limit.bits))
    return llvm::createStringError("the limit '" + text +
                                   "' is not of the form REGEX:BITS");
  return limit;
}

int64_t mlir::cq::blockNumber(llvm::StringRef weight) {
  size_t begin = weight.find_first_of("0123456789");
  int64_t number = -1;
  if (begin == llvm::StringRef::npos ||
      weight.drop_front(begin).consumeInteger(10, number))
    return -1;
  return number;
}

llvm::Expected<RatioPlanner>
RatioPlanner::create(llvm::ArrayRef<WeightFacts> facts,
                     const Measurements &measurements,
                     const RatioPlanOptions &options) {
  if (options.choices.empty())
    return llvm::createStringError("there are no choices to choose from");
  if (options.bitsPerWeight.has_value() == options.bytes.has_value())
    return llvm::createStringError(
        "give one budget, in bits per weight or in bytes");
  auto built = buildRatioPlanProblem(facts, measurements, options);
  if (!built)
    return built.takeError();
  RatioPlanner planner;
  planner.options = options;
  planner.facts.assign(facts.begin(), facts.end());
  planner.header = measurements.header;
  planner.ratio = std::move(built->problem);
  planner.layerChoices = std::move(built->choices);
  planner.factOf = std::move(built->factOf);
  planner.fixed = std::move(built->fixed);
  for (const PlanEntry &entry : planner.fixed)
    planner.fixedBytes += entry.keep ? 0 : entry.bytes();
  for (const RatioLayer &layer : planner.ratio.layers)
    planner.solvedWeights += layer.weights;
  if (options.bytes) {
    planner.ratio.offset = planner.fixedBytes + options.otherBytes;
    planner.ratio.budget = *options.bytes;
  } else {
    if (!(*options.bitsPerWeight > 0 && *options.bitsPerWeight <= 64))
      return llvm::createStringError(
          "the bits per weight must be above 0 and at most 64");
    planner.ratio.budget = planner.budgetFor(*options.bitsPerWeight);
  }
  planner.options.solver.scores.clear();
  if (options.solver.method == RatioMethod::Scores)
    for (const RatioBlock &block : planner.ratio.blocks) {
      int64_t number =
          blockNumber(planner.ratio.layers[block.layers.front()].name);
      double score = 0, shared = 0, weights = 0;
      bool known = false;
      for (auto [block, value] : options.blockScores)
        if (block == number)
          score = value, known = true;
      for (unsigned l : block.layers) {
        const MeasuredWeight *measured =
            measurements.find(planner.ratio.layers[l].name);
        if (!options.zdScores || !measured || !measured->zd)
          continue;
        known = true;
        shared += *measured->zd * planner.ratio.layers[l].weights;
        weights += planner.ratio.layers[l].weights;
      }
      if (!known)
        return llvm::createStringError(llvm::formatv(
            "there is no score of block {0}; give statistics with block "
            "scores (cq calibrate), or measurements with zd",
            number));
      planner.options.solver.scores.push_back(
          options.zdScores ? -shared / weights : score);
    }
  return planner;
}

int64_t RatioPlanner::budgetFor(double bitsPerWeight) const {
  return ratio.offset +
         static_cast<int64_t>(std::floor(
             bitsPerWeight * static_cast<double>(solvedWeights) / 8 + 1e-6));
}

llvm::Expected<Plan> RatioPlanner::plan() const {
  // What cannot be met is said at once.
  if (llvm::Error error = ratio.checkBudget(ratio.budget))
    return std::move(error);
  bool exact = options.solver.method == RatioMethod::Exact;
  std::optional<RatioFronts> fronts;
  if (exact || options.curvePoints > 1) {
    RatioProblem alone = ratio;
    alone.gram.reset();
    auto built = RatioFronts::build(alone, options.solver.threads);
    if (built)
      fronts.emplace(std::move(*built));
    else // too large to enumerate: bounds only
      llvm::consumeError(built.takeError());
  }
  auto solution = exact && fronts && !ratio.gram
                      ? fronts->solve(ratio.budget)
                      : solveRatios(ratio, options.solver);
  if (!solution)
    return solution.takeError();
  // A second opinion on every answer, before anyone acts on it.
  if (llvm::Error error = ratio.verify(*solution))
    return llvm::createStringError(
        "the solver made a wrong answer; please report this: " +
        llvm::toString(std::move(error)));
  Plan plan;
  double price = explain(*solution, plan);
  llvm::append_range(plan.entries, fixed);
  // The order of the facts, as all plans have it.
  llvm::StringMap<size_t> order;
  for (auto [index, weight] : llvm::enumerate(facts))
    order[weight.name] = index;
  llvm::sort(plan.entries, [&](const PlanEntry &a, const PlanEntry &b) {
    return order.lookup(a.weight) < order.lookup(b.weight);
  });
  PlanDecision decision;
  decision.method = stringifyRatioMethod(options.solver.method).str();
  decision.loss = header.loss;
  decision.budget = ratio.budget;
  decision.otherBytes = ratio.offset;
  decision.bytes = solution->cost + ratio.offset;
  decision.predictedLoss = solution->value;
  if (std::isfinite(solution->bound))
    decision.bound = solution->bound;
  decision.price = price;
  if (fronts && options.curvePoints > 1)
    decision.curve = curve(*fronts);
  plan.decision = decision;
  return plan;
}

std::vector<std::pair<double, double>>
RatioPlanner::curve(const RatioFronts &fronts) const {
  RatioRange range = ratio.range();
  std::vector<std::pair<double, double>> points;
  for (unsigned i = 0; i < options.curvePoints; ++i) {
    double share = static_cast<double>(i) / (options.curvePoints - 1);
    int64_t cost =
        range.smallest +
        static_cast<int64_t>(
            share * static_cast<double>(range.largest - range.smallest));
    auto solution = fronts.solve(cost + ratio.offset);
    if (!solution) {
      llvm::consumeError(solution.takeError()); // not within the range
      continue;
    }
    points.push_back({8.0 * static_cast<double>(solution->cost) /
                          static_cast<double>(solvedWeights),
                      solution->value});
  }
  return points;
}
