//===- PlanPasses.cpp - Solve, load, verify -------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Analysis/PlanAttributes.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "cq/Solver/UniformPlan.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MemoryBuffer.h"

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
    llvm::Expected<UniformOptions> options = readOptions();
    if (!options) {
      (void)fail(getOperation(), options.takeError());
      return signalPassFailure();
    }
    llvm::Expected<Plan> plan = solveUniform(facts, *options);
    if (!plan) {
      (void)fail(getOperation(), plan.takeError());
      return signalPassFailure();
    }
    for (const PlanEntry &entry : plan->entries) {
      ++numPlanned;
      if (entry.keep)
        ++numKept;
      if (entry.keep || entry.scheme != options->scheme)
        remarkOn(getOperation())
            << "weight '" << entry.name << "' [" << entry.n << ", " << entry.k
            << "]: " << entry.str() << " (" << entry.reason << ")";
    }
    for (const TracedWeight &weight : tracing.getWeights())
      if (!weight.canQuantize())
        remarkOn(getOperation()) << "weight '" << weight.name
                                 << "' is left as it is: " << weight.obstacle;
    setPlanAttr(getOperation(), *plan);
  }

  /// The options' words as values of the codec.
  llvm::Expected<UniformOptions> readOptions() {
    UniformOptions out;
    std::string text = "b" + std::to_string(bits) + "-" +
                       (groupSize == "row" ? "row" : "g" + groupSize) + "-" +
                       grid + "-" + scaleType;
    llvm::Expected<Scheme> scheme = Scheme::parse(text);
    if (!scheme)
      return scheme.takeError();
    out.scheme = *scheme;
    llvm::Expected<Scheme> outerScheme = Scheme::parse(outer);
    if (!outerScheme)
      return outerScheme.takeError();
    out.outerScheme = *outerScheme;
    auto unknown = [](StringRef option, StringRef value) {
      return llvm::createStringError("'" + value + "' is no value of option '" +
                                     option + "'");
    };
    auto kind = parseQuantizerKind(quantizer);
    if (!kind)
      return unknown("quantizer", quantizer);
    out.quantizer = *kind;
    auto form = parseCherryForm(cherryForm);
    if (!form)
      return unknown("cherry-form", cherryForm);
    out.cherryForm = cherries ? *form : CherryForm::None;
    auto criterion = parseCherryCriterion(cherryCriterion);
    if (!criterion)
      return unknown("cherry-criterion", cherryCriterion);
    out.criterion = *criterion;
    out.cherryRatio = cherryRatio;
    out.keep.assign(keep.begin(), keep.end());
    out.overrides.assign(overrides.begin(), overrides.end());
    return out;
  }
};

struct LoadPlan : cq::impl::CQLoadPlanBase<LoadPlan> {
  using CQLoadPlanBase::CQLoadPlanBase;
  void runOnOperation() override {
    auto buffer = llvm::MemoryBuffer::getFile(plan, /*IsText=*/true);
    if (!buffer) {
      emitError(getOperation().getLoc())
          << "cannot read plan '" << plan.getValue()
          << "': " << buffer.getError().message();
      return signalPassFailure();
    }
    llvm::Expected<Plan> parsed =
        Plan::parse((*buffer)->getBuffer(), plan.getValue());
    if (!parsed) {
      (void)fail(getOperation(), parsed.takeError());
      return signalPassFailure();
    }
    // What the attribute does not hold is checked here.
    WeightTracing tracing(getOperation());
    tracing.solve();
    llvm::Expected<PlanSize> size = parsed->verify(getWeightFacts(tracing));
    if (!size) {
      emitError(getOperation().getLoc()) << "plan " << plan.getValue() << ": "
                                         << llvm::toString(size.takeError());
      return signalPassFailure();
    }
    setPlanAttr(getOperation(), *parsed);
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    CQLoadPlanBase::getDependentDialects(registry);
    registerLinalgWeightConsumers(registry);
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
    std::vector<WeightFacts> facts = getWeightFacts(tracing);
    llvm::Expected<Plan> plan = getPlanAttr(getOperation());
    if (!plan) {
      (void)fail(getOperation(), plan.takeError());
      return signalPassFailure();
    }
    llvm::Expected<PlanSize> size = plan->verify(facts);
    if (!size) {
      (void)fail(getOperation(), size.takeError());
      return signalPassFailure();
    }
    planBytes += size->bytes;
    std::string bpw;
    llvm::raw_string_ostream(bpw)
        << llvm::format("%.3f", size->bitsPerWeight());
    remarkOn(getOperation())
        << "plan: " << size->weights << " weights in " << size->bytes
        << " bytes, " << bpw << " bits per weight; " << size->keptWeights
        << " weights kept";
    if (!planOut.empty() && failed(write(*plan, facts)))
      return signalPassFailure();
    markAllAnalysesPreserved();
  }

  LogicalResult write(Plan &plan, ArrayRef<WeightFacts> facts) {
    plan.model = fingerprint(facts);
    for (PlanEntry &entry : plan.entries)
      if (!entry.keep)
        entry.bytes = entry.batch *
                      planeBytes(entry.n, entry.k, entry.scheme,
                                 Layout::uniform(LayoutKind::Panel16, entry.n,
                                                 entry.scheme.bits),
                                 entry.cherries)
                          .total();
    std::string text = plan.str();
    llvm::Error error =
        llvm::writeToOutput(planOut, [&](llvm::raw_ostream &os) {
          os << text;
          return llvm::Error::success();
        });
    if (error)
      return emitError(getOperation().getLoc())
             << "cannot write plan '" << planOut.getValue()
             << "': " << llvm::toString(std::move(error));
    return success();
  }
};

} // namespace
