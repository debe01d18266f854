//===- LinalgRules.cpp - Rules of linalg ops ----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GenericDerivative.h"
#include "Reverse.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::linalg;

namespace {

/// Every structured op, named or not.
template <typename OpTy>
struct StructuredRule
    : DifferentiableOpInterface::ExternalModel<StructuredRule<OpTy>, OpTy> {
  LogicalResult differentiate(Operation *op, OpBuilder &b,
                              Adjoints &adjoints) const {
    if (!cast<LinalgOp>(op).hasPureTensorSemantics())
      return op->emitError("is differentiated on tensors, not on buffers");
    if (auto generic = dyn_cast<GenericOp>(op))
      return GenericDerivative(generic, op->getResults(), b, adjoints).run();
    // The named op stays what it is on the way forward.
    IRRewriter rewriter(b);
    auto copy = cast<LinalgOp>(b.clone(*op));
    rewriter.setInsertionPoint(copy);
    FailureOr<GenericOp> generic = generalizeNamedOp(rewriter, copy);
    if (failed(generic))
      return op->emitError("has no form as linalg.generic to differentiate");
    LogicalResult result =
        GenericDerivative(*generic, op->getResults(), b, adjoints).run();
    generic->erase();
    return result;
  }
};

/// y = softmax(x): x gets y∘(δ − Σ δ∘y).
struct SoftmaxRule
    : DifferentiableOpInterface::ExternalModel<SoftmaxRule, SoftmaxOp> {
  LogicalResult differentiate(Operation *op, OpBuilder &b,
                              Adjoints &adjoints) const {
    auto softmax = cast<SoftmaxOp>(op);
    Location loc = op->getLoc();
    if (op->getNumResults() != 1)
      return op->emitError("is differentiated on tensors, not on buffers");
    Value y = op->getResult(0), d = adjoints.get(y);
    auto type = cast<RankedTensorType>(y.getType());
    int64_t rank = type.getRank(), dim = softmax.getDimension();
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, y);
    SmallVector<OpFoldResult> kept(sizes);
    kept.erase(kept.begin() + dim);
    Value zero = createFloatConstant(b, loc, type.getElementType(), 0);
    Value sums = FillOp::create(b, loc, zero,
                                ValueRange{tensor::EmptyOp::create(
                                    b, loc, kept, type.getElementType())})
                     .getResult(0);
    AffineMap all = b.getMultiDimIdentityMap(rank);
    AffineMap rows = all.dropResult(dim);
    SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
    loops[dim] = utils::IteratorType::reduction;
    Value total =
        GenericOp::create(
            b, loc, sums.getType(), ValueRange{d, y}, sums,
            ArrayRef{all, all, rows}, loops,
            [](OpBuilder &b, Location loc, ValueRange s) {
              Value product = arith::MulFOp::create(b, loc, s[0], s[1]);
              linalg::YieldOp::create(
                  b, loc, Value(arith::AddFOp::create(b, loc, s[2], product)));
            })
            .getResult(0);
    loops[dim] = utils::IteratorType::parallel;
    Value empty = tensor::EmptyOp::create(b, loc, sizes, type.getElementType());
    Value result =
        GenericOp::create(
            b, loc, type, ValueRange{d, y, total}, empty,
            ArrayRef{all, all, rows, all}, loops,
            [](OpBuilder &b, Location loc, ValueRange s) {
              Value less = arith::SubFOp::create(b, loc, s[0], s[2]);
              linalg::YieldOp::create(
                  b, loc, Value(arith::MulFOp::create(b, loc, s[1], less)));
            })
            .getResult(0);
    adjoints.add(b, softmax.getInput(), result);
    return success();
  }
};

} // namespace

template <typename... Ops> static void attachStructured(MLIRContext *context) {
  (Ops::template attachInterface<StructuredRule<Ops>>(*context), ...);
}

void mlir::cq::attachLinalgRules(MLIRContext *context) {
  attachStructured<
#define GET_OP_LIST
#include "mlir/Dialect/Linalg/IR/LinalgStructuredOps.cpp.inc"
      >(context);
  SoftmaxOp::attachInterface<SoftmaxRule>(*context);
}
