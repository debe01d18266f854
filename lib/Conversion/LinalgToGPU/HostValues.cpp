//===- HostValues.cpp - What a launch may know before it runs -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "HostValues.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::cq;

/// Splits `offset` into a constant and the rest, so that views that differ in
/// the constant only (the layers of a cache) share a kernel.
static void splitOffset(OpBuilder &b, OpFoldResult offset, BufferView &view) {
  if (std::optional<int64_t> constant = getConstantIntValue(offset)) {
    view.constant = *constant;
    return;
  }
  Value value = cast<Value>(offset);
  view.offset = value;
  auto apply = value.getDefiningOp<affine::AffineApplyOp>();
  if (!apply)
    return;
  auto sum = dyn_cast<AffineBinaryOpExpr>(apply.getAffineMap().getResult(0));
  if (!sum || sum.getKind() != AffineExprKind::Add)
    return;
  auto constant = dyn_cast<AffineConstantExpr>(sum.getRHS());
  if (!constant)
    return;
  view.constant = constant.getValue();
  AffineMap map =
      AffineMap::get(apply.getAffineMap().getNumDims(),
                     apply.getAffineMap().getNumSymbols(), sum.getLHS());
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointAfter(apply);
  view.offset = affine::AffineApplyOp::create(b, apply.getLoc(), map,
                                              apply.getMapOperands());
}

FailureOr<BufferView> mlir::cq::viewOf(OpBuilder &b, Value memref) {
  BufferView view;
  auto cast = memref.getDefiningOp<memref::ReinterpretCastOp>();
  // Casts to types that know less.
  for (auto op = memref.getDefiningOp<memref::CastOp>(); op && !cast;
       op = memref.getDefiningOp<memref::CastOp>()) {
    memref = op.getSource();
    cast = memref.getDefiningOp<memref::ReinterpretCastOp>();
  }
  if (cast) {
    view.sizes = cast.getMixedSizes();
    view.strides = cast.getMixedStrides();
    splitOffset(b, cast.getMixedOffsets().front(), view);
    // Offsets of reinterpret_cast count from the buffer, not from its source.
    memref = cast.getSource();
    while (Operation *op = memref.getDefiningOp()) {
      if (!isa<memref::ReinterpretCastOp, memref::CastOp>(op))
        break;
      memref = op->getOperand(0);
    }
    view.base = memref;
    return view;
  }
  auto type = llvm::cast<MemRefType>(memref.getType());
  SmallVector<int64_t> strides;
  int64_t offset;
  if (!type.hasStaticShape() ||
      failed(type.getStridesAndOffset(strides, offset)) || offset != 0 ||
      llvm::is_contained(strides, ShapedType::kDynamic))
    return failure();
  view.base = memref;
  view.sizes = getAsIndexOpFoldResult(b.getContext(), type.getShape());
  view.strides = getAsIndexOpFoldResult(b.getContext(), strides);
  return view;
}

std::optional<int64_t> mlir::cq::largest(OpFoldResult value,
                                         int64_t maxScalar) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return constant;
  Value number = cast<Value>(value);
  if (isa<BlockArgument>(number))
    return maxScalar;
  Operation *op = number.getDefiningOp();
  SmallVector<int64_t> operands;
  for (Value operand : op->getOperands()) {
    std::optional<int64_t> one = largest(operand, maxScalar);
    if (!one)
      return std::nullopt;
    operands.push_back(*one);
  }
  if (isa<arith::AddIOp>(op))
    return operands[0] + operands[1];
  if (isa<arith::MulIOp>(op))
    return operands[0] * operands[1];
  if (isa<arith::IndexCastOp>(op))
    return operands[0];
  if (auto apply = dyn_cast<affine::AffineApplyOp>(op)) {
    SmallVector<Attribute> constants, results;
    for (int64_t operand : operands)
      constants.push_back(
          IntegerAttr::get(IndexType::get(op->getContext()), operand));
    if (succeeded(apply.getAffineMap().constantFold(constants, results)))
      return cast<IntegerAttr>(results.front()).getInt();
  }
  return std::nullopt;
}
