//===- Cherries.cpp - The sparse part of a product, added to y ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Epilogue.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

namespace {

constexpr int64_t kRows = 16;

class CherryTile {
public:
  CherryTile(Emitter &e, const MatmulSpec &spec, const KernelArgs &args,
             WeightReader &reader, Value token, int64_t tokens)
      : e(e), weight(spec.weight), args(args), reader(reader), tokenBase(token),
        tokens(tokens) {}

  void emit();

private:
  SmallVector<Value> slot(ValueRange sums);
  SmallVector<Value> column(ValueRange sums, bool masked);
  SmallVector<Value> element(ValueRange sums);
  Value token(int64_t t) { return e.add(tokenBase, t); }
  Value multiplyAdd(Value a, Value b, Value c) {
    return LLVM::FMAOp::create(e, a, b, c);
  }
  /// A column, clamped: a damaged plane gives wrong numbers, never a wild read.
  Value asColumn(Value code) {
    Value column = arith::IndexCastUIOp::create(e, e.getIndexType(), code);
    return e.min(column, e.index(weight.k - 1));
  }
  /// The same for columns relative to a block of 256.
  Value clampToBlock(Value columns, Value blockColumn) {
    if (weight.k % 256 == 0)
      return columns;
    Value last = arith::IndexCastOp::create(
        e, e.getI32Type(), e.sub(e.index(weight.k - 1), blockColumn));
    return arith::MinSIOp::create(e, columns, e.splat(last, kRows));
  }

  Emitter &e;
  const WeightSpec &weight;
  const KernelArgs &args;
  WeightReader &reader;
  Value tokenBase;
  int64_t tokens;
};

} // namespace

SmallVector<Value> CherryTile::slot(ValueRange sums) {
  int64_t blocks = CherrySpec::slotBlocks(weight.k),
          count = weight.cherries.count;
  Value panel = e.udiv(reader.row(e.index(0)), kRows);
  Value all = e.constInt(1, 1, kRows);
  Value nothing = e.constF32(0.0f, kRows);
  return e.loop(
      e.index(0), e.index(blocks), 1, sums, [&](Value block, ValueRange outer) {
        Value entry = e.mul(e.add(e.mul(panel, blocks), block), count * kRows);
        Value blockColumn = e.mul(block, 256);
        return e.loop(
            e.index(0), e.index(count), 1, outer,
            [&](Value i, ValueRange inner) {
              Value at = e.add(entry, e.mul(i, kRows));
              Value columns =
                  e.zextI32(e.loadVector(args.cherryColumns, at, kRows));
              columns = clampToBlock(columns, blockColumn);
              Value deltas =
                  e.toF32(e.loadVector(args.cherryDeltas, at, kRows));
              SmallVector<Value> result;
              for (int64_t t = 0; t < tokens; ++t) {
                Value x = vector::GatherOp::create(
                    e, e.vec(kRows, e.getF32Type()), args.x,
                    ValueRange{token(t), blockColumn}, columns, all, nothing);
                result.push_back(multiplyAdd(deltas, x, inner[t]));
              }
              return result;
            });
      });
}

SmallVector<Value> CherryTile::column(ValueRange sums, bool masked) {
  Value first = e.index(0);
  return e.loop(first, e.index(weight.cherries.count), 1, sums,
                [&](Value i, ValueRange inner) {
                  Value column = asColumn(e.load(args.cherryColumns, i));
                  Value at = e.add(e.mul(i, weight.n), reader.row(first));
                  Value deltas = e.toF32(loadRows(
                      e, args.cherryDeltas, at, reader, first, kRows, masked));
                  SmallVector<Value> result;
                  for (int64_t t = 0; t < tokens; ++t) {
                    Value x =
                        e.splat(e.load(args.x, {token(t), column}), kRows);
                    result.push_back(multiplyAdd(deltas, x, inner[t]));
                  }
                  return result;
                });
}

SmallVector<Value> CherryTile::element(ValueRange sums) {
  int64_t count = weight.cherries.count;
  Value last = e.index(weight.n - 1);
  SmallVector<Value> entries;
  for (int64_t lane = 0; lane < kRows; ++lane)
    entries.push_back(e.mul(e.min(reader.row(e.index(lane)), last), count));
  return e.loop(
      e.index(0), e.index(count), 1, sums, [&](Value i, ValueRange inner) {
        SmallVector<Value> columns, deltas, result;
        for (Value entry : entries) {
          Value at = e.add(entry, i);
          columns.push_back(asColumn(e.load(args.cherryColumns, at)));
          deltas.push_back(e.load(args.cherryDeltas, at));
        }
        Value delta = e.toF32(e.fromElements(deltas));
        for (int64_t t = 0; t < tokens; ++t) {
          SmallVector<Value> x;
          for (Value column : columns)
            x.push_back(e.load(args.x, {token(t), column}));
          result.push_back(multiplyAdd(delta, e.fromElements(x), inner[t]));
        }
        return result;
      });
}

void CherryTile::emit() {
  forPanelEdge(e, reader, [&](bool masked) {
    SmallVector<Value> sums(tokens, e.constF32(0.0f, kRows));
    switch (weight.cherries.form) {
    case CherryForm::None:
      return;
    case CherryForm::Slot:
      sums = slot(sums);
      break;
    case CherryForm::Column:
      sums = column(sums, masked);
      break;
    case CherryForm::Element:
      sums = element(sums);
      break;
    }
    Value first = e.index(0);
    for (int64_t t = 0; t < tokens; ++t) {
      Value y = loadStored(e, args.y, token(t), reader, first, kRows, masked);
      storeRows(e, args.y, token(t), reader, first,
                arith::AddFOp::create(e, y, sums[t]), masked);
    }
  });
}

void mlir::cq::x86::emitCherries(Emitter &e, const MatmulSpec &spec,
                                 const KernelArgs &args, WeightReader &reader,
                                 Value token, int64_t tokens) {
  CherryTile(e, spec, args, reader, token, tokens).emit();
}
