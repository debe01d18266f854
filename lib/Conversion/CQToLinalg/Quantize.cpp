//===- Quantize.cpp - cq.quantize to linalg -------------------------------===//
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
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::tolinalg;
using Predicate = arith::CmpFPredicate;

/// `x predicate y ? x : y`, which has a result for NaN and for ±0 as well.
static Value choose(Emitter &b, Predicate predicate, Value x, Value y) {
  Value first = arith::CmpFOp::create(b, predicate, x, y);
  return arith::SelectOp::create(b, first, x, y);
}

namespace {

/// Min–max scales and nearest codes, with the numbers of quantizeWeight. What
/// that refuses (weights that are not finite, scales or deltas that do not fit
/// their type) is undefined here.
class MinMax {
public:
  MinMax(Emitter &b, QuantizeOp op)
      : b(b), op(op), scheme(op.getScheme().getScheme()),
        type(cast<RankedTensorType>(op.getWeight().getType())),
        n(type.getDimSize(0)), k(type.getDimSize(1)),
        half(static_cast<float>(1 << (scheme.bits - 1))) {
    bindDims(b.getContext(), d0, d1, d2);
    whole = map(b, 2, {d0, d1});
    group = map(b, 2, {d0, groupOf(scheme, d1)});
  }

  SmallVector<Value> emit() {
    Value kept =
        splitColumns(b, withoutCherries(), std::min(scheme.groupLength(k), k));
    Value smallest = extreme(kept, Predicate::OLT);
    Value largest = extreme(kept, Predicate::OGT);
    Value scales = scalePlane(smallest, largest);
    Value zeros;
    if (scheme.hasZeroPoints())
      zeros = zeroPlane(smallest, scales);
    Value codes = codePlane(scales, zeros);
    SmallVector<Value> results{codes, scales};
    if (zeros)
      results.push_back(zeros);
    if (op.getCherryDeltas())
      results.push_back(deltaPlane(codes, scales, zeros));
    return results;
  }

private:
  /// The weights with 0, which every range holds, in the place of cherries.
  Value withoutCherries() {
    Value weight = op.getWeight();
    CherriesAttr attribute = op.getCherriesAttr();
    if (!attribute)
      return weight;
    std::optional<CherryRows> cherries = readCherries(
        b, attribute.getSpec(), n, k, op.getCherryColumns(), Value());
    if (!cherries)
      return weight;
    return updateCherries(b, weight, *cherries, [](Emitter &b, Value, Value) {
      return constant(b, 0.0f);
    });
  }

  /// Smallest or largest of 0 and the weights of a group: [N, groups].
  Value extreme(Value groups, Predicate better) {
    int64_t count = scheme.numGroups(k);
    return generic(b, groups,
                   zeros(b, append(b, {}, {n, count}), b.getF32Type()),
                   {map(b, 3, {d0, d1, d2}), map(b, 3, {d0, d1})},
                   [&](Emitter &b, ValueRange in) {
                     return choose(b, better, in[0], in[1]);
                   });
  }

  /// Scheme.h's scale of a range, before rounding.
  Value scaleOf(Emitter &b, Value smallest, Value largest) {
    if (scheme.grid == Grid::Affine)
      return arith::DivFOp::create(
          b, arith::SubFOp::create(b, largest, smallest),
          constant(b, static_cast<float>(scheme.maxCode())));
    // Of +m and −m the positive one counts as the weight of largest magnitude.
    Value below = arith::NegFOp::create(b, smallest);
    Value magnitude = choose(b, Predicate::OGE, largest, below);
    bool restricted = scheme.grid == Grid::Symmetric && scheme.bits > 4;
    if (scheme.grid == Grid::Symmetric && !restricted) {
      Value positive = arith::CmpFOp::create(b, Predicate::OGE, largest, below);
      Value negated = arith::NegFOp::create(b, magnitude);
      magnitude = arith::SelectOp::create(b, positive, negated, magnitude);
    }
    return arith::DivFOp::create(b, magnitude,
                                 constant(b, restricted ? half - 1 : half));
  }

  Value scalePlane(Value smallest, Value largest) {
    Type f32 = b.getF32Type();
    auto type = cast<RankedTensorType>(op.getScales().getType());
    Type stored = type.getElementType();
    return generic(
        b, {smallest, largest},
        empty(b, append(b, {}, type.getShape()), stored), {whole, whole, whole},
        [&](Emitter &b, ValueRange in) -> Value {
          Value scale = scaleOf(b, in[0], in[1]);
          Value rounded = scale;
          if (stored != f32)
            rounded = arith::TruncFOp::create(b, stored, scale);
          // The codec has no scales that are subnormal in f32.
          Value magnitude = math::AbsFOp::create(b, toF32(b, rounded));
          Value tiny = arith::CmpFOp::create(b, Predicate::OLT, magnitude,
                                             constant(b, 0x1p-126f));
          Value zero = arith::ConstantOp::create(b, b.getZeroAttr(stored));
          return arith::SelectOp::create(b, tiny, zero, rounded);
        });
  }

  Value zeroPlane(Value smallest, Value scales) {
    auto type = cast<RankedTensorType>(op.getZeros().getType());
    return generic(
        b, {smallest, scales},
        empty(b, append(b, {}, type.getShape()), b.getI8Type()),
        {whole, whole, whole}, [&](Emitter &b, ValueRange in) -> Value {
          Value scale = toF32(b, in[1]);
          Value zero =
              arith::DivFOp::create(b, arith::NegFOp::create(b, in[0]), scale);
          Value most = constant(b, static_cast<float>(scheme.maxCode()));
          zero = choose(b, Predicate::OLT, zero, most);
          return codeOf(b, zero, constant(b, int32_t{0}), scale,
                        constant(b, int32_t{0}));
        });
  }

  /// round_half_even(x) + offset as a byte; `none` where the scale is 0.
  Value codeOf(Emitter &b, Value x, Value offset, Value scale, Value none) {
    Value integer = arith::FPToSIOp::create(b, b.getI32Type(),
                                            math::RoundEvenOp::create(b, x));
    integer = arith::AddIOp::create(b, integer, offset);
    Value nothing =
        arith::CmpFOp::create(b, Predicate::OEQ, scale, constant(b, 0.0f));
    integer = arith::SelectOp::create(b, nothing, none, integer);
    return arith::TruncIOp::create(b, b.getI8Type(), integer);
  }

  Value codePlane(Value scales, Value zeroPoints) {
    SmallVector<Value> inputs{op.getWeight(), scales};
    SmallVector<AffineMap> maps{whole, group};
    if (zeroPoints) {
      inputs.push_back(zeroPoints);
      maps.push_back(group);
    }
    maps.push_back(whole);
    Value init = empty(b, append(b, {}, {n, k}), b.getI8Type());
    return generic(b, inputs, init, maps, [&](Emitter &b, ValueRange in) {
      Value scale = toF32(b, in[1]);
      Value x = arith::DivFOp::create(b, in[0], scale);
      if (scheme.grid == Grid::HalfStep)
        x = arith::SubFOp::create(b, x, constant(b, 0.5f));
      Value lowest, highest, offset;
      if (zeroPoints) {
        offset = unsignedToI32(b, in[2]);
        Value zero = arith::SIToFPOp::create(b, b.getF32Type(), offset);
        lowest = arith::NegFOp::create(b, zero);
        highest = arith::SubFOp::create(
            b, constant(b, static_cast<float>(scheme.maxCode())), zero);
      } else {
        offset = constant(b, int32_t{1} << (scheme.bits - 1));
        lowest = constant(b, static_cast<float>(scheme.minCode()) - half);
        highest = constant(b, half - 1);
      }
      x = choose(b, Predicate::OGT, x, lowest);
      x = choose(b, Predicate::OLT, x, highest);
      return codeOf(b, x, offset, scale, offset);
    });
  }

  /// w − ŵ at every cherry, in the order of the plane; +0 in unused places.
  Value deltaPlane(Value codes, Value scales, Value zeroPoints) {
    CherrySpec spec = op.getCherriesAttr().getSpec();
    Value decoded =
        DequantizeOp::create(b, type, codes, scales, zeroPoints,
                             op.getSchemeAttr(), op.getLayoutAttr());
    auto planeType = cast<RankedTensorType>(op.getCherryDeltas().getType());
    Value init = empty(b, append(b, {}, planeType.getShape()), b.getF16Type());
    AffineExpr row = d0.floorDiv(spec.count), at = d0;
    AffineExpr start = b.getAffineConstantExpr(0);
    if (spec.form == CherryForm::Column) {
      row = d0 % n;
      at = d0.floorDiv(n);
    } else if (spec.form == CherryForm::Slot && planeType.getDimSize(0)) {
      int64_t blocks = CherrySpec::slotBlocks(k);
      row = d0.floorDiv(16 * spec.count * blocks) * 16 + d0 % 16;
      start = (d0.floorDiv(16 * spec.count) % blocks) * 256;
    }
    return generate(b, init, [&](Emitter &b, ValueRange) -> Value {
      Value place = index(b, 0);
      Value where = apply(b, row, place);
      // Rows of the padding read the last row, and are not chosen.
      Value last = constantIndex(b, n - 1);
      Value used =
          arith::CmpIOp::create(b, arith::CmpIPredicate::sle, where, last);
      where = arith::MinSIOp::create(b, where, last);
      Value column =
          toIndex(b, extract(b, op.getCherryColumns(), apply(b, at, place)));
      column = arith::AddIOp::create(b, column, apply(b, start, place));
      Value delta =
          arith::SubFOp::create(b, extract(b, op.getWeight(), {where, column}),
                                extract(b, decoded, {where, column}));
      Value rounded = arith::TruncFOp::create(b, b.getF16Type(), delta);
      Value zero = arith::ConstantOp::create(b, b.getZeroAttr(b.getF16Type()));
      return arith::SelectOp::create(b, used, rounded, zero);
    });
  }

  Emitter &b;
  QuantizeOp op;
  Scheme scheme;
  RankedTensorType type;
  int64_t n, k;
  float half;
  AffineExpr d0, d1, d2;
  AffineMap whole, group;
};

struct LowerQuantize : OpRewritePattern<QuantizeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(QuantizeOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getQuantizer().getKind() != QuantizerKind::RTN)
      return rewriter.notifyMatchFailure(
          op, "searches for scales; cq-materialize-parameters evaluates it");
    Emitter b(op.getLoc(), rewriter);
    rewriter.replaceOp(op, MinMax(b, op).emit());
    return success();
  }
};

} // namespace

void tolinalg::populateQuantizePatterns(RewritePatternSet &patterns) {
  patterns.add<LowerQuantize>(patterns.getContext());
}
