//===- Activations.cpp - cq.dynamic_quantize and cq.observe to linalg -----===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Patterns.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::tolinalg;

/// x / s rounded half to even and clamped to ±127, as i8; 0 where s = 0.
/// Clamped first and by comparisons, so that NaN has the code that the codec
/// gives it.
Value tolinalg::quantizeActivation(Emitter &b, Value x, Value scale) {
  Value ratio = arith::DivFOp::create(b, x, scale);
  auto bound = [&](arith::CmpFPredicate inside, float limit) {
    Value value = constant(b, limit);
    Value keep = arith::CmpFOp::create(b, inside, ratio, value);
    ratio = arith::SelectOp::create(b, keep, ratio, value);
  };
  bound(arith::CmpFPredicate::OGT, -127.0f);
  bound(arith::CmpFPredicate::OLT, 127.0f);
  Value rounded = math::RoundEvenOp::create(b, ratio);
  Value code = arith::FPToSIOp::create(b, b.getI8Type(), rounded);
  Value none = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, scale,
                                     constant(b, 0.0f));
  Value zero = arith::ConstantOp::create(b, b.getI8IntegerAttr(0));
  return arith::SelectOp::create(b, none, zero, code);
}

namespace {

struct LowerDynamicQuantize : OpRewritePattern<DynamicQuantizeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(DynamicQuantizeOp op,
                                PatternRewriter &rewriter) const override {
    if (!op.hasPureTensorSemantics())
      return rewriter.notifyMatchFailure(
          op, "works on memrefs; lower to linalg before bufferization");
    Emitter b(op.getLoc(), rewriter);
    int64_t k = cast<ShapedType>(op.getX().getType()).getDimSize(1);
    int64_t length = std::min<int64_t>(op.getGroup(), k);
    AffineExpr m, a, j;
    bindDims(b.getContext(), m, a, j);
    AffineMap whole = map(b, 3, {m, a, j}), groups = map(b, 3, {m, a});

    Value largest = generic(
        b, splitColumns(b, op.getX(), length), zeros(b, op.getScalesInit()),
        {whole, groups}, [](Emitter &b, ValueRange in) -> Value {
          Value magnitude = math::AbsFOp::create(b, in[0]);
          return arith::MaxNumFOp::create(b, in[1], magnitude);
        });
    AffineMap pair = map(b, 2, {m, a});
    Value scales =
        generic(b, {}, largest, pair, [](Emitter &b, ValueRange in) -> Value {
          return arith::DivFOp::create(b, in[0], constant(b, 127.0f));
        });
    // Here `a` is a column.
    Value codes = generic(b, {op.getX(), scales}, op.getCodesInit(),
                          {pair, map(b, 2, {m, a.floorDiv(length)}), pair},
                          [](Emitter &b, ValueRange in) {
                            return quantizeActivation(b, in[0], in[1]);
                          });
    Value sums =
        generic(b, splitColumns(b, codes, length), zeros(b, op.getSumsInit()),
                {whole, groups}, [](Emitter &b, ValueRange in) -> Value {
                  Value code = arith::ExtSIOp::create(b, b.getI32Type(), in[0]);
                  return arith::AddIOp::create(b, in[1], code);
                });
    rewriter.replaceOp(op, {codes, scales, sums});
    return success();
  }
};

/// Nobody watches what the reference computes.
struct DropObserve : OpRewritePattern<ObserveOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ObserveOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.eraseOp(op);
    return success();
  }
};

} // namespace

void tolinalg::populateActivationPatterns(RewritePatternSet &patterns) {
  patterns.add<LowerDynamicQuantize, DropObserve>(patterns.getContext());
}
