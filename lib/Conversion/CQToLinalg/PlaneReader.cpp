//===- PlaneReader.cpp - Reading packed planes, an element at a time ------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlaneReader.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::tolinalg;

PlaneReader::PlaneReader(Emitter &b, const Scheme &scheme, const Layout &layout,
                         int64_t n, int64_t k)
    : scheme(scheme), layout(layout), n(n), k(k) {
  int64_t first = 0, base = 0;
  for (const RowSegment &rows : layout.segments) {
    Segment segment{first, rows.rows, base, rows.bits, {}, std::nullopt};
    first += rows.rows;
    base += Layout::uniform(layout.kind, rows.rows, rows.bits)
                .codeBytes(rows.rows, k);
    if (layout.kind == LayoutKind::Panel16) {
      const PanelUnit &unit = PanelUnit::get(rows.bits);
      size_t most = 0;
      SmallVector<int64_t> classes;
      for (const PanelQuad &quad : unit.quads) {
        most = std::max(most, quad.terms.size());
        classes.push_back(quad.shiftClass);
      }
      for (size_t i = 0; i < most; ++i) {
        SmallVector<int64_t> offset, left, right, mask;
        for (const PanelQuad &quad : unit.quads) {
          // A quad of fewer terms takes nothing from one more.
          PanelTerm term =
              i < quad.terms.size() ? quad.terms[i] : PanelTerm{0, 0, 0};
          offset.push_back(term.vector * 64);
          left.push_back(std::max<int64_t>(-term.shift, 0));
          right.push_back(std::max<int64_t>(term.shift, 0));
          mask.push_back(term.mask);
        }
        Type i32 = b.getI32Type();
        segment.terms.push_back({Table(b, b.getIndexType(), offset),
                                 Table(b, i32, left), Table(b, i32, right),
                                 Table(b, i32, mask)});
      }
      segment.shiftClass.emplace(b, b.getI32Type(), classes);
    }
    segments.push_back(std::move(segment));
  }
}

Value PlaneReader::code(Emitter &b, Value plane, Value row,
                        Value column) const {
  Value result;
  for (const Segment &segment : segments) {
    Value local = row;
    if (segments.size() > 1) {
      // Rows of other segments read a row of this one, and are not chosen.
      AffineExpr d0 = b.getAffineDimExpr(0);
      local = apply(b, d0 - segment.first, row);
      local = arith::MaxSIOp::create(b, local, constantIndex(b, 0));
      local =
          arith::MinSIOp::create(b, local, constantIndex(b, segment.rows - 1));
    }
    Value code = layout.kind == LayoutKind::Linear
                     ? linearCode(b, segment, plane, local, column)
                     : panelCode(b, segment, plane, local, column);
    if (result) {
      Value before = arith::CmpIOp::create(b, arith::CmpIPredicate::slt, row,
                                           constantIndex(b, segment.first));
      code = arith::SelectOp::create(b, before, result, code);
    }
    result = code;
  }
  return result;
}

Value PlaneReader::linearCode(Emitter &b, const Segment &segment, Value plane,
                              Value row, Value column) const {
  int64_t bits = segment.bits;
  AffineExpr n, k;
  bindDims(b.getContext(), n, k);
  AffineExpr start = segment.base + n * layout.rowBytes(this->k, segment.bits);
  auto byteAt = [&](AffineExpr bit) {
    Value at = apply(b, start + bit.floorDiv(8), {row, column});
    return unsignedToI32(b, extract(b, plane, at));
  };
  Value word = byteAt(k * bits);
  if (bits == 8)
    return word;
  if (8 % bits != 0) {
    // The byte of the code's last bit, which may be the same one: then its copy
    // lies above the mask.
    Value high = byteAt(k * bits + (bits - 1));
    high = arith::ShLIOp::create(b, high, constant(b, int32_t{8}));
    word = arith::OrIOp::create(b, word, high);
  }
  Value shift = arith::IndexCastOp::create(
      b, b.getI32Type(), apply(b, (k * bits) % 8, {row, column}));
  word = arith::ShRUIOp::create(b, word, shift);
  return arith::AndIOp::create(b, word, constant(b, (int32_t{1} << bits) - 1));
}

Value PlaneReader::panelCode(Emitter &b, const Segment &segment, Value plane,
                             Value row, Value column) const {
  const PanelUnit &unit = PanelUnit::get(segment.bits);
  AffineExpr n, k, offset;
  bindDims(b.getContext(), n, k, offset);
  // Layout.h: units of `vectors` × 64 bytes; byte 4·row + (k mod 4) of a
  // vector.
  AffineExpr byte =
      segment.base + n.floorDiv(16) * layout.panelBytes(this->k, segment.bits) +
      k.floorDiv(unit.columns()) * (unit.vectors * 64) + (n % 16) * 4 + k % 4;
  Value quad = apply(b, (k % unit.columns()).floorDiv(4), {row, column});
  auto shift = [&](Value value, const Table &by, bool left) -> Value {
    if (by.uniform() == 0)
      return value;
    Value amount = by.read(b, quad);
    if (left)
      return arith::ShLIOp::create(b, value, amount);
    return arith::ShRUIOp::create(b, value, amount);
  };
  Value operand;
  for (const Terms &term : segment.terms) {
    std::optional<int64_t> fixed = term.offset.uniform();
    Value at = fixed ? apply(b, byte + *fixed, {row, column})
                     : apply(b, byte + offset,
                             {row, column, term.offset.read(b, quad)});
    Value bits = unsignedToI32(b, extract(b, plane, at));
    bits = shift(shift(bits, term.left, true), term.right, false);
    bits = arith::AndIOp::create(b, bits, term.mask.read(b, quad));
    operand =
        operand ? arith::OrIOp::create(b, operand, bits).getResult() : bits;
  }
  return shift(operand, *segment.shiftClass, false);
}

Value PlaneReader::entry(Emitter &b, Value plane, Value row,
                         Value group) const {
  // The index is linear in panel, row of the panel and group; the codec says
  // how.
  auto indexOf = [&](int64_t row, int64_t group) {
    return layout.scaleIndex(row, group, n, k, scheme);
  };
  AffineExpr n, g;
  bindDims(b.getContext(), n, g);
  AffineExpr at = n.floorDiv(16) * indexOf(16, 0) + (n % 16) * indexOf(1, 0) +
                  g * indexOf(0, 1);
  if (indexOf(16, 0) == 16 * indexOf(1, 0))
    at = n * indexOf(1, 0) + g * indexOf(0, 1);
  return extract(b, plane, apply(b, at, {row, group}));
}
