//===- Emit.cpp - Short forms of what the patterns emit -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emit.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::tolinalg;

Value tolinalg::constant(Emitter &b, float value) {
  return arith::ConstantOp::create(b, b.getF32FloatAttr(value));
}
Value tolinalg::constant(Emitter &b, int32_t value) {
  return arith::ConstantOp::create(b, b.getI32IntegerAttr(value));
}
Value tolinalg::constantIndex(Emitter &b, int64_t value) {
  return arith::ConstantOp::create(b, b.getIndexAttr(value));
}
Value tolinalg::index(Emitter &b, unsigned dim) {
  return linalg::IndexOp::create(b, dim);
}

Value tolinalg::apply(Emitter &b, AffineExpr expr, ValueRange operands) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return operands[dim.getPosition()];
  if (auto value = dyn_cast<AffineConstantExpr>(expr))
    return constantIndex(b, value.getValue());
  return affine::AffineApplyOp::create(
      b, AffineMap::get(operands.size(), 0, expr), operands);
}

Value tolinalg::extract(Emitter &b, Value tensor, ValueRange indices) {
  return tensor::ExtractOp::create(b, tensor, indices);
}

Value tolinalg::unsignedToI32(Emitter &b, Value value) {
  if (value.getType().isInteger(32))
    return value;
  return arith::ExtUIOp::create(b, b.getI32Type(), value);
}

Value tolinalg::toF32(Emitter &b, Value value) {
  if (value.getType().isF32())
    return value;
  return arith::ExtFOp::create(b, b.getF32Type(), value);
}

Table::Table(Emitter &b, Type elementType, ArrayRef<int64_t> entries)
    : elementType(elementType) {
  if (llvm::all_equal(entries)) {
    splat = entries.front();
    return;
  }
  auto type =
      RankedTensorType::get(static_cast<int64_t>(entries.size()), elementType);
  SmallVector<Attribute> values;
  for (int64_t entry : entries)
    values.push_back(b.getIntegerAttr(elementType, entry));
  tensor = arith::ConstantOp::create(b, DenseElementsAttr::get(type, values));
}

Value Table::read(Emitter &b, Value index) const {
  if (splat)
    return arith::ConstantOp::create(b, b.getIntegerAttr(elementType, *splat));
  return extract(b, tensor, index);
}

Sizes tolinalg::sizesOf(Emitter &b, Value tensor) {
  return tensor::getMixedSizes(b, b.getLoc(), tensor);
}

Sizes tolinalg::append(Emitter &b, Sizes sizes, ArrayRef<int64_t> more) {
  for (int64_t size : more)
    sizes.push_back(b.getIndexAttr(size));
  return sizes;
}

Value tolinalg::empty(Emitter &b, const Sizes &sizes, Type elementType) {
  return tensor::EmptyOp::create(b, sizes, elementType);
}

Value tolinalg::zeros(Emitter &b, Value init) {
  Type type = getElementTypeOrSelf(init.getType());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
  return linalg::FillOp::create(b, ValueRange{zero}, ValueRange{init})
      .getResult(0);
}

SmallVector<AffineExpr> tolinalg::dims(Emitter &b, unsigned count) {
  SmallVector<AffineExpr> result;
  for (unsigned i = 0; i < count; ++i)
    result.push_back(b.getAffineDimExpr(i));
  return result;
}

AffineMap tolinalg::map(Emitter &b, unsigned numDims,
                        ArrayRef<AffineExpr> results) {
  return AffineMap::get(numDims, 0, results, b.getContext());
}

Value tolinalg::generic(Emitter &b, ValueRange inputs, Value init,
                        ArrayRef<AffineMap> maps, Body body) {
  AffineMap output = maps.back();
  SmallVector<utils::IteratorType> iterators;
  for (unsigned dim = 0; dim < output.getNumDims(); ++dim)
    iterators.push_back(output.isFunctionOfDim(dim)
                            ? utils::IteratorType::parallel
                            : utils::IteratorType::reduction);
  return linalg::GenericOp::create(
             b, TypeRange{init.getType()}, inputs, ValueRange{init}, maps,
             iterators,
             [&](OpBuilder &builder, Location loc, ValueRange arguments) {
               Emitter inner(loc, builder);
               Value result = body(inner, arguments);
               linalg::YieldOp::create(inner, result);
             })
      .getResult(0);
}

Value tolinalg::generate(Emitter &b, Value init, Body body) {
  unsigned rank = cast<RankedTensorType>(init.getType()).getRank();
  return generic(b, {}, init, b.getMultiDimIdentityMap(rank), body);
}

Value tolinalg::padTo(Emitter &b, Value matrix, int64_t rows, int64_t columns) {
  auto type = cast<RankedTensorType>(matrix.getType());
  int64_t moreRows = type.isDynamicDim(0) ? 0 : rows - type.getDimSize(0);
  int64_t moreColumns = columns - type.getDimSize(1);
  if (moreRows == 0 && moreColumns == 0)
    return matrix;
  Value zero =
      arith::ConstantOp::create(b, b.getZeroAttr(type.getElementType()));
  SmallVector<OpFoldResult> low(2, b.getIndexAttr(0));
  SmallVector<OpFoldResult> high{b.getIndexAttr(moreRows),
                                 b.getIndexAttr(moreColumns)};
  return tensor::PadOp::create(
      b,
      RankedTensorType::get(
          {type.isDynamicDim(0) ? type.getDimSize(0) : rows, columns},
          type.getElementType()),
      matrix, low, high, zero);
}

Value tolinalg::splitColumns(Emitter &b, Value matrix, int64_t length) {
  auto type = cast<RankedTensorType>(matrix.getType());
  int64_t groups = llvm::divideCeil(type.getDimSize(1), length);
  matrix = padTo(b, matrix, type.getDimSize(0), groups * length);
  auto split = RankedTensorType::get({type.getDimSize(0), groups, length},
                                     type.getElementType());
  SmallVector<ReassociationIndices> reassociation{{0}, {1, 2}};
  return tensor::ExpandShapeOp::create(b, split, matrix, reassociation);
}
