//===- ExtractCherries.cpp - Weights as decoded planes and cherries -------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlaneBuilder.h"
#include "TensorReshaping.h"
#include "WeightStatistics.h"
#include "cq/Analysis/PlanAttributes.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CQEXTRACTCHERRIES
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

struct ExtractCherries : cq::impl::CQExtractCherriesBase<ExtractCherries> {
  using CQExtractCherriesBase::CQExtractCherriesBase;
  void getDependentDialects(DialectRegistry &registry) const override {
    CQExtractCherriesBase::getDependentDialects(registry);
    registry.insert<tensor::TensorDialect>();
    registerLinalgWeightConsumers(registry);
  }

  void runOnOperation() override {
    if (llvm::Error error = extractAll()) {
      emitError(getOperation().getLoc()) << llvm::toString(std::move(error));
      signalPassFailure();
    }
  }

private:
  template <typename T>
  llvm::Expected<T> parseOption(StringRef option, StringRef value,
                                std::optional<T> (*parse)(StringRef)) {
    if (std::optional<T> parsed = parse(value))
      return *parsed;
    return llvm::createStringError("'" + value + "' is no value of option '" +
                                   option + "'");
  }

  llvm::Error extractAll() {
    PlanEntry choice;
    auto parsedForm = parseOption("form", form, parseCherryForm);
    if (!parsedForm)
      return parsedForm.takeError();
    auto parsedCriterion =
        parseOption("criterion", criterion, parseCherryCriterion);
    if (!parsedCriterion)
      return parsedCriterion.takeError();
    auto parsedQuantizer =
        parseOption("quantizer", quantizer, parseQuantizerKind);
    if (!parsedQuantizer)
      return parsedQuantizer.takeError();
    auto parsedScheme = Scheme::parse(scheme);
    if (!parsedScheme)
      return parsedScheme.takeError();
    if (!(ratio > 0 && ratio <= 0.5))
      return llvm::createStringError(
          "the cherry ratio must be above 0 and at most 0.5");
    auto opened = WeightStatistics::open(stats);
    if (!opened)
      return opened.takeError();
    choice.criterion = *parsedCriterion;
    choice.quantizer = *parsedQuantizer;
    choice.scheme = *parsedScheme;

    WeightTracing tracing(getOperation());
    tracing.solve();
    PlaneBuilder builder(getOperation());
    DenseSet<Operation *> done;
    for (const WeightUse &use : tracing.getUses())
      for (unsigned number : use.weights) {
        const TracedWeight &weight = tracing.getWeights()[number];
        if (!weight.canQuantize() || weight.numGathers || weight.isHead ||
            weight.batch != 1 || weight.source == WeightSource::Argument)
          continue;
        choice.weight = weight.name;
        choice.n = weight.n, choice.k = weight.k;
        choice.cherries = CherrySpec::fromRatio(*parsedForm, ratio, weight.k);
        if (choice.cherries.numDeltas(weight.n, weight.k) == 0) {
          emitRemark(use.op->getLoc())
              << "weight '" << weight.name << "' is too narrow for cherries";
          continue;
        }
        if (*opened)
          if (llvm::Error error =
                  checkAvailable(weight.name, choice.quantizer,
                                 choice.criterion, &(*opened)->reader()))
            return llvm::createStringError("weight '" + weight.name + "': " +
                                           llvm::toString(std::move(error)));
        extract(weight, use, builder, choice, done);
      }
    return llvm::Error::success();
  }

  /// Every value that brings the weight into a function: the constant itself,
  /// or each load of the global.
  void extract(const TracedWeight &weight, const WeightUse &use,
               const PlaneBuilder &builder, const PlanEntry &choice,
               DenseSet<Operation *> &done) {
    for (Operation *op : weight.sourceOps) {
      if (!done.insert(op).second)
        continue;
      ++numExtracted;
      WeightForm form;
      form.n = weight.n, form.k = weight.k;
      form.transposed = weight.transposed;
      auto global = dyn_cast<ml_program::GlobalOp>(op);
      if (!global) {
        decodeBehind(op->getResult(0), form, choice);
        continue;
      }
      SmallVector<Value> loads;
      getOperation()->walk([&](Operation *user) {
        auto symbol = user->getAttrOfType<SymbolRefAttr>("global");
        if (isa<ml_program::GlobalLoadOp, ml_program::GlobalLoadConstOp>(
                user) &&
            symbol && symbol.getRootReference() == global.getSymName())
          loads.push_back(user->getResult(0));
      });
      for (Value load : loads)
        decodeBehind(load, form, choice);
    }
  }

  void decodeBehind(Value root, const WeightForm &form,
                    const PlanEntry &choice) {
    OpBuilder b(root.getContext());
    b.setInsertionPointAfterValue(root);
    Location loc = root.getLoc();
    auto type = cast<RankedTensorType>(root.getType());
    SmallVector<OpOperand *> readers;
    for (OpOperand &use : root.getUses())
      readers.push_back(&use);
    PlannedAttributes attrs(root.getContext(), choice);
    Value matrix = createMatrix(b, loc, root, form);
    QuantizedMatrix planes = createPlanes(b, loc, matrix, choice);
    auto unpack = UnpackOp::create(b, loc, planes.codesType, planes.scalesType,
                                   planes.zerosType, planes.packed.codes,
                                   planes.packed.scales, planes.packed.zeros,
                                   attrs.scheme, attrs.layout);
    Value decoded = DequantizeOp::create(
        b, loc, matrix.getType(), unpack.getCodes(), unpack.getScales(),
        unpack.getZeros(), attrs.scheme, LayoutAttr());
    decoded = ScatterCherriesOp::create(
        b, loc, matrix.getType(), decoded, planes.packed.cherryColumns,
        planes.packed.cherryDeltas, attrs.cherries);
    decoded = createFloatCast(b, loc, decoded, type.getElementType());
    if (form.transposed)
      decoded = createTranspose(b, loc, decoded, {1, 0});
    decoded = createReshape(b, loc, decoded, type.getShape());
    for (OpOperand *reader : readers)
      reader->set(decoded);
  }
};

} // namespace
