//===- CherriesByTable.cpp - Cherries of few tokens, 512-bit registers ----===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The column of a slot's cherry is a byte: what a token has in a block of 256
// columns is a table of sixteen registers. Sixteen activations are eight looks
// into two registers each (vpermi2ps) and seven selections: 2.0 ns on Zen 5,
// where a gather takes 4.5. Where x is no longer in L1, several panels meet a
// block before the next one, so that its table is loaded once for all of them.
//
//===----------------------------------------------------------------------===//

#include "Epilogue.h"
#include "Heuristics.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

static constexpr int64_t kRows = 16, kLanes = 16, kBlock = 256;

namespace {

/// Cherries of a few panels of a segment times one token after the other.
class CherryTable {
public:
  CherryTable(Emitter &e, const MatmulSpec &spec, const KernelArgs &args,
              WeightReader &reader, int64_t panels)
      : e(e), spec(spec), args(args), reader(reader),
        blocks(CherrySpec::slotBlocks(spec.weight.k)),
        count(spec.weight.cherries.count) {
    sums = memref::AllocaOp::create(
        e, MemRefType::get({panels, kRows}, e.getF32Type()),
        e.getI64IntegerAttr(64));
  }

  /// Adds those of panels [first, end), no more than there are sums, to y.
  void emitPanels(Value first, Value end);

private:
  SmallVector<Value> loadTable(Value token, Value block);
  Value lookUp(ArrayRef<Value> table, Value columns);
  /// sums += the cherries of a block and slot, of which the first panel's begin
  /// at `entries`.
  void addSlot(ArrayRef<Value> table, Value entries, Value panels);
  void addToY(Value token, Value first, Value panels);

  Emitter &e;
  const MatmulSpec &spec;
  const KernelArgs &args;
  WeightReader &reader;
  int64_t blocks, count;
  Value sums; ///< [panels, 16 rows]
};

} // namespace

SmallVector<Value> CherryTable::loadTable(Value token, Value block) {
  const int64_t k = spec.weight.k;
  SmallVector<Value> table;
  for (int64_t at = 0; at < kBlock; at += kLanes) {
    Value column = e.add(e.mul(block, kBlock), at);
    // Behind K are columns that only a damaged plane names.
    if (blocks * kBlock > k)
      column = e.min(column, e.index(k - kLanes));
    table.push_back(e.loadVector(args.x, {token, column}, kLanes));
  }
  return table;
}

Value CherryTable::lookUp(ArrayRef<Value> table, Value columns) {
  // An instruction looks at the five low bits.
  SmallVector<Value> found;
  for (size_t i = 0; i < table.size(); i += 2)
    found.push_back(e.intrinsic("llvm.x86.avx512.vpermi2var.ps.512",
                                table[i].getType(),
                                {table[i], columns, table[i + 1]}));
  for (int64_t bit = 2 * kLanes; found.size() > 1; bit *= 2) {
    Value upper =
        arith::CmpIOp::create(e, arith::CmpIPredicate::ne,
                              e.andMask(columns, bit), e.constI32(0, kLanes));
    SmallVector<Value> selected;
    for (size_t i = 0; i < found.size(); i += 2)
      selected.push_back(
          arith::SelectOp::create(e, upper, found[i + 1], found[i]));
    found = std::move(selected);
  }
  return found.front();
}

void CherryTable::addSlot(ArrayRef<Value> table, Value entries, Value panels) {
  e.loop(e.index(0), panels, 1, [&](Value panel) {
    Value at = e.add(entries, e.mul(panel, blocks * count * kRows));
    Value x =
        lookUp(table, e.zextI32(e.loadVector(args.cherryColumns, at, kRows)));
    Value deltas = e.toF32(e.loadVector(args.cherryDeltas, at, kRows));
    SmallVector<Value> place{panel, e.index(0)};
    e.store(LLVM::FMAOp::create(e, deltas, x, e.loadVector(sums, place, kRows)),
            sums, place);
  });
}

void CherryTable::addToY(Value token, Value first, Value panels) {
  e.loop(e.index(0), panels, 1, [&](Value panel) {
    // Rows only: the codes and scales of these panels have been read.
    reader.WeightReader::setPanel(e.add(first, panel));
    Value sum = e.loadVector(sums, {panel, e.index(0)}, kRows);
    forPanelEdge(e, reader, [&](bool masked) {
      Value row = e.index(0);
      Value y = loadStored(e, args.y, token, reader, row, kRows, masked);
      storeRows(e, args.y, token, reader, row, arith::AddFOp::create(e, y, sum),
                masked);
    });
  });
}

void CherryTable::emitPanels(Value first, Value end) {
  Value zero = e.index(0), panels = e.sub(end, first);
  reader.WeightReader::setPanel(first);
  Value stored = e.udiv(reader.row(zero), kRows);
  Value entries = e.mul(stored, blocks * count * kRows);
  e.loop(zero, e.index(spec.m), 1, [&](Value token) {
    e.loop(zero, panels, 1, [&](Value panel) {
      e.store(e.constF32(0.0f, kRows), sums, {panel, zero});
    });
    e.loop(zero, e.index(blocks), 1, [&](Value block) {
      SmallVector<Value> table = loadTable(token, block);
      e.loop(zero, e.index(count), 1, [&](Value slot) {
        Value at = e.add(e.mul(block, count), slot);
        addSlot(table, e.add(entries, e.mul(at, kRows)), panels);
      });
    });
    addToY(token, first, panels);
  });
}

void mlir::cq::x86::emitCherriesByTable(
    Emitter &e, const MatmulSpec &spec, const KernelArgs &args,
    WeightReader &reader, Value lower, Value upper,
    llvm::function_ref<void(Value, Value)> multiply) {
  const int64_t most = panelsPerCherryTable(spec.weight.k, spec.m);
  CherryTable cherries(e, spec, args, reader, most);
  e.loop(lower, upper, most, [&](Value first) {
    Value end = e.add(first, most);
    if (most > 1)
      end = e.min(end, upper);
    multiply(first, end);
    cherries.emitPanels(first, end);
  });
}
