//===- WeightReader.cpp - Vectors of codes, scales and zero points --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightReader.h"
#include "Heuristics.h"
#include "UnpackUnit.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

SmallVector<Segment> mlir::cq::x86::segmentsOf(const WeightSpec &spec) {
  SmallVector<Segment> result;
  Segment next;
  for (const RowSegment &rows : spec.layout.segments) {
    next.bits = rows.bits;
    next.rows = rows.rows;
    result.push_back(next);
    next.rowBegin += rows.rows;
    next.panelBegin += result.back().panels();
    next.codeOffset += spec.layout.kind == LayoutKind::Linear
                           ? rows.rows * spec.layout.rowBytes(spec.k, rows.bits)
                           : result.back().panels() *
                                 spec.layout.panelBytes(spec.k, rows.bits);
  }
  return result;
}

ScaleStrides ScaleStrides::get(const WeightSpec &spec) {
  // Indices are affine in row, panel and group; two panels show the
  // coefficients.
  Layout sample = Layout::uniform(spec.layout.kind, 32, spec.scheme.bits);
  auto at = [&](int64_t row, int64_t group) {
    return sample.scaleIndex(row, group, 32, spec.k, spec.scheme);
  };
  int64_t groups = spec.scheme.numGroups(spec.k);
  return {at(1, 0), at(16, 0), groups > 1 ? at(0, 1) : 0};
}

WeightReader::WeightReader(Emitter &e, const WeightSpec &spec,
                           const Segment &segment, ISA isa,
                           const KernelArgs &args, const PanelUnit &unit)
    : e(e), spec(spec), seg(segment), segmentScheme(spec.scheme), isa(isa),
      args(args), unitTable(&unit), strides(ScaleStrides::get(spec)) {
  segmentScheme.bits = seg.bits;
}

void WeightReader::setPanel(Value newPanel) {
  panel = newPanel;
  rowBase = e.add(e.mul(panel, 16), given(args.rowBegin, seg.rowBegin));
}

Value WeightReader::validRows(Value lane) {
  return e.sub(given(args.rowEnd, seg.rowBegin + seg.rows), row(lane));
}

namespace {

/// panel16: everything is contiguous in lanes.
class PanelReader : public WeightReader {
public:
  PanelReader(Emitter &e, const WeightSpec &spec, const Segment &segment,
              ISA isa, const KernelArgs &args)
      : WeightReader(e, spec, segment, isa, args,
                     PanelUnit::get(segment.bits)) {}

  void setPanel(Value newPanel) override {
    WeightReader::setPanel(newPanel);
    codeBase = e.add(e.mul(panel, spec.layout.panelBytes(spec.k, seg.bits)),
                     given(args.codeOffset, seg.codeOffset));
    scaleBase = e.mul(e.add(panel, given(args.panelBegin, seg.panelBegin)),
                      strides.panel);
    fetchSmallPlanes();
  }

  Value loadVector(Value column, int64_t offset, unsigned vector,
                   Value lane) override {
    return loadStored(unit(), column, offset, vector, lane);
  }

  CodeBytes bytesFrom(Value column) override {
    assert(seg.bits == 8 && "codes are packed");
    return {args.codes, codeAt(unit(), column)};
  }

  void fetchAhead(Value column, int64_t offset) override {
    fetchUnit(unit(), column, offset);
  }

protected:
  Value loadStored(const PanelUnit &stored, Value column, int64_t offset,
                   unsigned vector, Value lane) {
    Value at = e.add(codeAt(stored, column), e.mul(lane, 4));
    at = e.add(at, offset * bytesPerColumn(stored) + 64 * int64_t(vector));
    return e.loadVector(args.codes, at, isa.vectorBytes());
  }
  // Units follow one another, so a column is a fixed number of bytes.
  static int64_t bytesPerColumn(const PanelUnit &stored) {
    return stored.vectors * 64 / stored.columns();
  }
  Value codeAt(const PanelUnit &stored, Value column) {
    return e.add(codeBase, e.mul(column, bytesPerColumn(stored)));
  }
  /// Codes lie in the order in which they are read, panel after panel, so what
  /// is read soon is a fixed number of bytes away.
  void fetchUnit(const PanelUnit &stored, Value column, int64_t offset) {
    Value at = e.add(codeAt(stored, column),
                     offset * bytesPerColumn(stored) + bytesFetchedAhead());
    for (unsigned v = 0; v < stored.vectors; ++v)
      e.prefetch(args.codes, e.add(at, 64 * int64_t(v)));
  }

  /// Asks for scales and cherries of the panel whose codes are fetched. They
  /// are a few lines of a panel each, too few and far between for the
  /// prefetchers of the CPU; where they are more, those follow them.
  void fetchSmallPlanes() {
    constexpr int64_t lines = 8;
    int64_t panelBytes = spec.layout.panelBytes(spec.k, seg.bits);
    int64_t ahead = llvm::divideCeil(bytesFetchedAhead(), panelBytes);
    auto fetch = [&](Value plane, Value first, int64_t count, int64_t bytes) {
      for (int64_t at = 0; at < count; at += 64 / bytes)
        e.prefetch(plane, e.add(first, at));
    };
    if (spec.scheme.group != 0 && 2 * strides.panel <= 64 * lines)
      fetch(args.scales, e.add(scaleBase, ahead * strides.panel), strides.panel,
            /*bytes=*/2);
    if (spec.cherries.form != CherryForm::Slot)
      return;
    int64_t entries = CherrySpec::slotBlocks(spec.k) * spec.cherries.count * 16;
    if (2 * entries > 64 * lines)
      return;
    Value stored = e.add(panel, given(args.panelBegin, seg.panelBegin));
    Value first = e.mul(e.add(stored, ahead), entries);
    fetch(args.cherryColumns, first, entries, /*bytes=*/1);
    fetch(args.cherryDeltas, first, entries, /*bytes=*/2);
  }

public:
  Value loadScales(Value group, Value lane) override {
    return e.toF32(
        e.loadVector(args.scales, scaleIndex(group, lane), isa.lanes()));
  }
  Value loadZeros(Value group, Value lane) override {
    return e.zextI32(
        e.loadVector(args.zeros, scaleIndex(group, lane), isa.lanes()));
  }

protected:
  Value scaleIndex(Value group, Value lane) {
    return e.add(e.add(scaleBase, e.mul(group, strides.group)), lane);
  }

private:
  Value codeBase, scaleBase;
};

/// panel16 for several tokens: codes of a panel are written in the order of an
/// 8-bit panel first, so that tiles only load them.
class UnpackedReader : public PanelReader {
public:
  UnpackedReader(Emitter &e, const WeightSpec &spec, const Segment &segment,
                 ISA isa, const KernelArgs &args, int64_t columns)
      : PanelReader(e, spec, segment, isa, args),
        stored(PanelUnit::get(segment.bits)) {
    columns = llvm::alignTo(columns, stored.columns());
    scratch = memref::AllocaOp::create(
        e, MemRefType::get({16 * columns}, e.getI8Type()),
        e.getI64IntegerAttr(64));
    unitTable = &PanelUnit::get(8);
  }

  void unpack(Value column, Value end, Value next) override {
    first = column;
    SmallVector<Field> fields =
        planFields(stored, segmentScheme.maxCode(), isa, /*inPlace=*/false);
    e.loop(column, end, stored.columns(), [&](Value unitColumn) {
      for (unsigned lane = 0; lane < 16; lane += isa.lanes())
        unpackUnit(fields, unitColumn, e.index(lane));
      if (!next)
        fetchUnit(stored, unitColumn, 0);
    });
    if (!next || spec.scheme.group == 0)
      return;
    int64_t line = 64 / (2 * kRows) * spec.scheme.group;
    e.loop(next, e.add(next, e.sub(end, column)), line, [&](Value soon) {
      e.prefetch(args.scales,
                 scaleIndex(e.udiv(soon, spec.scheme.group), e.index(0)));
    });
  }

  void fetchPart(Value column, int64_t columns, Value turn,
                 int64_t turns) override {
    int64_t lines = llvm::divideCeil(columns * bytesPerColumn(stored), 64);
    int64_t each = llvm::divideCeil(lines, turns);
    Value at = e.add(codeAt(stored, column), e.mul(turn, 64 * each));
    for (int64_t line = 0; line < each; ++line)
      e.prefetch(args.codes, e.add(at, 64 * line));
  }

  void fetchAhead(Value column, int64_t offset) override {} // unpack() does
  Value loadVector(Value column, int64_t offset, unsigned vector,
                   Value lane) override {
    return e.loadVector(scratch, e.add(place(column, lane), offset * 16),
                        isa.vectorBytes());
  }
  CodeBytes bytesFrom(Value column) override {
    return {scratch, place(column, e.index(0))};
  }

private:
  Value place(Value column, Value lane) {
    return e.add(e.mul(e.sub(column, first), 16), e.mul(lane, 4));
  }
  void unpackUnit(ArrayRef<Field> fields, Value column, Value lane) {
    SmallVector<Value> vectors;
    for (unsigned v = 0; v < stored.vectors; ++v)
      vectors.push_back(loadStored(stored, column, 0, v, lane));
    for (const Field &field : fields)
      e.store(emitField(e, field, vectors), scratch,
              e.add(place(column, lane), 64 * int64_t(field.quad)));
  }

  static constexpr int64_t kRows = 16;
  const PanelUnit &stored;
  Value scratch, first;
};

/// linear: codes of 16 rows are brought into the order of an 8-bit panel first,
/// a few columns at a time, in plain scalar code; the micro-tile is the same.
class LinearReader : public WeightReader {
public:
  LinearReader(Emitter &e, const WeightSpec &spec, const Segment &segment,
               ISA isa, const KernelArgs &args)
      : WeightReader(e, spec, segment, isa, args, PanelUnit::get(8)) {
    scratch = memref::AllocaOp::create(
        e, MemRefType::get({16 * kMaxColumns}, e.getI8Type()),
        e.getI64IntegerAttr(64));
  }

  void prepare(Value column, int64_t length) override {
    assert(length <= kMaxColumns && "more columns than the scratch holds");
    int64_t rowBytes = spec.layout.rowBytes(spec.k, seg.bits);
    Value lastByte = e.index(seg.codeOffset + seg.rows * rowBytes - 1);
    e.loop(e.index(0), e.index(16), 1, [&](Value lane) {
      Value row = e.add(e.mul(panel, 16), lane);
      // Rows that do not exist repeat the last one; nobody stores their sums.
      row = e.min(row, e.index(seg.rows - 1));
      Value base = e.add(e.mul(row, rowBytes), seg.codeOffset);
      e.loop(e.index(0), e.index(length), 1, [&](Value i) {
        Value bit = e.mul(e.add(column, i), seg.bits);
        Value byte = e.add(base, e.udiv(bit, 8));
        Value next = e.min(e.add(byte, 1), lastByte);
        Value word = arith::OrIOp::create(
            e, e.zextI32(e.load(args.codes, byte)),
            e.shift(e.zextI32(e.load(args.codes, next)), -8));
        Value by =
            arith::IndexCastOp::create(e, e.getI32Type(), e.urem(bit, 8));
        Value code = e.andMask(arith::ShRUIOp::create(e, word, by),
                               (int64_t(1) << seg.bits) - 1);
        Value at =
            e.add(e.mul(e.udiv(i, 4), 64), e.add(e.mul(lane, 4), e.urem(i, 4)));
        e.store(arith::TruncIOp::create(e, e.getI8Type(), code), scratch, at);
      });
    });
  }

  Value loadVector(Value column, int64_t offset, unsigned vector,
                   Value lane) override {
    return e.loadVector(scratch, e.add(e.mul(lane, 4), offset * 16),
                        isa.vectorBytes());
  }
  CodeBytes bytesFrom(Value column) override {
    llvm_unreachable("linear planes are read a few columns at a time");
  }
  Value loadScales(Value group, Value lane) override {
    return gatherRows(group, lane, [&](Value index) {
      return e.toF32(e.load(args.scales, index));
    });
  }
  Value loadZeros(Value group, Value lane) override {
    return gatherRows(group, lane, [&](Value index) {
      return e.zextI32(e.load(args.zeros, index));
    });
  }

private:
  Value gatherRows(Value group, Value lane,
                   llvm::function_ref<Value(Value)> load) {
    SmallVector<Value> elements;
    Value last = e.index(seg.rowBegin + seg.rows - 1);
    for (unsigned i = 0; i < isa.lanes(); ++i) {
      Value r = e.min(row(e.add(lane, i)), last);
      elements.push_back(
          load(e.add(e.mul(r, strides.row), e.mul(group, strides.group))));
    }
    return e.fromElements(elements);
  }

  static constexpr int64_t kMaxColumns = 128;
  Value scratch;
};

} // namespace

std::unique_ptr<WeightReader>
WeightReader::create(Emitter &e, const WeightSpec &spec, const Segment &segment,
                     ISA isa, const KernelArgs &args) {
  if (spec.layout.kind == LayoutKind::Linear)
    return std::make_unique<LinearReader>(e, spec, segment, isa, args);
  return std::make_unique<PanelReader>(e, spec, segment, isa, args);
}

std::unique_ptr<WeightReader>
WeightReader::createUnpacked(Emitter &e, const WeightSpec &spec,
                             const Segment &segment, ISA isa,
                             const KernelArgs &args, int64_t columns) {
  return std::make_unique<UnpackedReader>(e, spec, segment, isa, args, columns);
}
