//===- SetActivations.cpp - In which numbers products read activations ----===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Transforms/Passes.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {
#define GEN_PASS_DEF_SETACTIVATIONS
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

/// x → codes, scales, sums of `cq.dynamic_quantize` for a weight of `scheme`.
static ResultRange quantizeActivations(OpBuilder &b, MatmulOp op, Value x) {
  Location loc = op.getLoc();
  int64_t group = activationGroup(op.getScheme().getScheme());
  int64_t groups = (op.getK() + group - 1) / group;
  OpFoldResult m = tensor::getMixedSize(b, loc, x, 0);
  auto empty = [&](int64_t columns, Type element) -> Value {
    return tensor::EmptyOp::create(
        b, loc, ArrayRef<OpFoldResult>{m, b.getIndexAttr(columns)}, element);
  };
  SmallVector<Value, 3> inits{empty(op.getK(), b.getI8Type()),
                              empty(groups, b.getF32Type()),
                              empty(groups, b.getI32Type())};
  return DynamicQuantizeOp::create(b, loc, ValueRange(inits).getTypes(), x,
                                   inits[0], inits[1], inits[2],
                                   b.getI64IntegerAttr(group))
      .getResults();
}

/// The f32 activations behind a product: its own operand, or what was
/// quantized.
static Value floatActivations(MatmulOp op) {
  if (op.getX())
    return op.getX();
  auto quantize = op.getActivationCodes().getDefiningOp<DynamicQuantizeOp>();
  return quantize ? quantize.getX() : Value();
}

namespace {

struct SetActivations : cq::impl::SetActivationsBase<SetActivations> {
  using SetActivationsBase::SetActivationsBase;

  void runOnOperation() override {
    if (mode.empty())
      return;
    std::optional<ActivationMode> wanted = parseActivationMode(mode);
    if (!wanted) {
      emitError(getOperation().getLoc()) << "cq-set-activations: mode '" << mode
                                         << "' is neither int8 nor f32";
      return signalPassFailure();
    }
    SmallVector<MatmulOp> products;
    getOperation().walk([&](MatmulOp op) {
      if (op.getMode().getMode() != *wanted)
        products.push_back(op);
    });
    for (MatmulOp op : products)
      if (failed(convert(op, *wanted)))
        return signalPassFailure();
  }

private:
  LogicalResult convert(MatmulOp op, ActivationMode wanted) {
    Value x = floatActivations(op);
    if (!x || !isa<TensorType>(x.getType()))
      return op.emitOpError(
          "cannot change its activations: they are not the tensors "
          "of a cq.dynamic_quantize");
    OpBuilder b(op);
    Value codes, scales, sums;
    if (wanted == ActivationMode::Int8) {
      ResultRange quantized = quantizeActivations(b, op, x);
      codes = quantized[0], scales = quantized[1], sums = quantized[2];
      // Cherries multiply f32 activations in every mode; else x is not read.
      if (!op.getCherries())
        x = Value();
    }
    auto product = MatmulOp::create(
        b, op.getLoc(), op.getInit().getType(), x, codes, scales, sums,
        op.getCodes(), op.getScales(), op.getZeros(), op.getCherryColumns(),
        op.getCherryDeltas(), op.getRowOrder(), op.getInit(), op.getScheme(),
        op.getLayout(), op.getCherriesAttr(),
        ActivationAttr::get(op.getContext(), wanted));
    op->replaceAllUsesWith(product);
    op->erase();
    ++numProducts;
    return success();
  }
};

} // namespace
