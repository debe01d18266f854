//===- Epilogue.cpp - From accumulators to y ------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Epilogue.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

void mlir::cq::x86::forPanelEdge(Emitter &e, WeightReader &reader,
                                 llvm::function_ref<void(bool)> body) {
  if (!reader.segment().ragged())
    return body(false);
  Value whole = arith::CmpIOp::create(
      e, arith::CmpIPredicate::sge, reader.validRows(e.index(0)), e.index(16));
  e.ifThen(whole, [&] { body(false); }, [&] { body(true); });
}

static Value rowMask(Emitter &e, WeightReader &reader, Value lane,
                     int64_t lanes) {
  return vector::CreateMaskOp::create(e, e.vec(lanes, e.getI1Type()),
                                      reader.validRows(lane));
}

/// Columns of y of the rows from `lane` on, i32. Clamped: a damaged order gives
/// wrong numbers, never a wild write.
static Value columnsOf(Emitter &e, WeightReader &reader, Value lane,
                       int64_t lanes, bool masked) {
  Value order = e.zextI32(loadRows(e, reader.rowOrder(), reader.row(lane),
                                   reader, lane, lanes, masked));
  Value last = arith::IndexCastOp::create(e, e.getI32Type(),
                                          e.sub(reader.numRows(), e.index(1)));
  return arith::MinUIOp::create(e, order, e.splat(last, lanes));
}

/// The rows that exist: all of them, as a constant, unless `masked`.
static Value existing(Emitter &e, WeightReader &reader, Value lane,
                      int64_t lanes, bool masked) {
  return masked ? rowMask(e, reader, lane, lanes) : e.constInt(1, 1, lanes);
}

Value mlir::cq::x86::loadStored(Emitter &e, Value y, Value token,
                                WeightReader &reader, Value lane, int64_t lanes,
                                bool masked) {
  if (!reader.rowOrder())
    return loadRows(e, y, {token, reader.row(lane)}, reader, lane, lanes,
                    masked);
  return vector::GatherOp::create(
      e, e.vec(lanes, e.getF32Type()), y, ValueRange{token, e.index(0)},
      columnsOf(e, reader, lane, lanes, masked),
      existing(e, reader, lane, lanes, masked), e.constF32(0.0f, lanes));
}

void mlir::cq::x86::storeRows(Emitter &e, Value y, Value token,
                              WeightReader &reader, Value lane, Value value,
                              bool masked) {
  if (reader.rowOrder()) {
    int64_t lanes = cast<VectorType>(value.getType()).getNumElements();
    vector::ScatterOp::create(e, Type(), y, ValueRange{token, e.index(0)},
                              columnsOf(e, reader, lane, lanes, masked),
                              existing(e, reader, lane, lanes, masked), value);
    return;
  }
  SmallVector<Value> indices{token, reader.row(lane)};
  if (!masked)
    return e.store(value, y, indices);
  int64_t lanes = cast<VectorType>(value.getType()).getNumElements();
  vector::MaskedStoreOp::create(e, y, indices, rowMask(e, reader, lane, lanes),
                                value);
}

Value mlir::cq::x86::loadRows(Emitter &e, Value memref, ValueRange indices,
                              WeightReader &reader, Value lane, int64_t lanes,
                              bool masked) {
  if (!masked)
    return e.loadVector(memref, indices, lanes);
  VectorType type =
      e.vec(lanes, cast<MemRefType>(memref.getType()).getElementType());
  Value zero = arith::ConstantOp::create(e, e.getZeroAttr(type));
  return vector::MaskedLoadOp::create(e, type, memref, indices,
                                      rowMask(e, reader, lane, lanes), zero);
}
