//===- CQToLinalg.cpp - The cq dialect to linalg --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/CQToLinalg/CQToLinalg.h"
#include "Patterns.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Transforms/DialectConversion.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CONVERTCQTOLINALG
#include "cq/Conversion/CQToLinalg/CQToLinalg.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

void cq::populateCQToLinalgPatterns(RewritePatternSet &patterns) {
  tolinalg::populateActivationPatterns(patterns);
  tolinalg::populateCherryPatterns(patterns);
  tolinalg::populateGatherPatterns(patterns);
  tolinalg::populateMatmulPatterns(patterns);
  tolinalg::populatePackPatterns(patterns);
  tolinalg::populateQuantizePatterns(patterns);
  tolinalg::populateUnpackPatterns(patterns);
}

/// Success, or an error on an op that has no linalg form.
static LogicalResult checkLowerable(Operation *op) {
  if (isa<ExtractCherriesOp, RankRowsOp>(op))
    return op->emitOpError("has no linalg form; cq-materialize-parameters "
                           "evaluates it when a model is quantized");
  auto quantize = dyn_cast<QuantizeOp>(op);
  if (quantize && quantize.getLayout() &&
      quantize.getLayout()->getLayout().isMixed())
    return op->emitOpError("with rows of several widths has no linalg form; "
                           "cq-materialize-parameters evaluates it when a "
                           "model is quantized");
  if (quantize)
    if (quantize.getQuantizer().getKind() != QuantizerKind::RTN)
      return op->emitOpError("with a scale search has no linalg form; "
                             "cq-materialize-parameters evaluates it when a "
                             "model is quantized");
  for (NamedAttribute attribute : op->getAttrs()) {
    auto layout = dyn_cast<LayoutAttr>(attribute.getValue());
    if (layout && layout.getKind() == LayoutKind::MmaFragment &&
        isa_and_nonnull<CQDialect>(op->getDialect()))
      return op->emitOpError("has planes in layout mma_fragment, which only "
                             "convert-cq-to-nvgpu reads; cq.relayout them to "
                             "linear or panel16");
  }
  if (isa<LaunchOp>(op))
    return op->emitOpError("starts a kernel and has no linalg form; run "
                           "convert-cq-to-linalg before kernels are outlined");
  if (!isa_and_nonnull<CQDialect>(op->getDialect()))
    return success();
  for (Type type : op->getOperandTypes())
    if (isa<BaseMemRefType>(type) && !isa<ObserveOp>(op))
      return op->emitOpError(
          "works on memrefs; run convert-cq-to-linalg before bufferization");
  return success();
}

static bool belongsToCQ(NamedAttribute attribute) {
  return attribute.getName().strref().starts_with("cq.") ||
         isa<CQDialect>(attribute.getValue().getDialect());
}

namespace {
struct ConvertCQToLinalgPass
    : mlir::cq::impl::ConvertCQToLinalgBase<ConvertCQToLinalgPass> {
  using ConvertCQToLinalgBase::ConvertCQToLinalgBase;

  LogicalResult initialize(MLIRContext *context) override {
    RewritePatternSet set(context);
    populateCQToLinalgPatterns(set);
    patterns = std::move(set);
    return success();
  }

  void runOnOperation() override {
    WalkResult walk = getOperation()->walk([&](Operation *op) {
      numOps += isa_and_nonnull<CQDialect>(op->getDialect());
      return failed(checkLowerable(op)) ? WalkResult::interrupt()
                                        : WalkResult::advance();
    });
    if (walk.wasInterrupted())
      return signalPassFailure();

    ConversionTarget target(getContext());
    target.addIllegalDialect<CQDialect>();
    target.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
    if (failed(applyPartialConversion(getOperation(), target, patterns)))
      return signalPassFailure();
    if (!keepAttributes)
      getOperation()->walk([&](Operation *op) { dropAttributes(op); });
  }

  void dropAttributes(Operation *op) {
    for (NamedAttribute attribute : llvm::to_vector(op->getDiscardableAttrs()))
      if (belongsToCQ(attribute)) {
        op->removeDiscardableAttr(attribute.getName());
        ++numAttributes;
      }
    auto function = dyn_cast<FunctionOpInterface>(op);
    if (!function)
      return;
    for (unsigned i = 0; i < function.getNumArguments(); ++i)
      for (NamedAttribute attribute : llvm::to_vector(function.getArgAttrs(i)))
        if (belongsToCQ(attribute)) {
          function.removeArgAttr(i, attribute.getName());
          ++numAttributes;
        }
    for (unsigned i = 0; i < function.getNumResults(); ++i)
      for (NamedAttribute attribute :
           llvm::to_vector(function.getResultAttrs(i)))
        if (belongsToCQ(attribute)) {
          function.removeResultAttr(i, attribute.getName());
          ++numAttributes;
        }
  }

  FrozenRewritePatternSet patterns;
};
} // namespace
