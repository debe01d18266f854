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
                      Value origin) {
  if (scheme.grid == Grid::HalfStep)
    code = arith::MulIOp::create(b, code, constant(b, int32_t{2}));
  return arith::SubIOp::create(b, code, origin);
}

Value tolinalg::originOf(Emitter &b, const Scheme &scheme,
                         ArrayRef<RowSegment> segments, Value row) {
  auto of = [&](unsigned bits) -> Value {
    Scheme rows = scheme.withBits(bits);
    return constant(b, scheme.grid == Grid::HalfStep ? rows.maxCode()
                                                     : rows.offset());
  };
  // Later segments first, so that the last select is that of the first rows.
  Value origin = of(scheme.bits);
  int64_t end = 0;
  for (const RowSegment &segment : segments)
    end += segment.rows;
  for (const RowSegment &segment : llvm::reverse(segments)) {
    if (segment.bits != scheme.bits ||
        !origin.getDefiningOp<arith::ConstantOp>()) {
      Value inside = arith::CmpIOp::create(b, arith::CmpIPredicate::slt, row,
                                           constantIndex(b, end));
      origin = arith::SelectOp::create(b, inside, of(segment.bits), origin);
    }
    end -= segment.rows;
  }
  return origin;
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
    ArrayRef<RowSegment> segments;
    if (LayoutAttr layout = op.getLayoutAttr())
      segments = layout.getSegments();
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
          Value origin = op.getZeros()
                             ? unsignedToI32(b, in[2])
                             : originOf(b, scheme, segments, index(b, 0));
          Value integer = level(b, scheme, unsignedToI32(b, in[0]), origin);
          Value number = arith::SIToFPOp::create(b, b.getF32Type(), integer);
          return arith::MulFOp::create(b, step(b, scheme, in[1]), number);
        });
    rewriter.replaceOp(op, result);
    return success();
  }
};

struct LowerPermuteRows : OpRewritePattern<PermuteRowsOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(PermuteRowsOp op,
                                PatternRewriter &rewriter) const override {
    Emitter b(op.getLoc(), rewriter);
    Value matrix = op.getMatrix();
    AffineExpr n, k;
    bindDims(b.getContext(), n, k);
    Value init = empty(b, sizesOf(b, matrix), b.getF32Type());
    rewriter.replaceOp(
        op, generic(b, op.getOrder(), init, {map(b, 2, {n}), map(b, 2, {n, k})},
                    [&](Emitter &b, ValueRange in) -> Value {
                      return extract(b, matrix,
                                     {toIndex(b, in[0]), index(b, 1)});
                    }));
    return success();
  }
};

} // namespace

void tolinalg::populateUnpackPatterns(RewritePatternSet &patterns) {
  patterns.add<LowerUnpack, LowerDequantize, LowerPermuteRows>(
      patterns.getContext());
}
