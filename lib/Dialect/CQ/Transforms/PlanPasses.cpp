//===- PlanPasses.cpp - Solve, load, verify -------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightStatistics.h"
#include "cq/Analysis/PlanAttributes.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "cq/Solver/UniformPlan.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Format.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CQSOLVEUNIFORM
#define GEN_PASS_DEF_CQLOADPLAN
#define GEN_PASS_DEF_CQVERIFYPLAN
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

/// A remark at the module's place. Not on the op: a note with the printed op
/// would print every weight.
static InFlightDiagnostic remarkOn(Operation *op) {
  return emitRemark(op->getLoc());
}

static LogicalResult fail(Operation *op, llvm::Error error) {
  return emitError(op->getLoc()) << llvm::toString(std::move(error));
}

namespace {

struct SolveUniform : cq::impl::CQSolveUniformBase<SolveUniform> {
  using CQSolveUniformBase::CQSolveUniformBase;
  void getDependentDialects(DialectRegistry &registry) const override {
    CQSolveUniformBase::getDependentDialects(registry);
    registerLinalgWeightConsumers(registry);
  }

  void runOnOperation() override {
    WeightTracing tracing(getOperation());
    tracing.solve();
    std::vector<WeightFacts> facts = getWeightFacts(tracing);
    llvm::Expected<std::unique_ptr<WeightStatistics>> opened =
        WeightStatistics::open(stats);
    if (!opened) {
      (void)fail(getOperation(), opened.takeError());
      return signalPassFailure();
    }
    weightStatistics = std::move(*opened);
    llvm::Expected<UniformPlanOptions> options = readOptions(facts);
    if (!options) {
      (void)fail(getOperation(), options.takeError());
      return signalPassFailure();
    }
    llvm::Expected<Plan> plan = solveUniform(facts, *options);
    if (!plan) {
      (void)fail(getOperation(), plan.takeError());
      return signalPassFailure();
    }
    keepWhatWouldGrow(tracing, *plan);
    if (llvm::Error error = checkStatistics(*plan)) {
      (void)fail(getOperation(), std::move(error));
      return signalPassFailure();
    }
    for (const PlanEntry &entry : plan->entries) {
      ++numPlanned;
      if (entry.keep)
        ++numKept;
      if (entry.keep || entry.scheme != options->scheme)
        remarkOn(getOperation())
            << "weight '" << entry.weight << "' [" << entry.n << ", " << entry.k
            << "]: " << (entry.keep ? "kept" : entry.scheme.str()) << " ("
            << entry.reason << ")";
    }
    for (const TracedWeight &weight : tracing.getWeights())
      if (!weight.canQuantize())
        remarkOn(getOperation()) << "weight '" << weight.name
                                 << "' is left as it is: " << weight.obstacle;
    setPlanAttr(getOperation(), *plan);
  }

  /// Padding can make the planes of a small weight larger than its numbers;
  /// those stay, unless the user asked for them by name.
  static void keepWhatWouldGrow(const WeightTracing &tracing, Plan &plan) {
    for (const TracedWeight &weight : tracing.getWeights())
      for (int64_t slice = 0; weight.canQuantize() && slice < weight.batch;
           ++slice) {
        std::string name = getSliceName(weight, slice);
        int64_t size =
            weight.n * weight.k * (weight.type.getElementTypeBitWidth() / 8);
        for (PlanEntry &entry : plan.entries)
          if (entry.weight == name && !entry.keep && entry.bytes() >= size &&
              !StringRef(entry.reason).starts_with("override")) {
            entry.keep = true;
            entry.reason =
                "its planes would have " +
                std::to_string(entry.codeLayout().codeBytes(entry.n, entry.k)) +
                " bytes and more, its numbers have " + std::to_string(size);
          }
      }
  }

  /// The best quantizer that can be had for all weights: one for all, because
  /// weights that enter one argument must agree.
  QuantizerKind defaultQuantizer(ArrayRef<WeightFacts> facts) {
    if (!weightStatistics)
      return QuantizerKind::RTN;
    const StatisticsReader &reader = weightStatistics->reader();
    bool moments = true, gram = true;
    for (const WeightFacts &weight : facts) {
      if (weight.isHead || weight.feedsGather)
        continue;
      moments &= reader.hasInput(weight.name);
      gram &= reader.hasGram(weight.name);
    }
    auto kind = gram      ? QuantizerKind::GPTQ
                : moments ? QuantizerKind::MSE
                          : QuantizerKind::RTN;
    remarkOn(getOperation())
        << "quantizer " << stringifyQuantizerKind(kind) << ": " << reader.path()
        << " has "
        << (gram      ? "the Gram matrix of every weight's input"
            : moments ? "the second moments of every weight's input, but not "
                        "their Gram matrices"
                      : "no moments of some weights' inputs");
    return kind;
  }

  /// Statistics that the plan needs are an error here, where nothing has been
  /// read or written yet. Without a file the module may stay symbolic.
  llvm::Error checkStatistics(const Plan &plan) {
    for (const PlanEntry &entry : plan.entries) {
      if (entry.keep || !weightStatistics)
        continue;
      std::optional<CherryCriterion> criterion;
      if (entry.cherries.form != CherryForm::None)
        criterion = entry.criterion;
      if (llvm::Error error =
              checkAvailable(entry.weight, entry.quantizer, criterion,
                             &weightStatistics->reader()))
        return llvm::createStringError("weight '" + entry.weight + "': " +
                                       llvm::toString(std::move(error)));
    }
    return llvm::Error::success();
  }

  std::shared_ptr<WeightStatistics> weightStatistics; ///< null without

  /// The options' words as values of the codec.
  llvm::Expected<UniformPlanOptions> readOptions(ArrayRef<WeightFacts> facts) {
    UniformPlanOptions out;
    std::string text =
        "b" + std::to_string(bits) + "-" +
        (groupSize == "row" || groupSize == "0" ? "row" : "g" + groupSize) +
        "-" + grid + "-" + scaleType;
    llvm::Expected<Scheme> scheme = Scheme::parse(text);
    if (!scheme)
      return scheme.takeError();
    out.scheme = *scheme;
    llvm::Expected<Scheme> outerScheme = Scheme::parse(outer);
    if (!outerScheme)
      return outerScheme.takeError();
    out.headScheme = *outerScheme;
    auto unknown = [](StringRef option, StringRef value) {
      return llvm::createStringError("'" + value + "' is no value of option '" +
                                     option + "'");
    };
    auto kind = quantizer.empty() ? std::optional(defaultQuantizer(facts))
                                  : parseQuantizerKind(quantizer);
    if (!kind)
      return unknown("quantizer", quantizer);
    out.quantizer = *kind;
    // Either of the two options asks for cherries; the other has a default.
    // With neither, few bits get cherries: docs/Results.md has the measurement.
    StringRef why = cherries, how = cherryForm;
    if (why.empty())
      why = how == "none" || (how.empty() && bits > 4) ? "none"
            : *kind == QuantizerKind::GPTQ             ? "quant-error"
                                                       : "magnitude";
    if (how.empty())
      how = why == "none" ? "none" : "slot";
    auto form = parseCherryForm(how);
    if (!form)
      return unknown("cherry-form", how);
    out.cherryForm = why == "none" ? CherryForm::None : *form;
    auto criterion = parseCherryCriterion(why == "none" ? "quant-error" : why);
    if (!criterion)
      return unknown("cherries", why);
    out.criterion = *criterion;
    out.cherryRatio = cherryRatio;
    if (!rows.empty()) {
      auto share = RowShare::parse(rows);
      if (!share)
        return share.takeError();
      out.rows = *share;
    }
    out.keep.assign(keep.begin(), keep.end());
    for (const std::string &override : overrides) {
      llvm::Expected<SchemeOverride> parsed = SchemeOverride::parse(override);
      if (!parsed)
        return parsed.takeError();
      out.overrides.push_back(std::move(*parsed));
    }
    return out;
  }
};

struct LoadPlan : cq::impl::CQLoadPlanBase<LoadPlan> {
  using CQLoadPlanBase::CQLoadPlanBase;
  void runOnOperation() override {
    llvm::Expected<Plan> parsed = Plan::read(plan);
    if (!parsed) {
      (void)fail(getOperation(), parsed.takeError());
      return signalPassFailure();
    }
    setPlanAttr(getOperation(), *parsed);
  }
};

struct VerifyPlan : cq::impl::CQVerifyPlanBase<VerifyPlan> {
  using CQVerifyPlanBase::CQVerifyPlanBase;
  void getDependentDialects(DialectRegistry &registry) const override {
    CQVerifyPlanBase::getDependentDialects(registry);
    registerLinalgWeightConsumers(registry);
  }

  void runOnOperation() override {
    WeightTracing tracing(getOperation());
    tracing.solve();
    llvm::Expected<Plan> plan = getPlanAttr(getOperation());
    llvm::Error error = plan ? verifyPlan(*plan, tracing) : plan.takeError();
    if (!error && !planOut.empty())
      error = plan->write(planOut);
    if (error) {
      (void)fail(getOperation(), std::move(error));
      return signalPassFailure();
    }
    PlanTotals totals = plan->totals();
    planBytes += totals.bytes;
    std::string bpw;
    llvm::raw_string_ostream(bpw)
        << llvm::format("%.3f", totals.bitsPerWeight());
    remarkOn(getOperation())
        << "plan: " << totals.weights << " weights in " << totals.bytes
        << " bytes, " << bpw << " bits per weight; " << totals.keptWeights
        << " weights kept";
    markAllAnalysesPreserved();
  }
};

} // namespace
