//===- Plan.cpp - cq plan: what a budget would buy ----- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Budget.h"
#include "StatisticsArguments.h"
#include "Verbs.h"
#include "cq/Solver/RatioPlan.h"
#include "cq/Support/Progress.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::SubCommand
    command("plan", "Decides which bits go to which weight within a budget and "
                    "shows why; nothing is quantized");
static cl::OptionCategory options("plan options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<module made by cq import>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    output("o", cl::value_desc("file"),
           cl::desc("Write the plan here, for editing and for cq quantize "
                    "--plan"),
           cl::sub(command), cl::cat(options));
static tool::StatisticsArguments statistics(command, options);
static cl::opt<std::string>
    outer("outer",
          cl::desc("Embeddings and the head: a choice, or `solve` (default: "
                   "solved for a --size where --stats has their Fisher sums, "
                   "else b8-g64-symmetric-f16)"),
          cl::sub(command), cl::cat(options));
static cl::opt<std::string> keep("keep",
                                 cl::desc("Leave weights of matching names as "
                                          "they are (REGEX,REGEX…)"),
                                 cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    overrides("override", cl::desc("REGEX:CHOICE,… e.g. attn_v:b4-g64/gptq"),
              cl::sub(command), cl::cat(options));
static cl::opt<bool> why("why", cl::desc("One line more a weight: the reason"),
                         cl::sub(command), cl::cat(options));
static cl::opt<unsigned>
    curvePoints("curve", cl::init(25), cl::ValueOptional,
                cl::value_desc("points"),
                cl::desc("Show the least predicted loss over the budget"),
                cl::sub(command), cl::cat(options));
static tool::BudgetOptions budget(command, options);

static void printTable(const Plan &plan) {
  llvm::outs() << llvm::formatv("{0,-32} {1,12} {2,-40} {3,12} {4,6} {5,10}\n",
                                "weight", "shape", "stored as", "bytes", "bpw",
                                "loss");
  for (const PlanEntry &entry : plan.entries) {
    std::string what = entry.keep ? "kept" : StorageChoice::of(entry).str();
    std::string loss = "";
    if (const PlanCandidate *chosen =
            entry.keep ? nullptr : chosenCandidate(entry))
      loss = llvm::formatv("{0}", llvm::format("%.3g", chosen->loss));
    llvm::outs() << llvm::formatv(
        "{0,-32} {1,12} {2,-40} {3,12} {4,6:f3} {5,10}\n", entry.weight,
        std::to_string(entry.n) + "x" + std::to_string(entry.k), what,
        formatCount(entry.bytes()),
        8.0 * static_cast<double>(entry.bytes()) /
            static_cast<double>(entry.n * entry.k),
        loss);
    if (why && !entry.reason.empty())
      llvm::outs() << "    " << entry.reason << '\n';
  }
}

static void printSums(const Plan &plan) {
  // Bits over classes of layers, the shortest answer to "what got which bits".
  llvm::StringMap<unsigned> index;
  llvm::SmallVector<std::pair<std::string, std::pair<int64_t, int64_t>>> sums;
  for (const PlanEntry &entry : plan.entries) {
    if (entry.keep)
      continue;
    std::string what = std::to_string(entry.scheme.bits) + " bits";
    auto [it, fresh] = index.try_emplace(what, sums.size());
    if (fresh)
      sums.push_back({what, {0, 0}});
    sums[it->second].second.first += 1;
    sums[it->second].second.second += entry.n * entry.k;
  }
  llvm::sort(sums);
  llvm::outs() << '\n';
  for (const auto &[what, sum] : sums)
    llvm::outs() << llvm::formatv("  {0}  {1,4} weight matrices, {2} weights\n",
                                  what, sum.first, formatCount(sum.second));
  PlanTotals totals = plan.totals();
  llvm::outs() << llvm::formatv(
      "payload {0}, {1:f3} bpw over {2} weights\n", formatBytes(totals.bytes),
      totals.bitsPerWeight(), formatCount(totals.weights));
  if (!plan.decision)
    return;
  const PlanDecision &decision = *plan.decision;
  llvm::outs() << llvm::formatv(
      "budget  {0} bytes, {1} spent; predicted loss ({2}) {3}",
      formatCount(decision.budget), formatCount(decision.bytes), decision.loss,
      llvm::format("%.6g", decision.predictedLoss));
  if (decision.bound)
    llvm::outs() << llvm::formatv(
        ", proven gap {0}",
        llvm::format("%.2g", decision.predictedLoss - *decision.bound));
  llvm::outs() << llvm::formatv("\nprice   {0} of loss a byte\n",
                                llvm::format("%.3g", decision.price));
}

/// Least predicted loss over bits per weight, the plan among them, and what was
/// measured where it is known.
static llvm::Error printCurve(const Plan &plan) {
  if (!plan.decision || plan.decision->curve.empty())
    return llvm::createStringError(
        "there is no curve: nothing was decided, or its blocks are too large "
        "to enumerate");
  struct Point {
    double bits, loss;
    bool chosen;
  };
  std::vector<Point> points;
  // As many of the plan's points as are asked for, first and last among them.
  size_t last = plan.decision->curve.size() - 1,
         count = std::clamp<size_t>(curvePoints, 2, last + 1);
  for (size_t i = 0; i < count && last > 0; ++i) {
    auto [bits, loss] = plan.decision->curve[i * last / (count - 1)];
    points.push_back({bits, loss, false});
  }
  points.push_back(
      {plan.decidedBitsPerWeight(), plan.decision->predictedLoss, true});
  llvm::sort(points, [](const Point &a, const Point &b) {
    return std::pair(a.bits, a.chosen) < std::pair(b.bits, b.chosen);
  });
  // Losses fall by orders of magnitude: bars are logarithmic.
  double most = -1e300, least = 1e300;
  for (const Point &point : points)
    if (point.loss > 0) {
      most = std::max(most, std::log10(point.loss));
      least = std::min(least, std::log10(point.loss));
    }
  llvm::outs() << "\n   bpw  predicted loss (" << plan.decision->loss
               << ", log scale)\n";
  for (const Point &point : points) {
    double share = most > least && point.loss > 0
                       ? (std::log10(point.loss) - least) / (most - least)
                       : 0;
    llvm::outs() << llvm::formatv(
        "{0,6:f3}  {1,-10} {2}{3}\n", point.bits,
        llvm::format("%.4g", point.loss),
        std::string(1 + static_cast<size_t>(std::lround(49 * share)), '#'),
        point.chosen ? "  <- this plan" : "");
  }
  return llvm::Error::success();
}

static llvm::Error run() {
  if (llvm::Error error = statistics.check())
    return error;
  if (!budget.given())
    return llvm::createStringError(
        "give a budget: --bpw=3.25 (bits per weight) or --size=60MB");
  auto module = tool::ImportedModule::open(input);
  if (!module)
    return module.takeError();
  std::string archive = module->archivePath();
  auto stats = statistics.find(input, archive);
  if (!stats)
    return stats.takeError();
  if (stats->empty())
    tool::BudgetOptions::adviseStatistics();

  llvm::SmallString<128> planPath(output);
  if (output.empty())
    if (std::error_code code =
            llvm::sys::fs::createTemporaryFile("cq-plan", "json", planPath))
      return llvm::createStringError("cannot make a temporary file: " +
                                     code.message());
  llvm::scope_exit cleanUp([&] {
    if (output.empty())
      llvm::sys::fs::remove(planPath);
  });
  auto text = budget.pipelineOptions(archive, *stats, overrides);
  if (!text)
    return text.takeError();
  for (auto [name, value] :
       {std::pair<llvm::StringRef, llvm::StringRef>("outer", outer),
        {"keep", keep},
        {"stats", *stats},
        {"parameters", archive},
        {"plan-out", planPath},
        {"plan-only", "true"},
        {"progress", "true"}})
    text->add(name, value);
  if (llvm::Error error =
          module->run(text->of("cq-quantize"), "there is no plan for " + input))
    return error;
  auto plan = Plan::read(planPath);
  if (!plan)
    return plan.takeError();
  printTable(*plan);
  printSums(*plan);
  if (curvePoints.getNumOccurrences())
    return printCurve(*plan);
  return llvm::Error::success();
}

tool::Verb tool::planVerb() { return {&command, &options, &run}; }
