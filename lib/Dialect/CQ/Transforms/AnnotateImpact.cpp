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
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/MLProgram/IR/MLProgramAttributes.h"
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
    for (const TracedWeight &weight : tracing.getWeights()) {
      // Matrices of a stack share one op, which has room for one answer.
      bool known =
          (*reader)->hasInput(weight.name) || (*reader)->hasFisher(weight.name);
      if (!known || weight.batch != 1 || weight.sourceOps.empty()) {
        ++numUnmeasured;
        continue;
      }
      llvm::Expected<DictionaryAttr> facts = describe(weight, **reader);
      if (!facts)
        return llvm::createStringError("weight '" + weight.name + "': " +
                                       llvm::toString(facts.takeError()));
      for (Operation *op : weight.sourceOps)
        op->setAttr("cq.impact", *facts);
      ++numAnnotated;
    }
    return llvm::Error::success();
  }

  llvm::Expected<std::vector<float>> readNumbers(const TracedWeight &weight) {
    Operation *op = weight.sourceOps.front();
    Attribute value;
    if (auto constant = dyn_cast<arith::ConstantOp>(op))
      value = constant.getValue();
    else if (auto global = dyn_cast<ml_program::GlobalOp>(op))
      value = global.getValueAttr();
    if (auto elements = dyn_cast_if_present<ElementsAttr>(value))
      return readElements(elements);
    if (!archive) {
      std::string path = parameters;
      if (auto attr =
              getOperation()->getAttrOfType<StringAttr>("cq.parameters");
          attr && path.empty())
        path = attr.getValue().str();
      if (path.empty())
        return llvm::createStringError(
            "no archive to read: give parameters=FILE");
      auto opened = ParameterArchive::open(path);
      if (!opened)
        return opened.takeError();
      archive = std::move(*opened);
    }
    const ParameterInfo *info = archive->find(weight.name);
    if (!info || ArrayRef<int64_t>(info->shape) != weight.type.getShape())
      return llvm::createStringError(
          "it is not in " + archive->path() +
          ", or of another shape; give the archive this module was imported "
          "from");
    std::vector<float> numbers(info->numElements());
    if (llvm::Error error = ParameterArchive::readAsF32(*info, numbers.data()))
      return std::move(error);
    return std::move(numbers);
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
                                          const StatisticsReader &reader) {
    llvm::Expected<std::vector<float>> numbers = readNumbers(weight);
    if (!numbers)
      return numbers.takeError();
    std::vector<float> w = std::move(*numbers);
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

  std::shared_ptr<ParameterArchive> archive; ///< opened when needed
};

} // namespace
