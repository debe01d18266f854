//===- Pack.cpp - cq.pack and cq.relayout to linalg -----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Patterns.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::tolinalg;

static Value flatten(Emitter &b, Value tensor) {
  auto type = cast<RankedTensorType>(tensor.getType());
  ReassociationIndices all;
  for (int64_t dim = 0; dim < type.getRank(); ++dim)
    all.push_back(dim);
  return tensor::CollapseShapeOp::create(
      b, tensor, SmallVector<ReassociationIndices>{all});
}

/// Bytes of rows in linear order. A byte holds (parts of) at most `touching`
/// codes, from the one with its bit 0 on.
static Value packLinear(Emitter &b, Value codes, int64_t rowBytes,
                        int64_t bits) {
  int64_t rows = cast<ShapedType>(codes.getType()).getDimSize(0);
  int64_t touching = 8 % bits == 0 ? 8 / bits : (6 + bits) / bits + 1;
  int64_t columns = 8 * (rowBytes - 1) / bits + touching;
  codes =
      padTo(b, codes, rows,
            std::max(columns, cast<ShapedType>(codes.getType()).getDimSize(1)));
  Value init = empty(b, append(b, {}, {rows, rowBytes}), b.getI8Type());
  return generate(b, init, [&](Emitter &b, ValueRange) -> Value {
    Value row = index(b, 0), byte = index(b, 1), word;
    AffineExpr i = b.getAffineDimExpr(0);
    for (int64_t t = 0; t < touching; ++t) {
      Value column = apply(b, (i * 8).floorDiv(bits) + t, byte);
      Value code = unsignedToI32(b, extract(b, codes, {row, column}));
      code =
          arith::AndIOp::create(b, code, constant(b, (int32_t{1} << bits) - 1));
      // Its first bit lies at `bits` less than this, perhaps before the byte.
      Value left = arith::IndexCastOp::create(
          b, b.getI32Type(), apply(b, bits * (t + 1) - (i * 8) % bits, byte));
      code = arith::ShLIOp::create(b, code, left);
      word = word ? arith::OrIOp::create(b, word, code).getResult() : code;
    }
    word = arith::ShRUIOp::create(b, word,
                                  constant(b, static_cast<int32_t>(bits)));
    return arith::TruncIOp::create(b, b.getI8Type(), word);
  });
}

namespace {
/// What one vector of a unit takes from the codes: a field of some quads.
struct Contribution {
  SmallVector<int64_t> column, toClass, mask, left, right;
};
} // namespace

/// The terms of a unit's quads, sorted by vector: the i-th of every vector.
static SmallVector<Contribution, 0> contributionsOf(const PanelUnit &unit) {
  SmallVector<Contribution, 0> result;
  SmallVector<size_t> used(unit.vectors, 0);
  for (auto [quad, entry] : llvm::enumerate(unit.quads))
    for (const PanelTerm &term : entry.terms) {
      size_t i = used[term.vector]++;
      if (i == result.size()) {
        SmallVector<int64_t> none(unit.vectors, 0);
        result.push_back({none, none, none, none, none});
      }
      Contribution &to = result[i];
      to.column[term.vector] = static_cast<int64_t>(quad) * 4;
      to.toClass[term.vector] = entry.shiftClass;
      to.mask[term.vector] = term.mask;
      // Reading shifts right, so writing shifts left.
      to.left[term.vector] = std::max<int64_t>(term.shift, 0);
      to.right[term.vector] = std::max<int64_t>(-term.shift, 0);
    }
  return result;
}

/// [panels, units, vectors, 64] bytes.
static Value packPanels(Emitter &b, Value codes, const PanelUnit &unit) {
  auto type = cast<RankedTensorType>(codes.getType());
  int64_t panels = llvm::divideCeil(type.getDimSize(0), 16);
  int64_t units = llvm::divideCeil(type.getDimSize(1), unit.columns());
  codes = padTo(b, codes, panels * 16, units * unit.columns());
  struct Tables {
    Table column, toClass, mask, left, right;
  };
  SmallVector<Tables, 0> tables;
  Type i32 = b.getI32Type();
  for (const Contribution &c : contributionsOf(unit))
    tables.push_back({Table(b, b.getIndexType(), c.column),
                      Table(b, i32, c.toClass), Table(b, i32, c.mask),
                      Table(b, i32, c.left), Table(b, i32, c.right)});
  Value init =
      empty(b, append(b, {}, {panels, units, unit.vectors, 64}), b.getI8Type());
  return generate(b, init, [&](Emitter &b, ValueRange) -> Value {
    Value panel = index(b, 0), at = index(b, 1), vector = index(b, 2),
          byte = index(b, 3), word;
    AffineExpr d0, d1, d2;
    bindDims(b.getContext(), d0, d1, d2);
    Value row = apply(b, d0 * 16 + d1.floorDiv(4), {panel, byte});
    for (const Tables &table : tables) {
      Value column = apply(b, d0 * unit.columns() + d1 % 4 + d2,
                           {at, byte, table.column.read(b, vector)});
      Value code = unsignedToI32(b, extract(b, codes, {row, column}));
      code = arith::ShLIOp::create(b, code, table.toClass.read(b, vector));
      code = arith::AndIOp::create(b, code, table.mask.read(b, vector));
      code = arith::ShLIOp::create(b, code, table.left.read(b, vector));
      code = arith::ShRUIOp::create(b, code, table.right.read(b, vector));
      word = word ? arith::OrIOp::create(b, word, code).getResult() : code;
    }
    return arith::TruncIOp::create(b, b.getI8Type(), word);
  });
}

/// The code plane: one segment after another.
static Value packCodes(Emitter &b, Value codes, const Layout &layout) {
  auto type = cast<RankedTensorType>(codes.getType());
  int64_t k = type.getDimSize(1);
  auto packSegment = [&](Value rows, unsigned bits) {
    return flatten(b, layout.kind == LayoutKind::Linear
                          ? packLinear(b, rows, layout.rowBytes(k, bits), bits)
                          : packPanels(b, rows, PanelUnit::get(bits)));
  };
  if (layout.segments.size() == 1)
    return packSegment(codes, layout.segments[0].bits);
  Value plane = empty(b, append(b, {}, layout.codeBytes(type.getDimSize(0), k)),
                      b.getI8Type());
  OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
  int64_t first = 0, base = 0;
  for (const RowSegment &segment : layout.segments) {
    Value rows = tensor::ExtractSliceOp::create(
        b, codes, Sizes{b.getIndexAttr(first), zero},
        append(b, {}, {segment.rows, k}), Sizes{one, one});
    Value bytes = packSegment(rows, segment.bits);
    int64_t count = cast<ShapedType>(bytes.getType()).getDimSize(0);
    plane = tensor::InsertSliceOp::create(b, bytes, plane,
                                          Sizes{b.getIndexAttr(base)},
                                          append(b, {}, count), Sizes{one});
    first += segment.rows;
    base += count;
  }
  return plane;
}

/// Scales or zero points [N, groups] → their flat plane.
static Value packEntries(Emitter &b, Value entries, LayoutKind kind) {
  if (kind == LayoutKind::Linear)
    return flatten(b, entries);
  auto type = cast<RankedTensorType>(entries.getType());
  int64_t panels = llvm::divideCeil(type.getDimSize(0), 16);
  int64_t groups = type.getDimSize(1);
  Value init =
      empty(b, append(b, {}, {panels, groups, 16}), type.getElementType());
  AffineExpr p, g, r;
  bindDims(b.getContext(), p, g, r);
  Value padded = padTo(b, entries, panels * 16, groups);
  return flatten(b, generic(b, padded, init,
                            {map(b, 3, {p * 16 + r, g}), map(b, 3, {p, g, r})},
                            [](Emitter &, ValueRange in) { return in[0]; }));
}

namespace {

struct LowerPack : OpRewritePattern<PackOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(PackOp op,
                                PatternRewriter &rewriter) const override {
    Emitter b(op.getLoc(), rewriter);
    Layout layout = op.getLayout().getLayout();
    SmallVector<Value> results{packCodes(b, op.getCodes(), layout),
                               packEntries(b, op.getScales(), layout.kind)};
    if (op.getZeros())
      results.push_back(packEntries(b, op.getZeros(), layout.kind));
    rewriter.replaceOp(op, results);
    return success();
  }
};

/// relayout = pack ∘ unpack.
struct LowerRelayout : OpRewritePattern<RelayoutOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RelayoutOp op,
                                PatternRewriter &rewriter) const override {
    Emitter b(op.getLoc(), rewriter);
    int64_t n = op.getFrom().getNumRows(),
            k = static_cast<int64_t>(op.getColumns());
    int64_t groups = op.getScheme().getScheme().numGroups(k);
    auto logical = [&](int64_t columns, Value plane) -> Type {
      return RankedTensorType::get({n, columns},
                                   getElementTypeOrSelf(plane.getType()));
    };
    auto unpack = UnpackOp::create(
        b, logical(k, op.getCodes()), logical(groups, op.getScales()),
        op.getZeros() ? logical(groups, op.getZeros()) : Type(), op.getCodes(),
        op.getScales(), op.getZeros(), op.getSchemeAttr(), op.getFromAttr());
    rewriter.replaceOpWithNewOp<PackOp>(
        op, op->getResultTypes(), unpack.getCodes(), unpack.getScales(),
        unpack.getZeros(), op.getSchemeAttr(), op.getToAttr());
    return success();
  }
};

} // namespace

void tolinalg::populatePackPatterns(RewritePatternSet &patterns) {
  patterns.add<LowerPack, LowerRelayout>(patterns.getContext());
}
