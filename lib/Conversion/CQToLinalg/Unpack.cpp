//===- Unpack.cpp - cq.unpack and cq.dequantize to linalg -----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Patterns.h"
#include "PlaneReader.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::tolinalg;

Value tolinalg::level(Emitter &b, const Scheme &scheme, Value code,
                      Value zero) {
  switch (scheme.grid) {
  case Grid::Symmetric:
    return arith::SubIOp::create(b, code, constant(b, scheme.offset()));
  case Grid::Affine:
    return arith::SubIOp::create(b, code, zero);
  case Grid::HalfStep:
    break;
  }
  Value doubled = arith::MulIOp::create(b, code, constant(b, int32_t{2}));
  return arith::SubIOp::create(b, doubled, constant(b, scheme.maxCode()));
}

Value tolinalg::step(Emitter &b, const Scheme &scheme, Value scale) {
  scale = toF32(b, scale);
  if (scheme.grid != Grid::HalfStep)
    return scale;
  return arith::MulFOp::create(b, scale, constant(b, 0.5f));
}

AffineExpr tolinalg::groupOf(const Scheme &scheme, AffineExpr column) {
  if (scheme.group == 0)
    return getAffineConstantExpr(0, column.getContext());
  return column.floorDiv(scheme.group);
}

namespace {

struct LowerUnpack : OpRewritePattern<UnpackOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(UnpackOp op,
                                PatternRewriter &rewriter) const override {
    Emitter b(op.getLoc(), rewriter);
    auto type = cast<RankedTensorType>(op.getCodes().getType());
    PlaneReader reader(b, op.getScheme().getScheme(),
                       op.getLayout().getLayout(), type.getDimSize(0),
                       type.getDimSize(1));
    auto result = [&](Value result, auto read) -> Value {
      auto type = cast<RankedTensorType>(result.getType());
      Value init =
          empty(b, append(b, {}, type.getShape()), type.getElementType());
      return generate(b, init, [&](Emitter &b, ValueRange) {
        return read(b, index(b, 0), index(b, 1));
      });
    };
    auto entries = [&](Value plane) {
      return [&reader, plane](Emitter &b, Value row, Value group) {
        return reader.entry(b, plane, row, group);
      };
    };
    SmallVector<Value> results;
    results.push_back(result(
        op.getCodes(), [&](Emitter &b, Value row, Value column) -> Value {
          return arith::TruncIOp::create(
              b, b.getI8Type(),
              reader.code(b, op.getPackedCodes(), row, column));
        }));
    results.push_back(result(op.getScales(), entries(op.getPackedScales())));
    if (op.getZeros())
      results.push_back(result(op.getZeros(), entries(op.getPackedZeros())));
    rewriter.replaceOp(op, results);
    return success();
  }
};

struct LowerDequantize : OpRewritePattern<DequantizeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(DequantizeOp op,
                                PatternRewriter &rewriter) const override {
    Emitter b(op.getLoc(), rewriter);
    Scheme scheme = op.getScheme().getScheme();
    AffineExpr n, k;
    bindDims(b.getContext(), n, k);
    AffineMap whole = map(b, 2, {n, k});
    AffineMap group = map(b, 2, {n, groupOf(scheme, k)});
    SmallVector<Value> inputs{op.getCodes(), op.getScales()};
    SmallVector<AffineMap> maps{whole, group};
    if (op.getZeros()) {
      inputs.push_back(op.getZeros());
      maps.push_back(group);
    }
    maps.push_back(whole);
    Value init = empty(b, append(b, {}, op.getResult().getType().getShape()),
                       b.getF32Type());
    Value result =
        generic(b, inputs, init, maps, [&](Emitter &b, ValueRange in) -> Value {
          Value zero = op.getZeros() ? unsignedToI32(b, in[2]) : Value();
          Value integer = level(b, scheme, unsignedToI32(b, in[0]), zero);
          Value number = arith::SIToFPOp::create(b, b.getF32Type(), integer);
          return arith::MulFOp::create(b, step(b, scheme, in[1]), number);
        });
    rewriter.replaceOp(op, result);
    return success();
  }
};

} // namespace

void tolinalg::populateUnpackPatterns(RewritePatternSet &patterns) {
  patterns.add<LowerUnpack, LowerDequantize>(patterns.getContext());
}
