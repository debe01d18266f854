//===- Plan.cpp - C API: plans --------------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq-c/Plan.h"
#include "Guard.h"
#include "Handles.h"
#include "cq/Solver/RatioPlan.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir::cq;
using namespace mlir::cq::capi;

//===----------------------------------------------------------------------===//
// Solving
//===----------------------------------------------------------------------===//

static llvm::Expected<std::vector<WeightFacts>>
readFacts(const CqWeightFacts *facts, size_t count) {
  if (!facts || count == 0)
    return fail("there are no weights");
  if (count > (size_t(1) << 24))
    return fail("there are more than 2^24 weights");
  std::vector<WeightFacts> result(count);
  for (size_t i = 0; i < count; ++i) {
    if (llvm::Error error = needs(facts[i].name, "name of a weight"))
      return std::move(error);
    auto size = countOf(facts[i].n, facts[i].k);
    if (!size)
      return fail("weight " + quoted(facts[i].name) + ": " +
                  llvm::toString(size.takeError()));
    result[i].name = facts[i].name;
    result[i].n = facts[i].n;
    result[i].k = facts[i].k;
    result[i].isHead = facts[i].is_outer != 0;
  }
  return result;
}

/// What was measured of every weight that is to be decided.
static std::vector<StorageChoice>
commonChoices(llvm::ArrayRef<WeightFacts> facts, const Measurements &from) {
  std::vector<StorageChoice> common;
  bool first = true;
  for (const WeightFacts &weight : facts) {
    const MeasuredWeight *measured =
        weight.isHead ? nullptr : from.find(weight.name);
    if (!measured)
      continue; // the planner says what is missing
    if (first)
      for (const auto &loss : measured->losses) {
        auto choice = StorageChoice::parse(loss.first);
        if (choice)
          common.push_back(*choice);
        else
          llvm::consumeError(choice.takeError());
      }
    else
      llvm::erase_if(common, [&](const StorageChoice &choice) {
        return !measured->find(choice.str());
      });
    first = false;
  }
  return common;
}

static llvm::Error readLimits(const char *text,
                              std::vector<WidthLimit> &limits) {
  for (const std::string &part : splitList(text)) {
    auto limit = WidthLimit::parse(part);
    if (!limit)
      return limit.takeError();
    limits.push_back(*limit);
  }
  return llvm::Error::success();
}

static llvm::Expected<RatioPlanOptions>
readOptions(const CqSolveOptions &given, llvm::ArrayRef<WeightFacts> facts,
            const Measurements &measurements) {
  RatioPlanOptions options;
  if (given.choices) {
    auto choices = parseChoices(splitList(given.choices));
    if (!choices)
      return choices.takeError();
    options.choices = std::move(*choices);
  } else {
    options.choices = commonChoices(facts, measurements);
  }
  if (options.choices.empty())
    return fail("there is no choice that was measured of all weights");
  auto outer =
      StorageChoice::parse(given.outer ? given.outer : "b8-g64-symmetric-f16");
  if (!outer)
    return outer.takeError();
  options.outer = *outer;
  auto method = parseRatioMethod(given.method ? given.method : "exact");
  if (!method)
    return fail(quoted(given.method) +
                " is no method: exact, bound, greedy, uniform, scores, index, "
                "reverse or random");
  options.solver.method = *method;
  options.solver.seed = given.seed;
  if (!(given.bits_per_weight >= 0) || given.bits_per_weight > 64 ||
      given.bytes < 0 || (given.bits_per_weight > 0) == (given.bytes > 0))
    return fail("give a budget: bits_per_weight (at most 64) or bytes, the "
                "other 0");
  if (given.bytes > 0)
    options.bytes = given.bytes;
  else
    options.bitsPerWeight = given.bits_per_weight;
  options.keep = splitList(given.keep);
  for (const std::string &text : splitList(given.override)) {
    auto [pattern, choiceText] = splitOverride(text);
    auto choice = StorageChoice::parse(choiceText);
    if (!choice)
      return choice.takeError();
    options.overrides.push_back({pattern.str(), *choice});
  }
  if (llvm::Error error = readLimits(given.floors, options.floors))
    return std::move(error);
  if (llvm::Error error = readLimits(given.ceilings, options.ceilings))
    return std::move(error);
  if (given.curve > 10000)
    return fail("a curve has at most 10000 points");
  options.curvePoints = given.curve;
  return options;
}

CqPlan cqPlanSolve(CqMeasurements measurements, const CqWeightFacts *facts,
                   size_t count, const CqSolveOptions *options) {
  return guard<CqPlan>(nullptr, [&]() -> llvm::Expected<CqPlan> {
    if (llvm::Error error = needs(measurements, "measurements"))
      return std::move(error);
    if (llvm::Error error = needs(options, "options"))
      return std::move(error);
    const Measurements &held = measurements->held;
    CqSolveOptions given = {};
    if (llvm::Error error = copyOptions(options, given, "CqSolveOptions"))
      return std::move(error);
    std::vector<CqWeightFacts> measured;
    if (!facts && count == 0) {
      for (const MeasuredWeight &weight : held.weights)
        measured.push_back({weight.weight.c_str(), weight.n, weight.k, 0});
      facts = measured.data();
      count = measured.size();
    }
    auto weights = readFacts(facts, count);
    if (!weights)
      return weights.takeError();
    auto planOptions = readOptions(given, *weights, held);
    if (!planOptions)
      return planOptions.takeError();
    auto planner = RatioPlanner::create(*weights, held, *planOptions);
    if (!planner)
      return planner.takeError();
    auto plan = planner->plan();
    if (!plan)
      return plan.takeError();
    if (llvm::Error error = verifyPlan(*plan, *weights))
      return std::move(error);
    return new CqPlan_{std::move(*plan)};
  });
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

/// A plan that was read, its shapes and counts small enough to count with.
static llvm::Expected<CqPlan> take(llvm::Expected<Plan> plan) {
  if (!plan)
    return plan.takeError();
  for (const PlanEntry &entry : plan->entries) {
    auto check = [&]() -> llvm::Error {
      auto count = countOf(entry.n, entry.k);
      if (!count || entry.keep)
        return count.takeError();
      if (llvm::Error error = entry.cherries.check(entry.n, entry.k))
        return error;
      return entry.codeLayout().check(entry.n, entry.k);
    };
    if (llvm::Error error = check())
      return fail("the plan's weight " + quoted(entry.weight) + ": " +
                  llvm::toString(std::move(error)));
  }
  return new CqPlan_{std::move(*plan)};
}

CqPlan cqPlanParse(const char *json, size_t length) {
  return guard<CqPlan>(nullptr, [&]() -> llvm::Expected<CqPlan> {
    if (llvm::Error error = needs(json, "json"))
      return std::move(error);
    return take(Plan::fromJSON(llvm::StringRef(json, length), "(text)"));
  });
}

CqPlan cqPlanRead(const char *path) {
  return guard<CqPlan>(nullptr, [&]() -> llvm::Expected<CqPlan> {
    if (llvm::Error error = needs(path, "path"))
      return std::move(error);
    return take(Plan::read(path));
  });
}

char *cqPlanPrint(CqPlan plan) {
  return guard<char *>(nullptr, [&]() -> llvm::Expected<char *> {
    if (llvm::Error error = needs(plan, "plan"))
      return std::move(error);
    return copyText(llvm::formatv("{0:2}\n", plan->plan.toJSON()).str());
  });
}

int cqPlanWrite(CqPlan plan, const char *path) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(plan, "plan"))
      return error;
    if (llvm::Error error = needs(path, "path"))
      return error;
    return plan->plan.write(path);
  });
}

void cqPlanFree(CqPlan plan) { delete plan; }

//===----------------------------------------------------------------------===//
// Looking at one, editing one
//===----------------------------------------------------------------------===//

int64_t cqPlanSize(CqPlan plan) {
  return guard<int64_t>(-1, [&]() -> llvm::Expected<int64_t> {
    if (llvm::Error error = needs(plan, "plan"))
      return std::move(error);
    return static_cast<int64_t>(plan->plan.entries.size());
  });
}

char *cqPlanWeight(CqPlan plan, int64_t index) {
  return guard<char *>(nullptr, [&]() -> llvm::Expected<char *> {
    if (llvm::Error error = needs(plan, "plan"))
      return std::move(error);
    const auto &entries = plan->plan.entries;
    if (index < 0 || index >= static_cast<int64_t>(entries.size()))
      return fail("the plan has " + llvm::Twine(entries.size()) +
                  " weights, there is no weight " + llvm::Twine(index));
    return copyText(entries[index].weight);
  });
}

static llvm::Expected<PlanEntry *> find(CqPlan plan, const char *weight) {
  if (llvm::Error error = needs(plan, "plan"))
    return std::move(error);
  if (llvm::Error error = needs(weight, "weight"))
    return std::move(error);
  if (const PlanEntry *entry = plan->plan.find(weight))
    return const_cast<PlanEntry *>(entry);
  return fail("the plan does not mention weight " + quoted(weight));
}

char *cqPlanChoice(CqPlan plan, const char *weight) {
  return guard<char *>(nullptr, [&]() -> llvm::Expected<char *> {
    auto entry = find(plan, weight);
    if (!entry)
      return entry.takeError();
    return copyText(StorageChoice::of(**entry).str());
  });
}

int cqPlanSetChoice(CqPlan plan, const char *weight, const char *choice) {
  return guardStatus([&]() -> llvm::Error {
    auto entry = find(plan, weight);
    if (!entry)
      return entry.takeError();
    if (llvm::Error error = needs(choice, "choice"))
      return error;
    auto parsed = StorageChoice::parse(choice);
    if (!parsed)
      return parsed.takeError();
    WeightFacts facts;
    facts.name = weight;
    facts.n = (*entry)->n;
    facts.k = (*entry)->k;
    PlanEntry edited = parsed->entryFor(facts, (*entry)->layout);
    if (!edited.keep) {
      if (edited.wide)
        if (llvm::Error error = edited.wide.check(facts.n, edited.scheme))
          return error;
      if (llvm::Error error = edited.cherries.check(facts.n, facts.k))
        return error;
    }
    edited.reason = "by hand";
    **entry = std::move(edited);
    plan->plan.decision.reset();
    for (PlanEntry &other : plan->plan.entries)
      other.candidates.clear();
    return llvm::Error::success();
  });
}

int64_t cqPlanBytes(CqPlan plan) {
  return guard<int64_t>(-1, [&]() -> llvm::Expected<int64_t> {
    if (llvm::Error error = needs(plan, "plan"))
      return std::move(error);
    return plan->plan.totals().bytes;
  });
}

double cqPlanBitsPerWeight(CqPlan plan) {
  return guard<double>(-1, [&]() -> llvm::Expected<double> {
    if (llvm::Error error = needs(plan, "plan"))
      return std::move(error);
    return plan->plan.totals().bitsPerWeight();
  });
}

int cqPlanVerify(CqPlan plan, const CqWeightFacts *facts, size_t count) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(plan, "plan"))
      return error;
    auto weights = readFacts(facts, count);
    if (!weights)
      return weights.takeError();
    return verifyPlan(plan->plan, *weights);
  });
}
