//===- Matmul.cpp - cq.matmul to linalg -----------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Patterns.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::tolinalg;

namespace {

/// One product. Two steps, as in ReferenceGemm.h: sums inside of groups
/// [M, N, groups], then the fold over groups with one fma each.
class Product {
public:
  Product(Emitter &b, MatmulOp op)
      : b(b), op(op), scheme(op.getScheme().getScheme()), k(op.getK()),
        f32(b.getF32Type()), i32(b.getI32Type()) {
    bindDims(b.getContext(), m, n, g, j);
  }

  Value emit() {
    unpack();
    bool int8 = op.getMode().getMode() == ActivationMode::Int8;
    Value y = int8 ? foldIntegers(zeros(b, op.getInit()))
                   : foldFloats(zeros(b, op.getInit()));
    CherriesAttr attribute = op.getCherriesAttr();
    return restoreOrder(attribute ? withCherries(y, attribute) : y);
  }

private:
  Value withCherries(Value y, CherriesAttr attribute) {
    std::optional<CherryRows> cherries =
        readCherries(b, attribute.getSpec(), op.getN(), k,
                     op.getCherryColumns(), op.getCherryDeltas());
    // Adding nothing still turns −0 into +0, as the definition does.
    Value c = zeros(b, sizesOf(b, y), f32);
    if (cherries)
      c = cherryProduct(*cherries, c);
    return linalg::AddOp::create(b, TypeRange{y.getType()}, ValueRange{y, c},
                                 ValueRange{y})
        .getResult(0);
  }

  /// Each column of y takes the stored row that the order says is its own.
  Value restoreOrder(Value stored) {
    Value order = op.getRowOrder();
    if (!order)
      return stored;
    AffineExpr token, column, row;
    bindDims(b.getContext(), token, column, row);
    return generic(
        b, {stored, order}, zeros(b, sizesOf(b, stored), f32),
        {map(b, 3, {token, row}), map(b, 3, {row}), map(b, 3, {token, column})},
        [&](Emitter &b, ValueRange in) -> Value {
          Value own = arith::CmpIOp::create(b, arith::CmpIPredicate::eq,
                                            toIndex(b, in[1]), index(b, 1));
          return arith::SelectOp::create(b, own, in[0], in[2]);
        });
  }

  Value originOfRow(Emitter &b, Value row) {
    return originOf(b, scheme, op.getLayout().getSegments(), row);
  }

  void unpack() {
    auto logical = [&](int64_t columns, Value plane) -> Type {
      return RankedTensorType::get({op.getN(), columns},
                                   getElementTypeOrSelf(plane.getType()));
    };
    int64_t groups = scheme.numGroups(k);
    auto unpack = UnpackOp::create(
        b, logical(k, op.getCodes()), logical(groups, op.getScales()),
        op.getZeros() ? logical(groups, op.getZeros()) : Type(), op.getCodes(),
        op.getScales(), op.getZeros(), op.getSchemeAttr(), op.getLayoutAttr());
    codes = unpack.getCodes();
    scales = unpack.getScales();
    zeroPoints = unpack.getZeros();
  }

  /// Σ over the columns of a group: x [M, K], w [N, K] → [M, N, ⌈K / length⌉].
  Value sumGroups(Value x, Value w, int64_t length, Type type, Body body) {
    Value xGroups = splitColumns(b, x, length);
    Value wGroups = splitColumns(b, w, length);
    Sizes sizes =
        append(b, sizesOf(b, op.getInit()), llvm::divideCeil(k, length));
    return generic(
        b, {xGroups, wGroups}, zeros(b, sizes, type),
        {map(b, 4, {m, g, j}), map(b, 4, {n, g, j}), map(b, 4, {m, n, g})},
        body);
  }

  Value foldFloats(Value y) {
    // Levels are small integers, exact in f32.
    AffineExpr row, column;
    bindDims(b.getContext(), row, column);
    AffineMap whole = map(b, 2, {row, column});
    SmallVector<Value> inputs{codes};
    SmallVector<AffineMap> maps{whole};
    if (zeroPoints) {
      inputs.push_back(zeroPoints);
      maps.push_back(map(b, 2, {row, groupOf(scheme, column)}));
    }
    maps.push_back(whole);
    Value levels = generic(
        b, inputs, empty(b, sizesOf(b, codes), f32), maps,
        [&](Emitter &b, ValueRange in) -> Value {
          Value origin = zeroPoints ? unsignedToI32(b, in[1])
                                    : originOfRow(b, index(b, 0));
          return arith::SIToFPOp::create(
              b, f32, level(b, scheme, unsignedToI32(b, in[0]), origin));
        });
    // Zeros behind a ragged last group change nothing: fma(0, 0, p) = p.
    Value partial =
        sumGroups(op.getX(), levels, std::min(scheme.groupLength(k), k), f32,
                  [](Emitter &b, ValueRange in) -> Value {
                    return math::FmaOp::create(b, in[1], in[0], in[2]);
                  });
    return generic(b, {partial, scales}, y,
                   {map(b, 3, {m, n, g}), map(b, 3, {n, g}), map(b, 3, {m, n})},
                   [&](Emitter &b, ValueRange in) -> Value {
                     return math::FmaOp::create(b, in[0],
                                                step(b, scheme, in[1]), in[2]);
                   });
  }

  Value foldIntegers(Value y) {
    int64_t group = activationGroup(scheme);
    Value dots = sumGroups(op.getActivationCodes(), codes, std::min(group, k),
                           i32, [&](Emitter &b, ValueRange in) -> Value {
                             Value x = arith::ExtSIOp::create(b, i32, in[0]);
                             Value product = arith::MulIOp::create(
                                 b, x, unsignedToI32(b, in[1]));
                             return arith::AddIOp::create(b, in[2], product);
                           });
    // The weight group that holds activation group g.
    AffineMap activation = map(b, 3, {m, g});
    AffineMap weight = map(b, 3, {n, groupOf(scheme, g * group)});
    SmallVector<Value> inputs{dots, op.getActivationSums(),
                              op.getActivationScales(), scales};
    SmallVector<AffineMap> maps{map(b, 3, {m, n, g}), activation, activation,
                                weight};
    if (zeroPoints) {
      inputs.push_back(zeroPoints);
      maps.push_back(weight);
    }
    maps.push_back(map(b, 3, {m, n}));
    return generic(b, inputs, y, maps, [&](Emitter &b, ValueRange in) {
      Value origin =
          zeroPoints ? unsignedToI32(b, in[4]) : originOfRow(b, index(b, 1));
      Value integer = centred(b, in[0], in[1], origin);
      Value scale = arith::MulFOp::create(b, step(b, scheme, in[3]), in[2]);
      Value number = arith::SIToFPOp::create(b, f32, integer);
      return math::FmaOp::create(b, number, scale, in.back()).getResult();
    });
  }

  /// Σ level·code from Σ u·code and Σ code.
  Value centred(Emitter &b, Value dot, Value sum, Value origin) {
    if (scheme.grid == Grid::HalfStep)
      dot = arith::MulIOp::create(b, dot, constant(b, int32_t{2}));
    return arith::SubIOp::create(b, dot, arith::MulIOp::create(b, origin, sum));
  }

  Value cherryProduct(const CherryRows &cherries, Value c) {
    AffineMap entries = map(b, 4, {n, g, j});
    Value x = op.getX();
    return generic(b, {cherries.columns, cherries.deltas}, c,
                   {entries, entries, map(b, 4, {m, n})},
                   [x](Emitter &b, ValueRange in) -> Value {
                     Value at[] = {index(b, 0), toIndex(b, in[0])};
                     return math::FmaOp::create(b, in[1], extract(b, x, at),
                                                in[2]);
                   });
  }

  Emitter &b;
  MatmulOp op;
  Scheme scheme;
  int64_t k;
  Type f32, i32;
  /// Token, row, group (or block of cherries), column within it (or entry).
  AffineExpr m, n, g, j;
  Value codes, scales, zeroPoints;
};

struct LowerMatmul : OpRewritePattern<MatmulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MatmulOp op,
                                PatternRewriter &rewriter) const override {
    if (!op.hasPureTensorSemantics())
      return rewriter.notifyMatchFailure(
          op, "works on memrefs; lower to linalg before bufferization");
    Emitter b(op.getLoc(), rewriter);
    rewriter.replaceOp(op, Product(b, op).emit());
    return success();
  }
};

} // namespace

void tolinalg::populateMatmulPatterns(RewritePatternSet &patterns) {
  patterns.add<LowerMatmul>(patterns.getContext());
}
