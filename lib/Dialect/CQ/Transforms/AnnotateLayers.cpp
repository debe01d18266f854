//===- AnnotateLayers.cpp - Scores of layers beside their weights ---------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Analysis/PlanAttributes.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "cq/Solver/Measurements.h"
#include "cq/Solver/RatioPlan.h"
#include "cq/Stats/Statistics.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CQANNOTATELAYERS
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

struct AnnotateLayers : cq::impl::CQAnnotateLayersBase<AnnotateLayers> {
  using CQAnnotateLayersBase::CQAnnotateLayersBase;
  void getDependentDialects(DialectRegistry &registry) const override {
    CQAnnotateLayersBase::getDependentDialects(registry);
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
    if (stats.empty() && losses.empty())
      return llvm::createStringError(
          "there is nothing to write beside the layers: give stats=FILE (cq "
          "calibrate) or losses=FILE (cq measure, cq-measure-losses)");
    std::unique_ptr<StatisticsReader> reader;
    if (!stats.empty()) {
      auto opened = StatisticsReader::open(stats);
      if (!opened)
        return opened.takeError();
      reader = std::move(*opened);
    }
    std::vector<Measurements> files;
    for (const std::string &path : losses) {
      auto file = Measurements::read(path);
      if (!file)
        return file.takeError();
      files.push_back(std::move(*file));
    }
    WeightTracing tracing(getOperation());
    tracing.solve();
    for (const TracedWeight &weight : tracing.getWeights()) {
      // Matrices of a stack share one op, which has room for one answer.
      if (weight.batch != 1 || weight.sourceOps.empty())
        continue;
      SmallVector<NamedAttribute> facts;
      if (reader)
        addScores(weight, *reader, facts);
      if (llvm::Error error = addLosses(weight, files, facts))
        return error;
      if (facts.empty())
        continue;
      for (Operation *op : weight.sourceOps)
        op->setAttr("cq.layer", DictionaryAttr::get(&getContext(), facts));
      ++numAnnotated;
    }
    return llvm::Error::success();
  }

  void addScores(const TracedWeight &weight, const StatisticsReader &reader,
                 SmallVectorImpl<NamedAttribute> &facts) {
    Builder b(&getContext());
    int64_t number = blockNumber(weight.name);
    for (const BlockStatistics &block : reader.facts().blocks) {
      if (number < 0 || block.block != number)
        continue;
      facts.push_back(b.getNamedAttr("block", b.getI64IntegerAttr(number)));
      auto add = [&](StringRef name, double value) {
        facts.push_back(b.getNamedAttr(name, b.getF64FloatAttr(value)));
      };
      if (block.tokens > 0) {
        add("lim_token", block.limToken());
        add("lim_flat", block.limFlat());
      }
      if (block.zScore >= 0)
        add("zd", block.zScore);
      if (block.zScoreTwoSided >= 0)
        add("zd_two_sided", block.zScoreTwoSided);
    }
  }

  llvm::Error addLosses(const TracedWeight &weight,
                        ArrayRef<Measurements> files,
                        SmallVectorImpl<NamedAttribute> &facts) {
    Builder b(&getContext());
    SmallVector<NamedAttribute> kinds;
    for (const Measurements &file : files) {
      const MeasuredWeight *held = file.find(weight.name);
      if (!held)
        continue;
      if (held->n != weight.n || held->k != weight.k)
        return llvm::createStringError(llvm::formatv(
            "the losses of weight '{0}' are of a matrix {1}x{2} and the "
            "model's is {3}x{4}; measure anew",
            weight.name, held->n, held->k, weight.n, weight.k));
      SmallVector<NamedAttribute> choices;
      for (const auto &[choice, loss] : held->losses)
        choices.push_back(b.getNamedAttr(choice, b.getF64FloatAttr(loss)));
      StringRef kind = file.header.loss;
      if (llvm::any_of(kinds, [&](NamedAttribute known) {
            return known.getName() == kind;
          }))
        return llvm::createStringError(
            "two of the measurement files have losses of the kind '" + kind +
            "'; give one of each kind");
      kinds.push_back(b.getNamedAttr(kind, b.getDictionaryAttr(choices)));
    }
    if (!kinds.empty())
      facts.push_back(b.getNamedAttr("losses", b.getDictionaryAttr(kinds)));
    return llvm::Error::success();
  }
};

} // namespace
