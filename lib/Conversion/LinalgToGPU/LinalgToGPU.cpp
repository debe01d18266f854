//===- LinalgToGPU.cpp - convert-linalg-to-gpu ----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/LinalgToGPU/LinalgToGPU.h"
#include "KernelWriter.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Transforms/Passes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CONVERTLINALGTOGPU
#include "cq/Conversion/LinalgToGPU/LinalgToGPU.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {

struct ConvertLinalgToGPUPass
    : cq::impl::ConvertLinalgToGPUBase<ConvertLinalgToGPUPass> {
  using ConvertLinalgToGPUBase::ConvertLinalgToGPUBase;

  void runOnOperation() override {
    limit = maxScalar;
    if (limit == 0)
      if (auto model =
              getOperation()->getAttrOfType<DictionaryAttr>("cq.model"))
        if (auto context = model.getAs<IntegerAttr>("context"))
          limit = context.getInt();
    for (auto function :
         llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>()))
      if (!function.isExternal() && failed(convert(function)))
        return signalPassFailure();
    if (kernels && failed(approximate()))
      return signalPassFailure();
  }

private:
  /// Transcendental functions by arithmetic: no device library is needed.
  LogicalResult approximate() {
    RewritePatternSet patterns(&getContext());
    populateApproximateMathPatterns(patterns);
    GreedyRewriteConfig config;
    config.enableFolding(false);
    return applyPatternsGreedily(kernels, std::move(patterns), config);
  }

  LogicalResult convert(func::FuncOp function) {
    if (!function.getBody().hasOneBlock())
      return function.emitError("needs a body of one block");
    SmallVector<memref::AllocOp> dynamic;
    SmallVector<memref::CopyOp> copies;
    for (Operation &op : function.front()) {
      if (auto alloc = dyn_cast<memref::AllocOp>(op);
          alloc && !alloc.getType().hasStaticShape())
        dynamic.push_back(alloc);
      if (auto copy = dyn_cast<memref::CopyOp>(op))
        copies.push_back(copy);
    }
    for (memref::AllocOp alloc : dynamic)
      if (failed(enlarge(alloc)))
        return failure();
    for (memref::CopyOp copy : copies) {
      OpBuilder b(copy);
      linalg::makeMemRefCopyOp(b, copy.getLoc(), copy.getSource(),
                               copy.getTarget());
      copy.erase();
    }
    foldFills(function.front());
    SmallVector<linalg::LinalgOp> ops;
    function.walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    for (linalg::LinalgOp op : ops)
      if (failed(convert(op)))
        return failure();
    return success();
  }

  /// A buffer of its largest size, seen in its own.
  LogicalResult enlarge(memref::AllocOp alloc) {
    OpBuilder b(alloc);
    Location loc = alloc.getLoc();
    int64_t elements = 1;
    SmallVector<OpFoldResult> strides(alloc.getType().getRank());
    OpFoldResult stride = b.getIndexAttr(1);
    SmallVector<OpFoldResult> sizes = alloc.getMixedSizes();
    for (int64_t i = strides.size() - 1; i >= 0; --i) {
      strides[i] = stride;
      std::optional<int64_t> most = largest(sizes[i], limit);
      if (!most || *most < 0)
        return alloc.emitOpError("has no largest size");
      elements *= *most;
      AffineExpr s0 = b.getAffineSymbolExpr(0), s1 = b.getAffineSymbolExpr(1);
      stride = affine::makeComposedFoldedAffineApply(
          b, loc, AffineMap::get(0, 2, s0 * s1), {stride, sizes[i]});
    }
    auto flat = memref::AllocOp::create(
        b, loc, MemRefType::get({elements}, alloc.getType().getElementType()),
        alloc.getAlignmentAttr());
    // Strides that are not constants: a strided type, cast back for the users.
    SmallVector<int64_t> staticStrides, staticSizes;
    for (OpFoldResult one : strides)
      staticStrides.push_back(
          getConstantIntValue(one).value_or(ShapedType::kDynamic));
    auto type = MemRefType::get(
        alloc.getType().getShape(), alloc.getType().getElementType(),
        StridedLayoutAttr::get(b.getContext(), 0, staticStrides));
    Value view = memref::ReinterpretCastOp::create(
        b, loc, type, flat, b.getIndexAttr(0), sizes, strides);
    if (type != alloc.getType())
      view = memref::CastOp::create(b, loc, alloc.getType(), view);
    alloc.replaceAllUsesWith(view);
    alloc.erase();
    return success();
  }

  /// A fill right before what reduces into the filled buffer, or overwrites
  /// it, needs no launch.
  void foldFills(Block &block) {
    for (Operation &op : llvm::make_early_inc_range(block)) {
      auto fill = dyn_cast<linalg::FillOp>(op);
      if (!fill)
        continue;
      Value buffer = fill.getOutputs().front();
      Operation *next = fill->getNextNode();
      while (next &&
             isa<memref::AllocOp, memref::ReinterpretCastOp, memref::CastOp,
                 arith::ConstantOp, affine::AffineApplyOp, arith::AddIOp>(next))
        next = next->getNextNode();
      if (auto product = dyn_cast_or_null<MatmulOp>(next);
          product && product.getInit() == buffer) {
        fill.erase();
        continue;
      }
      auto reduction = dyn_cast_or_null<linalg::LinalgOp>(next);
      if (!reduction || reduction.getNumReductionLoops() == 0 ||
          reduction.getNumDpsInits() != 1 ||
          reduction.getDpsInitOperand(0)->get() != buffer ||
          llvm::is_contained(reduction.getDpsInputs(), buffer))
        continue;
      starts[reduction] = fill.getInputs().front();
      fill.erase();
    }
  }

  LogicalResult convert(linalg::LinalgOp op) {
    if (!kernels) {
      OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
      // Shared with convert-cq-to-nvgpu.
      for (auto existing : getOperation().getOps<gpu::GPUModuleOp>())
        kernels = existing;
      if (!kernels) {
        getOperation()->setAttr(gpu::GPUDialect::getContainerModuleAttrName(),
                                b.getUnitAttr());
        kernels = gpu::GPUModuleOp::create(b, op.getLoc(), "cq_kernels");
      }
    }
    KernelWriter writer(op, starts.lookup(op), limit);
    FailureOr<gpu::GPUFuncOp> kernel = writer.write(kernels);
    if (failed(kernel))
      return failure();
    std::string text;
    llvm::raw_string_ostream os(text);
    (*kernel)->print(os);
    auto [entry, isNew] = written.try_emplace(text, *kernel);
    if (!isNew) {
      kernel->erase();
    } else {
      kernel->setName(((op.getNumReductionLoops() ? "cq_reduce_" : "cq_map_") +
                       Twine(written.size()))
                          .str());
      ++numKernels;
    }
    writer.launch(entry->second);
    op.erase();
    ++numLaunches;
    return success();
  }

  int64_t limit = 0;
  gpu::GPUModuleOp kernels;
  DenseMap<Operation *, Value> starts;
  llvm::StringMap<gpu::GPUFuncOp> written;
};

} // namespace
