//===- LinalgToX86.cpp - Linalg on buffers to x86 code --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/LinalgToX86/LinalgToX86.h"
#include "Attention.h"
#include "Contraction.h"
#include "Loops.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Transforms/RunBehind.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CONVERTATTENTIONTOX86
#define GEN_PASS_DEF_CONVERTLINALGTOX86
#include "cq/Conversion/LinalgToX86/LinalgToX86.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {
struct ConvertLinalgToX86Pass
    : mlir::cq::impl::ConvertLinalgToX86Base<ConvertLinalgToX86Pass> {
  using ConvertLinalgToX86Base::ConvertLinalgToX86Base;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    IRRewriter rewriter(&getContext());

    // memref.copy between strided buffers is a runtime call upstream.
    SmallVector<memref::CopyOp> copies;
    module.walk([&](memref::CopyOp copy) { copies.push_back(copy); });
    for (memref::CopyOp copy : copies) {
      auto from = cast<MemRefType>(copy.getSource().getType());
      auto to = cast<MemRefType>(copy.getTarget().getType());
      if (from.getLayout().isIdentity() && to.getLayout().isIdentity())
        continue;
      rewriter.setInsertionPoint(copy);
      linalg::makeMemRefCopyOp(rewriter, copy.getLoc(), copy.getSource(),
                               copy.getTarget());
      rewriter.eraseOp(copy);
    }

    SmallVector<linalg::LinalgOp> ops;
    module.walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    ContractionLowering contractions(module, vectorBits, parallel);
    for (linalg::LinalgOp &op : ops)
      if (succeeded(contractions.lower(rewriter, op))) {
        ++numProducts;
        op = nullptr;
      }
    // Fills that a product made superfluous went with it.
    SmallVector<linalg::LinalgOp> rest;
    module.walk([&](linalg::LinalgOp op) { rest.push_back(op); });
    for (linalg::LinalgOp op : rest) {
      if (failed(lowerToLoops(rewriter, op, vectorBits / 32))) {
        op->emitError("has no loops: not on buffers?");
        return signalPassFailure();
      }
      ++numLoops;
    }
  }
};

struct ConvertAttentionToX86Pass
    : mlir::cq::impl::ConvertAttentionToX86Base<ConvertAttentionToX86Pass> {
  using ConvertAttentionToX86Base::ConvertAttentionToX86Base;

  void runOnOperation() override {
    SmallVector<linalg::GenericOp> ops;
    getOperation().walk([&](linalg::GenericOp op) { ops.push_back(op); });
    SmallVector<Attention> found;
    for (linalg::GenericOp op : ops)
      if (std::optional<Attention> attention = matchAttention(op))
        found.push_back(std::move(*attention));
    for (const Attention &attention : found)
      replace(attention);
  }

private:
  void replace(const Attention &attention) {
    const AttentionShape &shape = attention.shape;
    unsigned lanes = vectorBits / 32;
    int64_t rows = getAttentionRows(lanes);
    if (shape.tokens % rows != 0 || shape.width % 8 != 0)
      return;
    Operation *last = attention.ops.back();
    ImplicitLocOpBuilder b(last->getLoc(), last);
    func::FuncOp kernel = getAttentionKernel(getOperation(), attention, lanes);
    auto index = [&](int64_t value) -> Value {
      return arith::ConstantIndexOp::create(b, value);
    };
    SmallVector<Value> arguments{
        attention.queries, attention.keys, attention.values, attention.result,
        attention.position ? attention.position : index(0)};
    Value tasks = index(shape.groups * shape.heads * shape.tokens / rows);
    if (parallel) {
      LaunchOp::create(b, kernel.getSymName(), arguments, tasks);
    } else {
      arguments.append({index(0), tasks});
      func::CallOp::create(b, kernel, arguments);
    }
    ++numKernels;
    moveDeallocationsBehind(attention.ops.front(), last);
    for (linalg::LinalgOp op : attention.ops)
      op->erase();
  }
};
} // namespace
