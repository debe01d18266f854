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
#include <functional>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

namespace {

constexpr int64_t kRows = 16;

class CherryTile {
public:
  CherryTile(Emitter &e, const MatmulSpec &spec, const KernelArgs &args,
             WeightReader &reader, Value token, int64_t tokens)
      : e(e), spec(spec), weight(spec.weight), args(args), reader(reader),
        tokenBase(token), tokens(tokens) {}

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
  /// Whether a column relative to its block of 256 may lie behind K.
  bool mayLeaveK() const {
    return CherrySpec::slotBlocks(weight.k) * 256 > weight.k;
  }
  /// What `token` has in the sixteen columns of one slot.
  std::function<Value(Value token)> slotActivations(Value at,
                                                    Value blockColumn);

  Emitter &e;
  const MatmulSpec &spec;
  const WeightSpec &weight;
  const KernelArgs &args;
  WeightReader &reader;
  Value tokenBase;
  int64_t tokens;
};

} // namespace

std::function<Value(Value)> CherryTile::slotActivations(Value at,
                                                        Value blockColumn) {
  if (spec.isa.vectorBytes() == 64) {
    Value columns = e.zextI32(e.loadVector(args.cherryColumns, at, kRows));
    if (mayLeaveK()) {
      Value last = arith::IndexCastOp::create(
          e, e.getI32Type(), e.sub(e.index(weight.k - 1), blockColumn));
      columns = arith::MinSIOp::create(e, columns, e.splat(last, kRows));
    }
    return [=](Value token) -> Value {
      return vector::GatherOp::create(e, e.vec(kRows, e.getF32Type()), args.x,
                                      ValueRange{token, blockColumn}, columns,
                                      e.constInt(1, 1, kRows),
                                      e.constF32(0.0f, kRows));
    };
  }
  // AVX2's gathers are no faster than loads, and these share their addresses
  // among tokens.
  SmallVector<Value> columns;
  for (int64_t row = 0; row < kRows; ++row) {
    Value column = arith::IndexCastUIOp::create(
        e, e.getIndexType(), e.load(args.cherryColumns, e.add(at, row)));
    column = e.add(column, blockColumn);
    columns.push_back(mayLeaveK() ? e.min(column, e.index(weight.k - 1))
                                  : column);
  }
  return [=](Value token) -> Value {
    SmallVector<Value> x;
    for (Value column : columns)
      x.push_back(e.load(args.x, {token, column}));
    return e.fromElements(x);
  };
}

SmallVector<Value> CherryTile::slot(ValueRange sums) {
  int64_t blocks = CherrySpec::slotBlocks(weight.k),
          count = weight.cherries.count;
  Value panel = e.udiv(reader.row(e.index(0)), kRows);
  return e.loop(
      e.index(0), e.index(blocks), 1, sums, [&](Value block, ValueRange outer) {
        Value entry = e.mul(e.add(e.mul(panel, blocks), block), count * kRows);
        Value blockColumn = e.mul(block, 256);
        return e.loop(e.index(0), e.index(count), 1, outer,
                      [&](Value i, ValueRange inner) {
                        Value at = e.add(entry, e.mul(i, kRows));
                        auto activations = slotActivations(at, blockColumn);
                        Value deltas =
                            e.toF32(e.loadVector(args.cherryDeltas, at, kRows));
                        SmallVector<Value> result;
                        for (int64_t t = 0; t < tokens; ++t)
                          result.push_back(multiplyAdd(
                              deltas, activations(token(t)), inner[t]));
                        return result;
                      });
      });
}

SmallVector<Value> CherryTile::column(ValueRange sums, bool masked) {
  Value first = e.index(0);
  return e.loop(
      first, e.index(weight.cherries.count), 1, sums,
      [&](Value i, ValueRange inner) {
        Value column = asColumn(e.load(args.cherryColumns, i));
        Value at = e.add(e.mul(i, reader.numRows()), reader.row(first));
        Value deltas = e.toF32(
            loadRows(e, args.cherryDeltas, at, reader, first, kRows, masked));
        SmallVector<Value> result;
        for (int64_t t = 0; t < tokens; ++t) {
          Value x = e.splat(e.load(args.x, {token(t), column}), kRows);
          result.push_back(multiplyAdd(deltas, x, inner[t]));
        }
        return result;
      });
}

SmallVector<Value> CherryTile::element(ValueRange sums) {
  int64_t count = weight.cherries.count;
  Value last = e.sub(reader.numRows(), e.index(1));
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
