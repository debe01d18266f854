//===- RatioPlanProblem.cpp - From measured losses to a problem -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RatioPlanProblem.h"
#include "GramFactor.h"
#include "NamePatterns.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>
#include <map>

using namespace mlir::cq;

namespace {

class ProblemBuilder : public RatioPlanProblem {
public:
  ProblemBuilder(llvm::ArrayRef<WeightFacts> facts,
                 const Measurements &measurements,
                 const RatioPlanOptions &options)
      : facts(facts), measurements(measurements), options(options) {}

  llvm::Error run() {
    if (llvm::Error error = compilePatterns())
      return error;
    for (auto [index, weight] : llvm::enumerate(facts))
      if (llvm::Error error = addWeight(index, weight))
        return error;
    for (auto [patterns, name] :
         {std::pair<NamePatterns *, const char *>(&keep, "keep"),
          {&overrides, "override"},
          {&floors, "floor"},
          {&ceilings, "ceiling"}})
      if (llvm::Error error = patterns->checkAllUsed(name))
        return error;
    if (problem.layers.empty())
      return llvm::createStringError(
          "no weight is left to choose for; keep or override fewer");
    addGroups();
    addBlocks();
    if (llvm::Error error = addModel())
      return error;
    return problem.check();
  }

private:
  llvm::Error compilePatterns() {
    for (const std::string &pattern : options.keep)
      if (llvm::Error error = keep.add(pattern))
        return error;
    for (const ChoiceOverride &item : options.overrides)
      if (llvm::Error error = overrides.add(item.pattern))
        return error;
    for (const WidthLimit &limit : options.floors)
      if (llvm::Error error = floors.add(limit.pattern))
        return error;
    for (const WidthLimit &limit : options.ceilings)
      if (llvm::Error error = ceilings.add(limit.pattern))
        return error;
    return llvm::Error::success();
  }

  llvm::Error addWeight(unsigned index, const WeightFacts &weight) {
    std::optional<size_t> left = keep.match(weight.name),
                          pinned = overrides.match(weight.name),
                          floor = floors.match(weight.name),
                          ceiling = ceilings.match(weight.name);
    if (left) {
      PlanEntry entry = StorageChoice().entryFor(weight, options.layout);
      entry.keep = true;
      entry.reason = "keep " + options.keep[*left];
      fixed.push_back(std::move(entry));
      return llvm::Error::success();
    }
    bool outside = weight.feedsGather || weight.isHead;
    if (!pinned && outside && options.outer) {
      PlanEntry entry = options.outer->entryFor(weight, options.layout);
      entry.reason =
          weight.feedsGather && weight.isHead
              ? "embedding and head share it: outside of the budget's layers"
          : weight.isHead ? "the head: outside of the budget's layers"
                          : "an embedding: outside of the budget's layers";
      fixed.push_back(std::move(entry));
      return llvm::Error::success();
    }
    RatioLayer layer;
    layer.name = weight.name;
    layer.weights = weight.n * weight.k;
    std::vector<StorageChoice> list;
    if (pinned)
      list = {options.overrides[*pinned].choice};
    else
      list = options.choices;
    if (floor && !pinned) // what is named by choice beats a limit
      layer.floor = options.floors[*floor].bits;
    if (ceiling && !pinned)
      layer.ceiling = options.ceilings[*ceiling].bits;
    // A floor above all choices asks for the weight as it is.
    if (layer.floor > 0 && llvm::all_of(list, [&](const StorageChoice &choice) {
          return choice.bits() < layer.floor;
        })) {
      list.emplace_back();
      list.back().keep = true;
    }
    const MeasuredWeight *measured = measurements.find(weight.name);
    if (measured && (measured->n != weight.n || measured->k != weight.k))
      return llvm::createStringError(llvm::formatv(
          "the measurements of weight '{0}' are of a matrix "
          "{1}x{2} and the model's is {3}x{4}; measure anew",
          weight.name, measured->n, measured->k, weight.n, weight.k));
    std::vector<StorageChoice> kept;
    for (const StorageChoice &choice : list) {
      if (choice.keep) {
        layer.choices.push_back({choice.bytes(weight, options.layout), 0,
                                 choice.bits(), choice.str()});
        kept.push_back(choice);
        continue;
      }
      // Rows that are looked up have one width: the choice without them is
      // the same bytes at its own loss.
      if (choice.rows && weight.feedsGather && !pinned)
        continue;
      const double *loss = measured ? measured->find(choice.str()) : nullptr;
      if (!loss && !pinned)
        return llvm::createStringError(
            "the measurements have no loss of weight '" + weight.name +
            "' as " + choice.str() +
            "; measure it (cq plan, or "
            "cq-measure-losses) or leave the choice out");
      // Shares of rows can round to the same panels. (Weights that must share a
      // choice by position keep them all, and those that are named.)
      PlanEntry entry = choice.entryFor(weight, options.layout);
      if (!options.tieFused && options.solver.low.empty() &&
          options.solver.high.empty() &&
          llvm::any_of(kept, [&](const StorageChoice &other) {
            return storesEqually(entry, other.entryFor(weight, options.layout));
          }))
        continue;
      layer.choices.push_back({choice.bytes(weight, options.layout),
                               loss ? *loss : 0.0, choice.bits(),
                               choice.str()});
      kept.push_back(choice);
    }
    if (kept.empty())
      return llvm::createStringError(
          "weight '" + weight.name +
          "' is looked up by rows, which have one width, and all choices have "
          "rows of two; name one without rows, or give --outer=SCHEME");
    isPinned.push_back(pinned.has_value());
    choices.push_back(std::move(kept));
    factOf.push_back(index);
    problem.layers.push_back(std::move(layer));
    return llvm::Error::success();
  }

  void addGroups() {
    // A pinned layer has a list of its own and moves with nobody; one that may
    // also be kept moves with its like.
    std::map<std::pair<int64_t, size_t>, std::vector<unsigned>> shared, fused;
    for (unsigned l = 0; l < factOf.size(); ++l) {
      size_t count = problem.layers[l].choices.size();
      if (isPinned[l])
        continue;
      if (int64_t id = facts[factOf[l]].sharedArgument; id >= 0)
        shared[{id, count}].push_back(l);
      if (int64_t id = facts[factOf[l]].fusedInput; id >= 0 && options.tieFused)
        fused[{id, count}].push_back(l);
    }
    llvm::EquivalenceClasses<unsigned> classes;
    for (auto *sets : {&shared, &fused})
      for (auto &[id, layers] : *sets)
        for (unsigned layer : layers)
          classes.unionSets(layers.front(), layer);
    std::map<unsigned, std::vector<unsigned>> groups;
    for (unsigned l = 0; l < factOf.size(); ++l)
      if (classes.contains(l))
        groups[classes.getLeaderValue(l)].push_back(l);
    for (auto &[leader, layers] : groups)
      if (layers.size() > 1)
        problem.groups.push_back(std::move(layers));
  }

  void addBlocks() {
    std::map<int64_t, RatioBlock> blocks;
    for (unsigned l = 0; l < factOf.size(); ++l)
      if (int64_t number = blockNumber(problem.layers[l].name); number >= 0)
        blocks[number].layers.push_back(l);
    for (auto &[number, block] : blocks) {
      if (options.interactions)
        addMatrix(block);
      problem.blocks.push_back(std::move(block));
    }
  }

  /// The entries that the file has of the block's variables; others are 0.
  void addMatrix(RatioBlock &block) {
    std::map<std::pair<llvm::StringRef, llvm::StringRef>, size_t> positions;
    size_t size = 0;
    for (unsigned layer : block.layers)
      for (const RatioChoice &choice : problem.layers[layer].choices)
        positions[{problem.layers[layer].name, choice.label}] = size++;
    for (const MeasuredBlock &measured : measurements.blocks) {
      if (measured.block == MeasuredBlock::wholeModel)
        continue;
      size_t width = measured.variables.size();
      std::vector<std::pair<size_t, size_t>> known; // (file's, problem's)
      for (auto [i, variable] : llvm::enumerate(measured.variables)) {
        auto it = positions.find({variable.first, variable.second});
        if (it != positions.end())
          known.push_back({i, it->second});
      }
      if (known.empty())
        continue;
      block.matrix.resize(size * size);
      for (auto [i, a] : known)
        for (auto [j, c] : known)
          if (measured.variables[i].first != measured.variables[j].first)
            block.matrix[a * size + c] = measured.matrix[i * width + j];
    }
  }

  /// A record over all blocks: a vector for each of its variables. A choice
  /// that it lacks has the direction of the layer's nearest one, and the length
  /// that its own loss says.
  llvm::Error addModel() {
    auto record = llvm::find_if(measurements.blocks, [](const auto &block) {
      return block.block == MeasuredBlock::wholeModel;
    });
    if (!options.interactions || record == measurements.blocks.end())
      return llvm::Error::success();
    size_t count = record->variables.size();
    auto factor = factoriseGram(record->matrix, count);
    if (!factor)
      return llvm::createStringError(
          "the measurements' matrix over all blocks is not positive "
          "semidefinite; measure anew (cq measure --pairs=model), or leave "
          "interactions out");
    llvm::StringMap<std::vector<size_t>> known;
    for (auto [i, variable] : llvm::enumerate(record->variables))
      known[variable.first].push_back(i);
    RatioGram gram;
    gram.dimension = static_cast<int64_t>(factor->dimension);
    gram.scale = 0.5; // the matrix has 2 ⟨Δ_a, Δ_c⟩
    for (const RatioLayer &layer : problem.layers)
      for (const RatioChoice &choice : layer.choices) {
        double nearest = std::numeric_limits<double>::infinity(), scale = 0;
        size_t from = 0;
        for (size_t i : known.lookup(layer.name)) {
          double loss = 0.5 * record->matrix[i * count + i];
          if (!(loss > 0) || !(choice.loss > 0))
            continue;
          bool same = record->variables[i].second == choice.label;
          double distance = same ? -1 : std::fabs(std::log(choice.loss / loss));
          if (distance < nearest) {
            nearest = distance;
            scale = same ? 1 : std::sqrt(choice.loss / loss);
            from = i;
          }
        }
        for (size_t d = 0; d < factor->dimension; ++d)
          gram.vectors.push_back(static_cast<float>(
              scale * factor->vectors[from * factor->dimension + d]));
      }
    problem.gram = std::move(gram);
    coverBlocks();
    return llvm::Error::success();
  }

  /// Methods that go by blocks need the blocks, whose matrices then hold what
  /// the Gram matrix leaves to them; the others know pairs only.
  void coverBlocks() {
    switch (options.solver.method) {
    case RatioMethod::Exact:
    case RatioMethod::Bound:
    case RatioMethod::Greedy:
    case RatioMethod::Uniform:
      problem.blocks.clear();
      return;
    default:
      break;
    }
    std::vector<size_t> offsets = problem.variableOffsets();
    for (RatioBlock &block : problem.blocks) {
      std::vector<size_t> variables;
      for (unsigned layer : block.layers)
        for (size_t i = offsets[layer]; i < offsets[layer + 1]; ++i)
          variables.push_back(i);
      size_t size = variables.size();
      block.matrix.assign(size * size, 0);
      for (size_t a = 0; a < size; ++a)
        for (size_t c = 0; c < a; ++c) {
          double sum = 0;
          for (int64_t d = 0; d < problem.gram->dimension; ++d)
            sum +=
                static_cast<double>(
                    problem.gram
                        ->vectors[variables[a] * problem.gram->dimension + d]) *
                static_cast<double>(
                    problem.gram
                        ->vectors[variables[c] * problem.gram->dimension + d]);
          block.matrix[a * size + c] = block.matrix[c * size + a] =
              2 * problem.gram->scale * sum;
        }
    }
  }

  static bool storesEqually(const PlanEntry &a, const PlanEntry &b) {
    return a.scheme == b.scheme && a.quantizer == b.quantizer &&
           a.wide == b.wide && a.cherries == b.cherries &&
           (a.cherries.form == CherryForm::None || a.criterion == b.criterion);
  }

  llvm::ArrayRef<WeightFacts> facts;
  const Measurements &measurements;
  const RatioPlanOptions &options;
  std::vector<bool> isPinned; ///< by layer
  NamePatterns keep, overrides, floors, ceilings;
};

} // namespace

llvm::Expected<RatioPlanProblem>
mlir::cq::buildRatioPlanProblem(llvm::ArrayRef<WeightFacts> facts,
                                const Measurements &measurements,
                                const RatioPlanOptions &options) {
  ProblemBuilder builder(facts, measurements, options);
  if (llvm::Error error = builder.run())
    return std::move(error);
  return std::move(static_cast<RatioPlanProblem &>(builder));
}
