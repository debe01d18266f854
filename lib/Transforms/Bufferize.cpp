//===- Bufferize.cpp - Tensors to buffers, caches in place ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Transforms/Passes.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotModuleBufferize.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Transforms.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace mlir::cq {
#define GEN_PASS_DEF_BUFFERIZE
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::bufferization;

/// A memref with the row-major strides of the tensor's shape and any offset.
static BufferLikeType getArgumentType(TensorLikeType type,
                                      Attribute memorySpace, func::FuncOp,
                                      const BufferizationOptions &) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> strides(tensor.getRank(), 1);
  for (int64_t i = tensor.getRank() - 2; i >= 0; --i) {
    int64_t size = tensor.getDimSize(i + 1);
    strides[i] =
        ShapedType::isDynamic(size) || ShapedType::isDynamic(strides[i + 1])
            ? ShapedType::kDynamic
            : strides[i + 1] * size;
  }
  auto layout = StridedLayoutAttr::get(tensor.getContext(),
                                       ShapedType::kDynamic, strides);
  return cast<BufferLikeType>(cast<Type>(MemRefType::get(
      tensor.getShape(), tensor.getElementType(), layout, memorySpace)));
}

/// Gives every user of an empty or filled tensor its own. CSE shares them, and
/// a shared destination would be filled once and copied for each user.
static void unshareDestinations(ModuleOp module) {
  // Right before the user, where a product finds its fill.
  auto unshare = [](Operation *op) {
    for (OpOperand &use : llvm::make_early_inc_range(op->getUses())) {
      OpBuilder b(use.getOwner());
      use.set(b.clone(*op)->getResult(0));
    }
    op->erase();
  };
  // Fills first: a copy of a fill is one more user of its empty tensor.
  SmallVector<Operation *> fills, empties;
  module.walk([&](linalg::FillOp op) {
    if (op->getNumResults() == 1)
      fills.push_back(op);
  });
  llvm::for_each(fills, unshare);
  module.walk([&](tensor::EmptyOp op) { empties.push_back(op); });
  llvm::for_each(empties, unshare);
}

namespace {
struct BufferizePass : mlir::cq::impl::BufferizeBase<BufferizePass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    unshareDestinations(module);
    OneShotBufferizationOptions options;
    options.bufferizeFunctionBoundaries = true;
    options.allowReturnAllocsFromLoops = false;
    options.functionArgTypeConverterFn = getArgumentType;
    options.inferFunctionResultLayout = true;
    // The runtime aligns every buffer; code that does so again is a third of
    // what a block consists of.
    options.bufferAlignment = 0;
    options.opFilter.denyOperation([](Operation *op) {
      return op->getDialect() &&
             op->getDialect()->getNamespace() == "ml_program";
    });

    // Values that end up inside a larger buffer are computed there.
    IRRewriter rewriter(&getContext());
    OneShotAnalysisState analysis(module, options);
    if (failed(analyzeModuleOp(module, analysis)) ||
        failed(eliminateEmptyTensors(rewriter, module, analysis)))
      return signalPassFailure();

    BufferizationState state;
    if (failed(runOneShotModuleBufferize(module, options, state)) ||
        failed(dropEquivalentBufferResults(module)))
      return signalPassFailure();

    BufferResultsToOutParamsOpts outParams;
    outParams.hoistStaticAllocs = true;
    if (failed(promoteBufferResultsToOutParams(module, outParams)))
      return signalPassFailure();
  }
};
} // namespace
