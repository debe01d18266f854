//===- CherriesByColumn.cpp - Cherries of many tokens ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sixteen cherries of a slot name sixteen columns: sixteen loads a token, and
// as many shuffles to make one vector of them. Where x is transposed, what
// sixteen tokens have in a column is one cache line, and a cherry a broadcast
// and two fused multiply-adds. The sums come out transposed, which costs 6
// shuffles a panel and token, however long K is.
//
//===----------------------------------------------------------------------===//

#include "Epilogue.h"
#include "Heuristics.h"
#include "cq/Conversion/Transpose.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

static constexpr int64_t kRows = 16, kTokens = kTransposedTokens;

namespace {

/// Cherries of the panels of a segment times sixteen tokens.
class CherryColumns {
public:
  CherryColumns(Emitter &e, const MatmulSpec &spec, const KernelArgs &args,
                WeightReader &reader)
      : e(e), args(args), reader(reader), lanes(spec.isa.lanes()),
        blocks(CherrySpec::slotBlocks(spec.weight.k)),
        count(spec.weight.cherries.count) {
    auto scratch = [&](int64_t rows, int64_t columns) {
      return memref::AllocaOp::create(
          e, MemRefType::get({rows, columns}, e.getF32Type()),
          e.getI64IntegerAttr(64));
    };
    deltas = scratch(blocks * count, kRows);
    sums = scratch(kRows, kTokens);
  }

  void emitPanel(Value token, int64_t tokens);
  /// Asks for y of the next panel.
  void fetchNextRows(Value token, int64_t tokens);
  /// Asks for columns [from, to) of the sixteen tokens behind `token`'s.
  void fetchNextTokens(Value token, Value from, Value to);

private:
  void sumRows(Value tokenBlock, Value entries);
  void addToY(Value token, int64_t tokens, bool masked);

  Emitter &e;
  const KernelArgs &args;
  WeightReader &reader;
  int64_t lanes, blocks, count;
  Value deltas; ///< of the panel, [slots, 16 rows]
  Value sums;   ///< [16 rows, 16 tokens]
};

} // namespace

void CherryColumns::sumRows(Value tokenBlock, Value entries) {
  const int64_t halves = kTokens / lanes, rows = 8 / halves;
  e.loop(e.index(0), e.index(kRows), rows, [&](Value row) {
    SmallVector<Value> zeros(rows * halves, e.constF32(0.0f, lanes));
    auto addSlot = [&](Value block, Value slot, ValueRange before) {
      SmallVector<Value> after(before);
      Value at = e.add(e.mul(block, count), slot);
      for (int64_t r = 0; r < rows; ++r) {
        Value place = e.add(e.add(entries, e.mul(at, kRows)), e.add(row, r));
        // A block of x has all 256 columns that a byte can name.
        Value column =
            e.add(e.mul(block, 256),
                  arith::IndexCastUIOp::create(
                      e, e.getIndexType(), e.load(args.cherryColumns, place)));
        Value delta = e.splat(e.load(deltas, {at, e.add(row, r)}), lanes);
        for (int64_t half = 0; half < halves; ++half) {
          Value x = e.loadVector(
              args.x, {tokenBlock, column, e.index(half * lanes)}, lanes);
          Value &sum = after[r * halves + half];
          sum = LLVM::FMAOp::create(e, delta, x, sum);
        }
      }
      return after;
    };
    SmallVector<Value> totals =
        e.loop(e.index(0), e.index(blocks), 1, zeros,
               [&](Value block, ValueRange outer) -> SmallVector<Value> {
                 if (count == 1)
                   return addSlot(block, e.index(0), outer);
                 return e.loop(e.index(0), e.index(count), 1, outer,
                               [&](Value slot, ValueRange inner) {
                                 return addSlot(block, slot, inner);
                               });
               });
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t half = 0; half < halves; ++half)
        e.store(totals[r * halves + half], sums,
                {e.add(row, r), e.index(half * lanes)});
  });
}

void CherryColumns::addToY(Value token, int64_t tokens, bool masked) {
  for (int64_t t = 0; t < tokens; t += lanes)
    for (int64_t lane = 0; lane < kRows; lane += lanes) {
      SmallVector<Value> rows;
      for (int64_t i = 0; i < lanes; ++i)
        rows.push_back(
            e.loadVector(sums, {e.index(lane + i), e.index(t)}, lanes));
      rows = lanes == 8 ? transpose8(e, e.getLoc(), rows)
                        : transpose16(e, e.getLoc(), rows);
      for (int64_t i = 0; i < std::min(lanes, tokens - t); ++i) {
        Value at = e.add(token, t + i), row = e.index(lane);
        Value y = loadStored(e, args.y, at, reader, row, lanes, masked);
        storeRows(e, args.y, at, reader, row,
                  arith::AddFOp::create(e, y, rows[i]), masked);
      }
    }
}

void CherryColumns::fetchNextRows(Value token, int64_t tokens) {
  if (reader.rowOrder()) // rows of another order are anywhere
    return;
  for (int64_t t = 0; t < tokens; ++t)
    e.prefetch(args.y, {e.add(token, t), reader.row(e.index(kRows))},
               /*forWrite=*/true);
}

void CherryColumns::fetchNextTokens(Value token, Value from, Value to) {
  Value next = e.add(e.udiv(token, kTokens), 1);
  e.loop(from, to, 1,
         [&](Value column) { e.prefetch(args.x, {next, column, e.index(0)}); });
}

void CherryColumns::emitPanel(Value token, int64_t tokens) {
  Value panel = e.udiv(reader.row(e.index(0)), kRows);
  Value entries = e.mul(panel, blocks * count * kRows);
  e.loop(e.index(0), e.index(blocks * count), 1, [&](Value slot) {
    Value at = e.add(entries, e.mul(slot, kRows));
    for (int64_t lane = 0; lane < kRows; lane += lanes)
      e.store(e.toF32(e.loadVector(args.cherryDeltas, e.add(at, lane), lanes)),
              deltas, {slot, e.index(lane)});
  });
  sumRows(e.udiv(token, kTokens), entries);
  forPanelEdge(e, reader, [&](bool masked) { addToY(token, tokens, masked); });
}

void mlir::cq::x86::emitCherriesByColumn(Emitter &e, const MatmulSpec &spec,
                                         const KernelArgs &args,
                                         WeightReader &reader, Value lower,
                                         Value upper) {
  CherryColumns cherries(e, spec, args, reader);
  // The columns of sixteen tokens stay in L2 for all panels, each of which
  // fetches a part of the next ones.
  const bool fetches = spec.m > tokensPerBlock(); // fewer are in L2 still
  Value columns = e.index(cast<MemRefType>(args.x.getType()).getDimSize(1)),
        part;
  if (fetches) {
    Value panels = e.max(e.sub(upper, lower), e.index(1));
    part = arith::DivUIOp::create(e, e.sub(e.add(columns, panels), e.index(1)),
                                  panels);
  }
  e.pieces(spec.m, kTokens, {}, [&](Value token, int64_t tokens, ValueRange) {
    e.loop(lower, upper, 1, [&](Value panel) {
      reader.setPanel(panel);
      if (fetches) {
        cherries.fetchNextRows(token, tokens);
        Value from = e.mul(e.sub(panel, lower), part);
        cherries.fetchNextTokens(token, from,
                                 e.min(e.add(from, part), columns));
      }
      cherries.emitPanel(token, tokens);
    });
    return SmallVector<Value>();
  });
}
