//===- RatioPlan.cpp - From measured losses to a plan ----- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/RatioPlan.h"
#include "GramFactor.h"
#include "NamePatterns.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>
#include <map>

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

namespace {

class PlannerBuilder {
public:
  PlannerBuilder(llvm::ArrayRef<WeightFacts> facts,
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

  RatioProblem problem;
  std::vector<std::vector<StorageChoice>> choices;
  std::vector<unsigned> factOf;
  std::vector<PlanEntry> fixed;

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

llvm::Expected<RatioPlanner>
RatioPlanner::create(llvm::ArrayRef<WeightFacts> facts,
                     const Measurements &measurements,
                     const RatioPlanOptions &options) {
  if (options.choices.empty())
    return llvm::createStringError("there are no choices to choose from");
  if (options.bitsPerWeight.has_value() == options.bytes.has_value())
    return llvm::createStringError(
        "give one budget, in bits per weight or in bytes");
  PlannerBuilder builder(facts, measurements, options);
  if (llvm::Error error = builder.run())
    return std::move(error);
  RatioPlanner planner;
  planner.options = options;
  planner.facts.assign(facts.begin(), facts.end());
  planner.header = measurements.header;
  planner.ratio = std::move(builder.problem);
  planner.layerChoices = std::move(builder.choices);
  planner.factOf = std::move(builder.factOf);
  planner.fixed = std::move(builder.fixed);
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
