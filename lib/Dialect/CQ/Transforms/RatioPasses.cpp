//===- RatioPasses.cpp - Measure losses, solve for a budget - -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ArchiveBytes.h"
#include "WeightEvaluation.h"
#include "cq/Analysis/PlanAttributes.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "cq/Measure/WeightLoss.h"
#include "cq/Solver/RatioPlan.h"
#include "cq/Stats/Scores.h"
#include "cq/Support/Progress.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/MLProgram/IR/MLProgramAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Remarks.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CQMEASURELOSSES
#define GEN_PASS_DEF_CQSOLVERATIOS
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

static llvm::Expected<std::unique_ptr<StatisticsReader>>
openStatistics(StringRef path) {
  if (path.empty())
    return std::unique_ptr<StatisticsReader>();
  return StatisticsReader::open(path);
}

namespace {

struct MeasureLosses : cq::impl::CQMeasureLossesBase<MeasureLosses> {
  using CQMeasureLossesBase::CQMeasureLossesBase;
  void getDependentDialects(DialectRegistry &registry) const override {
    CQMeasureLossesBase::getDependentDialects(registry);
    registerLinalgWeightConsumers(registry);
  }

  void runOnOperation() override {
    if (llvm::Error error = run()) {
      emitError(getOperation().getLoc()) << llvm::toString(std::move(error));
      return signalPassFailure();
    }
    markAllAnalysesPreserved();
  }

private:
  unsigned threadCount() {
    return getContext().isMultithreadingEnabled() ? 0 : 1;
  }

  llvm::Error run() {
    if (losses.empty())
      return llvm::createStringError(
          "cq-measure-losses needs a file to write: losses=FILE");
    WeightTracing tracing(getOperation());
    tracing.solve();
    auto reader = openStatistics(statistics);
    if (!reader)
      return reader.takeError();
    auto weights = listWeights(tracing, reader->get());
    if (!weights)
      return weights.takeError();
    std::vector<std::string> names;
    for (const TracedWeight *weight : *weights)
      names.push_back(weight->name);
    LossKind kind = defaultLoss(reader->get(), names);
    if (loss != "auto") {
      auto parsed = parseLossKind(loss);
      if (!parsed)
        return llvm::createStringError(
            "'" + loss + "' is no loss: weight, output, fisher or auto");
      kind = *parsed;
    }
    auto list = choicesFor(names, reader->get());
    if (!list)
      return list.takeError();
    MeasurementHeader header;
    header.loss = stringifyLossKind(kind);
    header.statistics = fingerprint(reader->get());
    auto writer = MeasurementWriter::open(losses, header);
    if (!writer)
      return writer.takeError();
    WeightLossMeter meter(kind, reader->get(), threadCount());
    Progress line(progress ? llvm::errs() : llvm::nulls(),
                  "measuring losses (" + stringifyLossKind(kind).str() + ")",
                  weights->size());
    WeightNumbers numbers(getOperation(), parameters, threadCount());
    for (const TracedWeight *weight : *weights) {
      if (llvm::Error error =
              measure(*weight, numbers, *list, reader->get(), meter, **writer))
        return error;
      line.advance(weight->name);
    }
    return llvm::Error::success();
  }

  llvm::Expected<SmallVector<const TracedWeight *>>
  listWeights(WeightTracing &tracing, const StatisticsReader *reader) {
    if (outer != "no" && outer != "auto" && outer != "solve")
      return llvm::createStringError("'" + outer +
                                     "' is no value of outer: no, auto or "
                                     "solve");
    SmallVector<const TracedWeight *> weights;
    for (const TracedWeight &weight : tracing.getWeights()) {
      bool outside = weight.isHead || weight.numGathers != 0;
      // An embedding alone has no input whose moments were measured.
      bool known = outer == "solve" ||
                   (outer == "auto" &&
                    defaultLoss(reader, {weight.name}) == LossKind::Fisher);
      if (weight.canQuantize() && !weight.sourceOps.empty() &&
          (!outside || known))
        weights.push_back(&weight);
    }
    return weights;
  }

  llvm::Expected<std::vector<StorageChoice>>
  choicesFor(ArrayRef<std::string> names, const StatisticsReader *reader) {
    std::vector<std::string> shares(rowRatios.begin(), rowRatios.end());
    // Which rows count most is guesswork without statistics.
    if (shares.empty() && choices.empty() && reader)
      shares = {"1/2"};
    if (shares == std::vector<std::string>{"none"})
      shares.clear();
    if (!choices.empty()) {
      auto parsed = parseChoices(choices);
      if (!parsed)
        return parsed.takeError();
      return withRowShares(std::move(*parsed), shares);
    }
    bool gram = reader != nullptr;
    for (const std::string &name : names)
      gram = gram && reader->hasGram(name);
    // Solved plans were better with cherries by magnitude, uniform ones by
    // quantization error (docs/Results.md).
    std::vector<StorageChoice> list =
        defaultChoices(gram ? QuantizerKind::GPTQ : QuantizerKind::RTN,
                       CherryCriterion::Magnitude);
    // Groups of 64 and weights without cherries lie close by: shares between
    // the usual choices are enough, and each costs a quantization.
    std::vector<StorageChoice> usual;
    llvm::copy_if(list, std::back_inserter(usual),
                  [](const StorageChoice &choice) {
                    return choice.scheme.group == 128 &&
                           choice.cherries.form != CherryForm::None;
                  });
    auto mixed = withRowShares(usual, shares);
    if (!mixed)
      return mixed.takeError();
    list.insert(list.end(), mixed->begin() + usual.size(), mixed->end());
    return list;
  }

  llvm::Error measure(const TracedWeight &weight, WeightNumbers &source,
                      ArrayRef<StorageChoice> list,
                      const StatisticsReader *reader, WeightLossMeter &meter,
                      MeasurementWriter &writer) {
    auto numbers = source.read(weight);
    if (!numbers)
      return numbers.takeError();
    if (reader && weight.type.getRank() == 2)
      if (llvm::Error error = reader->checkWeight(weight.name, numbers->data(),
                                                  weight.type.getDimSize(0),
                                                  weight.type.getDimSize(1)))
        return error;
    int64_t n = weight.n, k = weight.k;
    for (int64_t slice = 0; slice < weight.batch; ++slice) {
      std::vector<float> w(numbers->begin() + slice * n * k,
                           numbers->begin() + (slice + 1) * n * k);
      if (weight.transposed)
        w = transpose(w, k, n);
      MeasuredWeight record;
      record.weight = getSliceName(weight, slice);
      record.n = n;
      record.k = k;
      record.hash = hashWeight(w.data(), n, k);
      const MeasuredWeight *held = writer.measurements().find(record.weight);
      bool same = held && held->hash == record.hash;
      std::vector<StorageChoice> missing;
      for (const StorageChoice &choice : list)
        if (same && held->find(choice.str()))
          ++numKnown;
        else if (!choice.rows || weight.numGathers == 0)
          missing.push_back(choice);
      if (missing.empty())
        continue;
      auto measured = meter.measure(record.weight, w.data(), n, k, missing);
      if (!measured)
        return measured.takeError();
      for (auto [choice, loss] : llvm::zip_equal(missing, *measured))
        record.losses.push_back({choice.str(), loss});
      record.zd = zScoreShare(ArrayRef<ArrayRef<float>>(ArrayRef<float>(w)));
      numMeasured += missing.size();
      if (llvm::Error error = writer.append(std::move(record)))
        return error;
    }
    return llvm::Error::success();
  }
};

struct SolveRatios : cq::impl::CQSolveRatiosBase<SolveRatios> {
  using CQSolveRatiosBase::CQSolveRatiosBase;
  void getDependentDialects(DialectRegistry &registry) const override {
    CQSolveRatiosBase::getDependentDialects(registry);
    registerLinalgWeightConsumers(registry);
  }

  void runOnOperation() override {
    if (llvm::Error error = run()) {
      emitError(getOperation().getLoc()) << llvm::toString(std::move(error));
      return signalPassFailure();
    }
  }

private:
  llvm::Error run() {
    if (losses.empty())
      return llvm::createStringError(
          "cq-solve-ratios needs measured losses: losses=FILE (made by "
          "cq-measure-losses)");
    auto measurements = Measurements::read(losses);
    if (!measurements)
      return measurements.takeError();
    WeightTracing tracing(getOperation());
    tracing.solve();
    std::vector<WeightFacts> facts = getWeightFacts(tracing);
    auto options = readOptions(facts, *measurements);
    if (!options)
      return options.takeError();
    auto plan = solve(facts, *measurements, *options);
    if (!plan)
      return plan.takeError();
    plan->decision->method = method;
    for (const PlanEntry &entry : plan->entries) {
      if (entry.candidates.size() > 1)
        ++numDecided;
      remark::passed(
          getOperation().getLoc(),
          remark::RemarkOpts::name("decision").category("cq-solve-ratios"))
          << (entry.weight + ": " +
              (entry.keep ? std::string("kept")
                          : StorageChoice::of(entry).str()) +
              ": " + entry.reason);
    }
    setPlanAttr(getOperation(), *plan);
    return llvm::Error::success();
  }

  llvm::Expected<RatioPlanOptions>
  readOptions(ArrayRef<WeightFacts> facts, const Measurements &measurements) {
    RatioPlanOptions out;
    solvesOuter = outer == "solve" ||
                  (outer == "auto" && !size.empty() &&
                   llvm::all_of(facts, [&](const WeightFacts &weight) {
                     return !isOuter(weight) || measurements.find(weight.name);
                   }));
    auto list = choices.empty() ? commonChoices(facts, measurements)
                                : parseChoices(choices);
    std::vector<std::string> shares(rowRatios.begin(), rowRatios.end());
    if (list && !choices.empty() && shares != std::vector<std::string>{"none"})
      list = withRowShares(std::move(*list), shares);
    if (!list)
      return list.takeError();
    out.choices = std::move(*list);
    if (!solvesOuter) {
      auto choice =
          StorageChoice::parse(outer == "auto" ? "b8-g64" : outer.getValue());
      if (!choice)
        return choice.takeError();
      out.outer = *choice;
    }
    if (bpw != 0)
      out.bitsPerWeight = bpw;
    if (!size.empty()) {
      auto bytes = parseByteCount(size);
      if (!bytes)
        return bytes.takeError();
      out.bytes = *bytes;
    }
    if (tie != "fused" && tie != "none")
      return llvm::createStringError("'" + tie +
                                     "' is no value of tie: fused or none");
    out.tieFused = tie == "fused";
    out.interactions = interactions;
    out.curvePoints = curve;
    out.keep.assign(keep.begin(), keep.end());
    for (const std::string &text : overrides) {
      auto [pattern, choice] = splitOverride(text);
      auto parsed = StorageChoice::parse(choice);
      if (pattern.empty() || !parsed) {
        if (!parsed)
          llvm::consumeError(parsed.takeError());
        return llvm::createStringError("the override '" + text +
                                       "' is not of the form REGEX:CHOICE "
                                       "(e.g. attn_v:b4-g64/rtn)");
      }
      out.overrides.push_back({pattern.str(), *parsed});
    }
    for (auto [texts, limits] :
         {std::pair(ArrayRef<std::string>(floors), &out.floors),
          std::pair(ArrayRef<std::string>(ceilings), &out.ceilings)})
      for (const std::string &text : texts) {
        auto limit = WidthLimit::parse(text);
        if (!limit)
          return limit.takeError();
        limits->push_back(*limit);
      }
    if (llvm::Error error = readMethod(out))
      return std::move(error);
    return out;
  }

  llvm::Error readMethod(RatioPlanOptions &out) {
    for (auto [text, to] : {std::pair(&low, &out.solver.low),
                            std::pair(&high, &out.solver.high)}) {
      if (text->empty())
        continue;
      auto choice = StorageChoice::parse(*text);
      if (!choice)
        return choice.takeError();
      *to = choice->str();
    }
    out.solver.seed = seed;
    if (method == "lim") {
      out.solver.method = RatioMethod::Scores;
      auto reader = openStatistics(statistics);
      if (!reader)
        return reader.takeError();
      if (!*reader)
        return llvm::createStringError(
            "method=lim needs block scores: statistics=FILE (cq calibrate)");
      for (const BlockStatistics &block : (*reader)->facts().blocks)
        out.blockScores.push_back({block.block, block.limToken()});
      return llvm::Error::success();
    }
    if (method == "zd") {
      out.solver.method = RatioMethod::Scores;
      out.zdScores = true;
      return llvm::Error::success();
    }
    auto parsed = parseRatioMethod(method);
    if (!parsed || *parsed == RatioMethod::Scores)
      return llvm::createStringError(
          "'" + method +
          "' is no method: exact, bound, greedy, uniform, lim, "
          "zd, index, reverse or random");
    out.solver.method = *parsed;
    return llvm::Error::success();
  }

  static bool isOuter(const WeightFacts &weight) {
    return weight.isHead || weight.feedsGather;
  }

  /// What the file has for every weight that is to be decided.
  llvm::Expected<std::vector<StorageChoice>>
  commonChoices(ArrayRef<WeightFacts> facts, const Measurements &measurements) {
    // Rows that are looked up have one width, so an embedding need not have
    // the shares of rows that the others have.
    std::optional<std::vector<std::string>> common;
    auto intersect = [&](const WeightFacts &weight) {
      const MeasuredWeight *held = measurements.find(weight.name);
      if (!held || (!solvesOuter && isOuter(weight)))
        return; // kept, overridden or outside; or an error later
      if (!common) {
        common.emplace();
        for (const auto &loss : held->losses)
          common->push_back(loss.first);
      }
      llvm::erase_if(*common, [&](const std::string &choice) {
        bool rows = StringRef(choice).contains("+rows=");
        return !held->find(choice) && !(rows && weight.feedsGather);
      });
    };
    for (bool gathered : {false, true})
      for (const WeightFacts &weight : facts)
        if (weight.feedsGather == gathered)
          intersect(weight);
    if (!common || common->empty())
      return llvm::createStringError(
          "the measurements " + losses +
          " have no choice in common for the weights of this model; measure "
          "them (cq-measure-losses)");
    return parseChoices(*common);
  }

  /// Solves; a size counts the archive's header, which depends on the plan: a
  /// plan that is known to fit comes first, then what its header left over.
  llvm::Expected<Plan> solve(ArrayRef<WeightFacts> facts,
                             const Measurements &measurements,
                             RatioPlanOptions &options) {
    ArchiveBytes archive(getOperation());
    if (options.bytes) {
      auto most = archive.beside(facts, options);
      if (!most)
        return most.takeError();
      options.otherBytes = *most;
    }
    std::optional<Plan> best;
    for (unsigned round = 0; round < 4; ++round) {
      auto planner = RatioPlanner::create(facts, measurements, options);
      if (!planner)
        return planner.takeError();
      auto plan = planner->plan();
      if (!plan || !options.bytes)
        return plan;
      auto bytes = archive.of(*plan);
      if (!bytes)
        return bytes.takeError();
      int64_t beside = *bytes - (plan->decision->bytes - options.otherBytes);
      bool fits = *bytes <= *options.bytes;
      if (fits && (!best || plan->decision->predictedLoss <
                                best->decision->predictedLoss))
        best = std::move(*plan);
      if (beside == options.otherBytes)
        break;
      options.otherBytes = fits ? beside : beside + 64;
    }
    if (!best)
      return llvm::createStringError(
          "no plan was found for " + llvm::Twine(*options.bytes) +
          " bytes with the archive's header; give some bytes more");
    return std::move(*best);
  }

  bool solvesOuter = false; ///< embeddings and the head are decided too
};

} // namespace
