//===- CQFolds.cpp - Folders and canonicalizations of the cq ops ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Only what loses nothing and costs nothing: packing and quantizing constants
// is the work of cq-materialize-parameters, which is threaded and bounded in
// memory.
//
//===----------------------------------------------------------------------===//

#include "CQDetail.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace mlir::cq;

/// dequantize(splat codes, splat scales) is a splat.
OpFoldResult DequantizeOp::fold(FoldAdaptor adaptor) {
  auto codes = dyn_cast_if_present<SplatElementsAttr>(adaptor.getCodes());
  auto scales = dyn_cast_if_present<SplatElementsAttr>(adaptor.getScales());
  if (!codes || !scales || (getLayout() && getLayout()->getLayout().isMixed()))
    return {};
  uint8_t zero = 0;
  if (getZeros()) {
    auto zeros = dyn_cast_if_present<SplatElementsAttr>(adaptor.getZeros());
    if (!zeros)
      return {};
    zero = static_cast<uint8_t>(zeros.getSplatValue<APInt>().getZExtValue());
  }
  APFloat scale = scales.getSplatValue<APFloat>();
  bool lossy;
  scale.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven, &lossy);
  auto code = static_cast<uint8_t>(codes.getSplatValue<APInt>().getZExtValue());
  float value =
      decode(getScheme().getScheme(), code, scale.convertToFloat(), zero);
  return DenseElementsAttr::get(getResult().getType(), value);
}

/// unpack(pack(x)) = x.
LogicalResult UnpackOp::fold(FoldAdaptor,
                             SmallVectorImpl<OpFoldResult> &results) {
  auto pack = getPackedCodes().getDefiningOp<PackOp>();
  if (!pack || pack.getLayout() != getLayout() ||
      pack.getScheme() != getScheme() ||
      getPackedScales() != pack.getPackedScales() ||
      getPackedZeros() != pack.getPackedZeros() ||
      pack.getCodes().getType() != getCodes().getType())
    return failure();
  results.push_back(pack.getCodes());
  results.push_back(pack.getScales());
  if (getZeros())
    results.push_back(pack.getZeros());
  return success();
}

/// relayout from a layout to itself is nothing.
LogicalResult RelayoutOp::fold(FoldAdaptor,
                               SmallVectorImpl<OpFoldResult> &results) {
  if (getFrom() != getTo())
    return failure();
  results.assign({OpFoldResult(getCodes()), OpFoldResult(getScales())});
  if (getZeros())
    results.push_back(getZeros());
  return success();
}

namespace {

/// Planes that all come from one relayout.
RelayoutOp definingRelayout(Value codes, Value scales, Value zeros) {
  auto op = codes.getDefiningOp<RelayoutOp>();
  if (!op || scales != op.getNewScales() || zeros != op.getNewZeros())
    return {};
  return op;
}

/// relayout(relayout(x)) = relayout(x), the middle layout being skipped.
struct ComposeRelayouts : OpRewritePattern<RelayoutOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RelayoutOp op,
                                PatternRewriter &rewriter) const override {
    RelayoutOp first =
        definingRelayout(op.getCodes(), op.getScales(), op.getZeros());
    if (!first || first.getTo() != op.getFrom() ||
        first.getScheme() != op.getScheme() ||
        first.getColumns() != op.getColumns())
      return rewriter.notifyMatchFailure(
          op, "planes do not come from one relayout of the same weight");
    rewriter.replaceOpWithNewOp<RelayoutOp>(
        op, op->getResultTypes(), first.getCodes(), first.getScales(),
        first.getZeros(), op.getSchemeAttr(), first.getFromAttr(),
        op.getToAttr(), op.getColumnsAttr());
    return success();
  }
};

/// relayout(pack(x)) packs for the last layout at once.
struct PackForLastLayout : OpRewritePattern<RelayoutOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RelayoutOp op,
                                PatternRewriter &rewriter) const override {
    auto pack = op.getCodes().getDefiningOp<PackOp>();
    if (!pack || op.getScales() != pack.getPackedScales() ||
        op.getZeros() != pack.getPackedZeros() ||
        pack.getLayout() != op.getFrom() ||
        pack.getScheme() != op.getScheme() ||
        cast<ShapedType>(pack.getCodes().getType()).getDimSize(1) !=
            static_cast<int64_t>(op.getColumns()))
      return rewriter.notifyMatchFailure(op,
                                         "planes do not come from one pack");
    rewriter.replaceOpWithNewOp<PackOp>(
        op, op->getResultTypes(), pack.getCodes(), pack.getScales(),
        pack.getZeros(), op.getSchemeAttr(), op.getToAttr());
    return success();
  }
};

/// unpack(relayout(x)) reads the first layout.
struct UnpackFirstLayout : OpRewritePattern<UnpackOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(UnpackOp op,
                                PatternRewriter &rewriter) const override {
    RelayoutOp relayout = definingRelayout(
        op.getPackedCodes(), op.getPackedScales(), op.getPackedZeros());
    if (!relayout || relayout.getTo() != op.getLayout() ||
        relayout.getScheme() != op.getScheme() ||
        cast<ShapedType>(op.getCodes().getType()).getDimSize(1) !=
            static_cast<int64_t>(relayout.getColumns()))
      return rewriter.notifyMatchFailure(
          op, "planes do not come from one relayout");
    rewriter.replaceOpWithNewOp<UnpackOp>(
        op, op->getResultTypes(), relayout.getCodes(), relayout.getScales(),
        relayout.getZeros(), op.getSchemeAttr(), relayout.getFromAttr());
    return success();
  }
};

} // namespace

void RelayoutOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                             MLIRContext *context) {
  patterns.add<ComposeRelayouts, PackForLastLayout>(context);
}

void UnpackOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                           MLIRContext *context) {
  patterns.add<UnpackFirstLayout>(context);
}
