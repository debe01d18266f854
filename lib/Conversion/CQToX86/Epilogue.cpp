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

void mlir::cq::x86::storeRows(Emitter &e, Value y, Value token,
                              WeightReader &reader, Value lane, Value value,
                              bool masked) {
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
