//===- Gather.cpp - Rows of a packed weight as floats ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "UnpackUnit.h"
#include "WeightReader.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

namespace {

/// One row of one segment.
class RowGather {
public:
  RowGather(Emitter &e, const WeightSpec &spec, const Segment &segment,
            const KernelArgs &args, Value out, Value token, Value row)
      : e(e), spec(spec), seg(segment), scheme(spec.scheme), args(args),
        out(out), token(token), row(row),
        local(e.sub(row, e.index(segment.rowBegin))),
        unit(PanelUnit::get(segment.bits)), strides(ScaleStrides::get(spec)) {
    scheme.bits = seg.bits;
  }
  void emit();

private:
  bool linear() const { return spec.layout.kind == LayoutKind::Linear; }
  void loadGroup(Value group);
  Value scaleIndex(Value group);
  void decodeUnit(Value column, int64_t length);
  void decodeColumn(Value column);
  /// Codes (i32 scalar or vector) to floats.
  Value decode(Value codes);
  void addCherries();
  void addCherry(Value column, Value deltaIndex);
  Value loadIndex(Value memref, Value at);

  Emitter &e;
  const WeightSpec &spec;
  const Segment &seg;
  Scheme scheme;
  const KernelArgs &args;
  Value out, token, row, local;
  const PanelUnit &unit;
  ScaleStrides strides;
  Value scale, zero;
};

} // namespace

Value RowGather::scaleIndex(Value group) {
  Value base = linear() ? e.mul(row, strides.row)
                        : e.add(e.mul(e.add(e.udiv(local, 16), seg.panelBegin),
                                      strides.panel),
                                e.mul(e.urem(local, 16), strides.row));
  return e.add(base, e.mul(group, strides.group));
}

void RowGather::loadGroup(Value group) {
  Value at = scaleIndex(group);
  scale = e.toF32(e.load(args.scales, at));
  if (scheme.grid == Grid::HalfStep)
    scale = arith::MulFOp::create(e, scale, e.constF32(0.5f));
  if (scheme.hasZeroPoints())
    zero = e.zextI32(e.load(args.zeros, at));
}

Value RowGather::decode(Value codes) {
  auto vector = dyn_cast<VectorType>(codes.getType());
  int64_t lanes = vector ? vector.getNumElements() : 0;
  auto spread = [&](Value value) {
    return lanes ? e.splat(value, lanes) : value;
  };
  if (scheme.grid == Grid::HalfStep)
    codes = arith::AddIOp::create(e, codes, codes);
  Value offset =
      zero ? zero
           : e.constI32(scheme.grid == Grid::HalfStep ? scheme.maxCode()
                                                      : scheme.offset());
  Value level = arith::SubIOp::create(e, codes, spread(offset));
  Type type = lanes ? Type(e.vec(lanes, e.getF32Type())) : e.getF32Type();
  return arith::MulFOp::create(e, spread(scale),
                               arith::SIToFPOp::create(e, type, level));
}

/// panel16: the row's four bytes of every vector of the unit are one word.
void RowGather::decodeUnit(Value column, int64_t length) {
  int64_t bytesPerColumn = unit.vectors * 64 / unit.columns();
  Value base =
      e.add(e.mul(e.udiv(local, 16), spec.layout.panelBytes(spec.k, seg.bits)),
            e.mul(e.urem(local, 16), 4));
  base = e.add(e.add(base, e.mul(column, bytesPerColumn)), seg.codeOffset);
  for (int64_t offset = 0; offset < length; offset += unit.columns()) {
    SmallVector<Value> words;
    for (unsigned v = 0; v < unit.vectors; ++v) {
      Value at = e.add(base, offset * bytesPerColumn + 64 * int64_t(v));
      words.push_back(e.extract(
          e.bitcast(e.loadVector(args.codes, at, 4), e.getI32Type()), 0));
    }
    for (auto [q, quad] : llvm::enumerate(unit.quads)) {
      int64_t at = offset + 4 * static_cast<int64_t>(q);
      if (at >= length)
        break;
      Value word = emitQuadWord(e, quad, words);
      Value codes = e.zextI32(e.bitcast(e.fromElements(word), e.getI8Type()));
      Value values = decode(e.shift(codes, quad.shiftClass));
      e.store(e.slice(values, 0, std::min<int64_t>(4, length - at)), out,
              {token, e.add(column, at)});
    }
  }
}

void RowGather::decodeColumn(Value column) {
  int64_t rowBytes = spec.layout.rowBytes(spec.k, seg.bits);
  Value bit = e.mul(column, seg.bits);
  Value byte =
      e.add(e.add(e.mul(local, rowBytes), seg.codeOffset), e.udiv(bit, 8));
  // A code that ends in its first byte must not read past the plane's last.
  Value next =
      e.min(e.add(byte, 1), e.index(seg.codeOffset + seg.rows * rowBytes - 1));
  Value word =
      arith::OrIOp::create(e, e.zextI32(e.load(args.codes, byte)),
                           e.shift(e.zextI32(e.load(args.codes, next)), -8));
  Value by = arith::IndexCastOp::create(e, e.getI32Type(), e.urem(bit, 8));
  Value code = e.andMask(arith::ShRUIOp::create(e, word, by), scheme.maxCode());
  e.store(decode(code), out, {token, column});
}

Value RowGather::loadIndex(Value memref, Value at) {
  return arith::IndexCastUIOp::create(e, e.getIndexType(), e.load(memref, at));
}

void RowGather::addCherry(Value column, Value deltaIndex) {
  // A damaged plane gives wrong numbers, never a wild write.
  column = e.min(column, e.index(spec.k - 1));
  Value delta = e.toF32(e.load(args.cherryDeltas, deltaIndex));
  Value sum = arith::AddFOp::create(e, e.load(out, {token, column}), delta);
  e.store(sum, out, {token, column});
}

void RowGather::addCherries() {
  int64_t count = spec.cherries.count;
  Value first = e.index(0), all = e.index(count);
  switch (spec.cherries.form) {
  case CherryForm::None:
    return;
  case CherryForm::Element:
    return e.loop(first, all, 1, [&](Value i) {
      Value at = e.add(e.mul(row, count), i);
      addCherry(loadIndex(args.cherryColumns, at), at);
    });
  case CherryForm::Column:
    return e.loop(first, all, 1, [&](Value i) {
      addCherry(loadIndex(args.cherryColumns, i), e.add(e.mul(i, spec.n), row));
    });
  case CherryForm::Slot:
    int64_t blocks = CherrySpec::slotBlocks(spec.k);
    return e.loop(first, e.index(blocks), 1, [&](Value block) {
      Value entry =
          e.mul(e.add(e.mul(e.udiv(row, 16), blocks), block), count * 16);
      entry = e.add(entry, e.urem(row, 16));
      e.loop(first, all, 1, [&](Value i) {
        Value at = e.add(entry, e.mul(i, 16));
        addCherry(e.add(e.mul(block, 256), loadIndex(args.cherryColumns, at)),
                  at);
      });
    });
  }
}

void RowGather::emit() {
  e.pieces(spec.k, scheme.groupLength(spec.k), {},
           [&](Value column, int64_t length, ValueRange) {
             loadGroup(scheme.group == 0 ? e.index(0)
                                         : e.udiv(column, scheme.group));
             if (linear())
               e.loop(column, e.add(column, length), 1,
                      [&](Value c) { decodeColumn(c); });
             else
               e.pieces(length, std::min<int64_t>(length, 32), {},
                        [&](Value offset, int64_t step, ValueRange) {
                          decodeUnit(e.add(column, offset), step);
                          return SmallVector<Value>();
                        });
             return SmallVector<Value>();
           });
  addCherries();
}

func::FuncOp mlir::cq::x86::buildGatherKernel(OpBuilder &builder, Location loc,
                                              StringRef name,
                                              const WeightSpec &spec,
                                              const GatherTypes &types) {
  OpBuilder::InsertionGuard guard(builder);
  KernelArgs args;
  Value indices, out;
  std::pair<MemRefType, Value *> slots[] = {
      {types.indices, &indices},
      {types.codes, &args.codes},
      {types.scales, &args.scales},
      {types.zeros, &args.zeros},
      {types.cherryColumns, &args.cherryColumns},
      {types.cherryDeltas, &args.cherryDeltas},
      {types.out, &out}};
  func::FuncOp func =
      createKernelFunction(builder, loc, name, slots, args.begin, args.end);

  Emitter e(loc, builder);
  e.setInsertionPointToStart(&func.front());
  e.loop(args.begin, args.end, 1, [&](Value token) {
    Value row = e.load(indices, token);
    if (!row.getType().isIndex())
      row = arith::IndexCastUIOp::create(e, e.getIndexType(), row);
    SmallVector<Segment> segments = segmentsOf(spec);
    for (const Segment &segment : segments) {
      auto gather = [&] {
        RowGather(e, spec, segment, args, out, token, row).emit();
      };
      if (segments.size() == 1) {
        gather();
        continue;
      }
      // Unsigned, so that rows before the segment are far after it.
      Value inside = arith::CmpIOp::create(
          e, arith::CmpIPredicate::ult, e.sub(row, e.index(segment.rowBegin)),
          e.index(segment.rows));
      e.ifThen(inside, gather);
    }
  });
  func::ReturnOp::create(e);
  return func;
}
