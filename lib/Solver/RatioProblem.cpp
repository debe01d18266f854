//===- RatioProblem.cpp - Checks, values, verification ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/RatioProblem.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

using namespace mlir::cq;

static constexpr int64_t maxCost = int64_t(1) << 53;

static llvm::Error checkLayer(const RatioLayer &layer) {
  auto fail = [&](const llvm::Twine &what) {
    return llvm::createStringError("layer '" + layer.name + "' " + what);
  };
  if (layer.choices.empty())
    return fail("has no choices");
  for (const RatioChoice &choice : layer.choices) {
    if (choice.cost < 0 || choice.cost > maxCost)
      return fail("has choice '" + choice.label +
                  "' of a cost below 0 or above 2^53");
    if (!std::isfinite(choice.loss) || !std::isfinite(choice.bits))
      return fail("has choice '" + choice.label +
                  "' of a loss or width that is not finite");
  }
  if (layer.weights < 0)
    return fail("has a negative number of weights");
  if (layer.pin && *layer.pin >= layer.choices.size())
    return fail(llvm::formatv("is pinned to choice {0} and has {1}", *layer.pin,
                              layer.choices.size())
                    .str());
  if (std::isnan(layer.floor) || std::isnan(layer.ceiling))
    return fail("has a floor or ceiling that is not a number");
  return llvm::Error::success();
}

static bool allowedAlone(const RatioLayer &layer, unsigned choice) {
  return (!layer.pin || *layer.pin == choice) &&
         layer.choices[choice].bits >= layer.floor &&
         layer.choices[choice].bits <= layer.ceiling;
}

std::vector<unsigned> RatioProblem::allowed(unsigned layer) const {
  llvm::ArrayRef<unsigned> members = layer;
  for (const std::vector<unsigned> &group : groups)
    if (llvm::is_contained(group, layer))
      members = group;
  std::vector<unsigned> result;
  for (unsigned c = 0, e = layers[layer].choices.size(); c < e; ++c)
    if (llvm::all_of(members,
                     [&](unsigned l) { return allowedAlone(layers[l], c); }))
      result.push_back(c);
  return result;
}

std::vector<size_t> RatioProblem::variableOffsets() const {
  std::vector<size_t> offsets = {0};
  for (const RatioLayer &layer : layers)
    offsets.push_back(offsets.back() + layer.choices.size());
  return offsets;
}

static llvm::Error checkSets(llvm::ArrayRef<std::vector<unsigned>> sets,
                             const RatioProblem &problem,
                             llvm::StringRef what) {
  std::vector<bool> seen(problem.layers.size());
  for (const std::vector<unsigned> &set : sets)
    for (unsigned layer : set) {
      if (layer >= problem.layers.size())
        return llvm::createStringError(
            llvm::formatv("a {0} names layer {1} of {2}", what, layer,
                          problem.layers.size()));
      if (seen[layer])
        return llvm::createStringError("layer '" + problem.layers[layer].name +
                                       "' is in two " + what +
                                       "s, or twice in one");
      seen[layer] = true;
    }
  return llvm::Error::success();
}

static llvm::Error checkMatrix(const RatioProblem &problem,
                               const RatioBlock &block, size_t index) {
  if (block.matrix.empty())
    return llvm::Error::success();
  std::vector<const RatioChoice *> variables;
  for (unsigned layer : block.layers)
    for (const RatioChoice &choice : problem.layers[layer].choices)
      variables.push_back(&choice);
  size_t size = variables.size();
  auto fail = [&](const llvm::Twine &what) {
    return llvm::createStringError(
        llvm::formatv("the matrix of block {0} {1}", index, what.str()));
  };
  if (block.matrix.size() != size * size)
    return fail(llvm::formatv("has {0} entries where {1} choices need {2}",
                              block.matrix.size(), size, size * size)
                    .str());
  for (size_t a = 0; a < size; ++a)
    for (size_t c = 0; c <= a; ++c) {
      double value = block.matrix[a * size + c];
      if (!std::isfinite(value))
        return fail("has an entry that is not finite");
      if (value != block.matrix[c * size + a])
        return fail(
            llvm::formatv("is not symmetric at ({0}, {1})", a, c).str());
    }
  for (size_t a = 0; a < size; ++a) {
    double diagonal = block.matrix[a * size + a], loss = variables[a]->loss;
    if (diagonal != 0 &&
        std::fabs(diagonal - 2 * loss) > 1e-9 * std::fabs(2 * loss))
      return fail(llvm::formatv("has {0} on its diagonal at {1}, where twice "
                                "the loss {2} or 0 belongs",
                                diagonal, a, loss)
                      .str());
  }
  return llvm::Error::success();
}

llvm::Error RatioProblem::check() const {
  if (layers.empty())
    return llvm::createStringError("the problem has no layers");
  int64_t total = 0;
  for (const RatioLayer &layer : layers) {
    if (llvm::Error error = checkLayer(layer))
      return error;
    int64_t most = 0;
    for (const RatioChoice &choice : layer.choices)
      most = std::max(most, choice.cost);
    total += most; // at most 2^53 each, and below 2^54 before
    if (total > maxCost)
      return llvm::createStringError("the costs of all layers exceed 2^53");
  }
  std::vector<std::vector<unsigned>> members;
  for (const RatioBlock &block : blocks)
    members.push_back(block.layers);
  if (llvm::Error error = checkSets(members, *this, "block"))
    return error;
  if (llvm::Error error = checkSets(groups, *this, "group"))
    return error;
  for (const std::vector<unsigned> &group : groups)
    for (unsigned layer : group)
      if (layers[layer].choices.size() != layers[group.front()].choices.size())
        return llvm::createStringError(
            "layers '" + layers[group.front()].name + "' and '" +
            layers[layer].name +
            "' share one choice and have lists of different lengths");
  for (unsigned l = 0; l < layers.size(); ++l)
    if (allowed(l).empty())
      return llvm::createStringError(
          "pins, floors, ceilings and the layer's group leave no choice for "
          "layer '" +
          layers[l].name + "'");
  for (auto [index, block] : llvm::enumerate(blocks))
    if (llvm::Error error = checkMatrix(*this, block, index))
      return error;
  for (const RatioCoupling &c : couplings) {
    if (c.layerA >= layers.size() || c.layerB >= layers.size() ||
        c.layerA == c.layerB || c.choiceA >= layers[c.layerA].choices.size() ||
        c.choiceB >= layers[c.layerB].choices.size() || !std::isfinite(c.value))
      return llvm::createStringError(
          "a coupling needs a finite value and choices of two layers");
    for (const RatioBlock &block : blocks)
      if (!block.matrix.empty() && llvm::is_contained(block.layers, c.layerA) &&
          llvm::is_contained(block.layers, c.layerB))
        return llvm::createStringError(
            "a coupling of layers '" + layers[c.layerA].name + "' and '" +
            layers[c.layerB].name + "' which their block's matrix covers");
  }
  if (gram) {
    size_t variables = variableOffsets().back();
    if (gram->dimension <= 0 || !std::isfinite(gram->scale) ||
        gram->vectors.size() / gram->dimension != variables ||
        gram->vectors.size() % gram->dimension != 0)
      return llvm::createStringError(llvm::formatv(
          "the Gram matrix needs {0} vectors of one dimension", variables));
    for (float x : gram->vectors)
      if (!std::isfinite(x))
        return llvm::createStringError(
            "the Gram matrix has a vector that is not finite");
  }
  if (budget < 0 || budget > maxCost || offset < 0 || offset > maxCost)
    return llvm::createStringError(
        "the budget and the offset must be between 0 and 2^53");
  return llvm::Error::success();
}

RatioRange RatioProblem::range() const {
  RatioRange range;
  // A group moves as one.
  std::vector<bool> done(layers.size());
  for (unsigned l = 0; l < layers.size(); ++l) {
    if (done[l])
      continue;
    llvm::ArrayRef<unsigned> members = l;
    for (const std::vector<unsigned> &group : groups)
      if (llvm::is_contained(group, l))
        members = group;
    int64_t least = std::numeric_limits<int64_t>::max(), most = 0;
    for (unsigned choice : allowed(l)) {
      int64_t sum = 0;
      for (unsigned member : members)
        sum += layers[member].choices[choice].cost;
      least = std::min(least, sum);
      most = std::max(most, sum);
    }
    for (unsigned member : members)
      done[member] = true;
    range.smallest += least;
    range.largest += most;
  }
  return range;
}

llvm::Error RatioProblem::checkBudget(int64_t budget) const {
  RatioRange reach = range();
  if (budget - offset >= reach.smallest)
    return llvm::Error::success();
  int64_t weights = 0;
  for (const RatioLayer &layer : layers)
    weights += layer.weights;
  std::string bits;
  if (weights > 0)
    bits = llvm::formatv(" ({0:F3} to {1:F3} bits per weight of these layers)",
                         8.0 * reach.smallest / weights,
                         8.0 * reach.largest / weights)
               .str();
  return llvm::createStringError(llvm::formatv(
      "a budget of {0} bytes cannot be met: {1} to {2} bytes are "
      "reachable{3}; raise the budget or allow smaller choices",
      budget, reach.smallest + offset, reach.largest + offset, bits));
}

int64_t RatioProblem::cost(llvm::ArrayRef<unsigned> choices) const {
  int64_t sum = 0;
  for (auto [layer, choice] : llvm::zip_equal(layers, choices))
    sum += layer.choices[choice].cost;
  return sum;
}

/// Sum with the rounding of every step kept, so that verification does not
/// depend on the solvers' order.
namespace {
struct ExactSum {
  double high = 0, low = 0;
  void add(double x) {
    double sum = high + x, back = sum - high;
    low += (high - (sum - back)) + (x - back);
    high = sum;
  }
};
} // namespace

double RatioProblem::value(llvm::ArrayRef<unsigned> choices) const {
  ExactSum sum;
  for (auto [layer, choice] : llvm::zip_equal(layers, choices))
    sum.add(layer.choices[choice].loss);
  std::vector<int64_t> blockOf(layers.size(), -1);
  for (auto [index, block] : llvm::enumerate(blocks)) {
    if (block.matrix.empty())
      continue;
    std::vector<size_t> chosen; // position in the block's matrix
    size_t size = 0;
    for (unsigned layer : block.layers) {
      blockOf[layer] = index;
      chosen.push_back(size + choices[layer]);
      size += layers[layer].choices.size();
    }
    for (size_t i = 0; i < chosen.size(); ++i)
      for (size_t j = 0; j < i; ++j)
        sum.add(block.matrix[chosen[i] * size + chosen[j]]);
  }
  for (const RatioCoupling &c : couplings)
    if (choices[c.layerA] == c.choiceA && choices[c.layerB] == c.choiceB)
      sum.add(c.value);
  if (gram) {
    std::vector<size_t> offsets = variableOffsets();
    for (size_t l = 0; l < layers.size(); ++l)
      for (size_t m = 0; m < l; ++m) {
        if (blockOf[l] >= 0 && blockOf[l] == blockOf[m])
          continue;
        const float *a =
            &gram->vectors[(offsets[l] + choices[l]) * gram->dimension];
        const float *c =
            &gram->vectors[(offsets[m] + choices[m]) * gram->dimension];
        ExactSum dot;
        for (int64_t i = 0; i < gram->dimension; ++i)
          dot.add(static_cast<double>(a[i]) * static_cast<double>(c[i]));
        sum.add(2 * gram->scale * (dot.high + dot.low));
      }
  }
  return sum.high + sum.low;
}

llvm::Error RatioProblem::verify(const RatioSolution &solution) const {
  auto fail = [](const llvm::Twine &what) {
    return llvm::createStringError("the answer " + what);
  };
  if (solution.choices.size() != layers.size())
    return fail("does not have one choice a layer");
  for (unsigned l = 0; l < layers.size(); ++l) {
    const RatioLayer &layer = layers[l];
    unsigned choice = solution.choices[l];
    if (choice >= layer.choices.size())
      return fail("has an unknown choice for layer '" + layer.name + "'");
    if (layer.pin && choice != *layer.pin)
      return fail("does not keep the pin of layer '" + layer.name + "'");
    double bits = layer.choices[choice].bits;
    if (bits < layer.floor || bits > layer.ceiling)
      return fail("is outside floor and ceiling of layer '" + layer.name + "'");
  }
  for (const std::vector<unsigned> &group : groups)
    for (unsigned layer : group)
      if (solution.choices[layer] != solution.choices[group.front()])
        return fail("gives layers '" + layers[group.front()].name + "' and '" +
                    layers[layer].name + "' of one group different choices");
  int64_t counted = cost(solution.choices);
  if (counted != solution.cost)
    return fail(
        llvm::formatv("states {0} bytes and takes {1}", solution.cost, counted)
            .str());
  if (counted > budget - offset)
    return fail(llvm::formatv("takes {0} bytes, over the budget of {1}",
                              counted + offset, budget)
                    .str());
  double measured = value(solution.choices), magnitude = 0;
  for (auto [layer, choice] : llvm::zip_equal(layers, solution.choices))
    magnitude += std::fabs(layer.choices[choice].loss);
  double slack = 1e-9 * (magnitude + std::fabs(measured));
  if (!(std::fabs(measured - solution.value) <= slack))
    return fail(llvm::formatv("states the value {0} and has {1}",
                              solution.value, measured)
                    .str());
  if (!(solution.bound <= solution.value + slack))
    return fail("states a lower bound above its value");
  return llvm::Error::success();
}
