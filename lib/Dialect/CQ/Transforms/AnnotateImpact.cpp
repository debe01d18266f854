//===- AnnotateImpact.cpp - What calibration measured of weights ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightEvaluation.h"
#include "cq/Analysis/PlanAttributes.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "cq/Stats/Scores.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CQANNOTATEIMPACT
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

struct AnnotateImpact : cq::impl::CQAnnotateImpactBase<AnnotateImpact> {
  using CQAnnotateImpactBase::CQAnnotateImpactBase;
  void getDependentDialects(DialectRegistry &registry) const override {
    CQAnnotateImpactBase::getDependentDialects(registry);
    registerLinalgWeightConsumers(registry);
  }

  void runOnOperation() override {
    if (llvm::Error error = annotateAll()) {
      emitError(getOperation().getLoc()) << llvm::toString(std::move(error));
      signalPassFailure();
    }
  }

private:
  llvm::Error annotateAll() {
    if (stats.empty())
      return llvm::createStringError(
          "no statistics are given; make them with `cq calibrate` and give "
          "them with stats=FILE");
    auto reader = StatisticsReader::open(stats);
    if (!reader)
      return reader.takeError();
    WeightTracing tracing(getOperation());
    tracing.solve();
    WeightNumbers numbers(getOperation(), parameters, /*threads=*/0);
    for (const TracedWeight &weight : tracing.getWeights()) {
      // Matrices of a stack share one op, which has room for one answer.
      bool known =
          (*reader)->hasInput(weight.name) || (*reader)->hasFisher(weight.name);
      if (!known || weight.batch != 1 || weight.sourceOps.empty()) {
        ++numUnmeasured;
        continue;
      }
      llvm::Expected<DictionaryAttr> facts =
          describe(weight, numbers, **reader);
      if (!facts)
        return facts.takeError();
      for (Operation *op : weight.sourceOps)
        op->setAttr("cq.impact", *facts);
      ++numAnnotated;
    }
    return llvm::Error::success();
  }

  DictionaryAttr summary(ArrayRef<float> scores) {
    Builder b(&getContext());
    double sum = 0;
    float largest = 0;
    for (float score : scores) {
      sum += score;
      largest = std::max(largest, score);
    }
    auto field = [&](StringRef name, double value) {
      return b.getNamedAttr(name, b.getF64FloatAttr(value));
    };
    return b.getDictionaryAttr(
        {field("mean", sum / static_cast<double>(scores.size())),
         field("max", largest), field("hscore", heterogeneityScore(scores))});
  }

  llvm::Expected<DictionaryAttr> describe(const TracedWeight &weight,
                                          WeightNumbers &numbers,
                                          const StatisticsReader &reader) {
    llvm::Expected<std::vector<float>> read = numbers.read(weight);
    if (!read)
      return read.takeError();
    std::vector<float> w = std::move(*read);
    if (weight.type.getRank() == 2)
      if (llvm::Error error = reader.checkWeight(weight.name, w.data(),
                                                 weight.type.getDimSize(0),
                                                 weight.type.getDimSize(1)))
        return std::move(error);
    if (weight.transposed)
      w = transpose(w, weight.k, weight.n);

    Builder b(&getContext());
    SmallVector<NamedAttribute> facts;
    auto add = [&](StringRef name, Attribute value) {
      facts.push_back(b.getNamedAttr(name, value));
    };
    add("magnitude", summary(magnitudeScores(w)));
    if (reader.hasInput(weight.name)) {
      auto squares = reader.meanSquares(weight.name, weight.n, weight.k);
      if (!squares)
        return squares.takeError();
      add("moments", b.getUnitAttr());
      add("tokens",
          b.getI64IntegerAttr(reader.facts().findInput(weight.name)->tokens));
      add("activation", summary(activationScores(w, *squares)));
    }
    if (reader.hasGram(weight.name))
      add("gram", b.getUnitAttr());
    if (reader.hasFisher(weight.name)) {
      auto fisher = reader.fisher(weight.name, weight.n, weight.k);
      if (!fisher)
        return fisher.takeError();
      add("fisher", b.getStringAttr(stringifyFisherKind(reader.fisherKind())));
      add("impact", summary(*fisher));
    }
    return b.getDictionaryAttr(facts);
  }
};

} // namespace
