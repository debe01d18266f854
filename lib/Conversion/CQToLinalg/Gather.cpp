//===- Gather.cpp - cq.gather to linalg -----------------------------------===//
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

namespace {
struct LowerGather : OpRewritePattern<GatherOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(GatherOp op,
                                PatternRewriter &rewriter) const override {
    if (!op.hasPureTensorSemantics())
      return rewriter.notifyMatchFailure(
          op, "works on memrefs; lower to linalg before bufferization");
    Emitter b(op.getLoc(), rewriter);
    Scheme scheme = op.getScheme().getScheme();
    int64_t n = op.getN(), k = op.getK();
    PlaneReader reader(b, scheme, op.getLayout().getLayout(), n, k);
    unsigned rank = cast<ShapedType>(op.getIndices().getType()).getRank();
    AffineMap rows = map(b, rank + 1, dims(b, rank));
    Value result = generic(
        b, op.getIndices(), op.getInit(),
        {rows, b.getMultiDimIdentityMap(rank + 1)},
        [&](Emitter &b, ValueRange in) -> Value {
          Value row = toIndex(b, in[0]), column = index(b, rank);
          Value group =
              apply(b, groupOf(scheme, b.getAffineDimExpr(0)), column);
          Value origin =
              op.getZeros()
                  ? unsignedToI32(b, reader.entry(b, op.getZeros(), row, group))
                  : originOf(b, scheme, op.getLayout().getSegments(), row);
          Value integer = level(
              b, scheme, reader.code(b, op.getCodes(), row, column), origin);
          Value scale = reader.entry(b, op.getScales(), row, group);
          Value number = arith::SIToFPOp::create(b, b.getF32Type(), integer);
          return arith::MulFOp::create(b, step(b, scheme, scale), number);
        });
    if (CherriesAttr attribute = op.getCherriesAttr())
      if (std::optional<CherryRows> cherries =
              readCherries(b, attribute.getSpec(), n, k, op.getCherryColumns(),
                           op.getCherryDeltas(), op.getIndices()))
        result = addCherries(b, result, *cherries);
    rewriter.replaceOp(op, result);
    return success();
  }
};
} // namespace

void tolinalg::populateGatherPatterns(RewritePatternSet &patterns) {
  patterns.add<LowerGather>(patterns.getContext());
}
