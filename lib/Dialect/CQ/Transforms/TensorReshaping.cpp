//===- TensorReshaping.cpp - Views and moves of tensors in IR -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorReshaping.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::cq;

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

SmallVector<OpFoldResult> cq::getSizes(OpBuilder &b, Location loc,
                                       Value value) {
  return tensor::getMixedSizes(b, loc, value);
}

Value cq::createEmpty(OpBuilder &b, Location loc, ArrayRef<OpFoldResult> sizes,
                      Type elementType) {
  return tensor::EmptyOp::create(b, loc, sizes, elementType);
}

Value cq::createTranspose(OpBuilder &b, Location loc, Value value,
                          ArrayRef<int64_t> permutation) {
  if (llvm::equal(permutation, llvm::seq<int64_t>(0, permutation.size())))
    return value;
  SmallVector<OpFoldResult> sizes = getSizes(b, loc, value), permuted;
  for (int64_t dim : permutation)
    permuted.push_back(sizes[dim]);
  Value empty = createEmpty(b, loc, permuted, typeOf(value).getElementType());
  return linalg::TransposeOp::create(b, loc, value, empty, permutation)
      ->getResult(0);
}

Value cq::createFloatCast(OpBuilder &b, Location loc, Value value, Type type) {
  Type from = typeOf(value).getElementType();
  if (from == type)
    return value;
  unsigned rank = typeOf(value).getRank();
  Value empty = createEmpty(b, loc, getSizes(b, loc, value), type);
  AffineMap identity = b.getMultiDimIdentityMap(rank);
  SmallVector<utils::IteratorType> parallel(rank,
                                            utils::IteratorType::parallel);
  bool widen = type.getIntOrFloatBitWidth() > from.getIntOrFloatBitWidth();
  return linalg::GenericOp::create(
             b, loc, empty.getType(), value, empty,
             ArrayRef<AffineMap>{identity, identity}, parallel,
             [&](OpBuilder &nested, Location nestedLoc, ValueRange arguments) {
               Value cast = widen ? arith::ExtFOp::create(nested, nestedLoc,
                                                          type, arguments[0])
                                        .getResult()
                                  : arith::TruncFOp::create(nested, nestedLoc,
                                                            type, arguments[0])
                                        .getResult();
               linalg::YieldOp::create(nested, nestedLoc, cast);
             })
      .getResult(0);
}

/// Reassociation of non-empty groups; empty ones get no indices.
static SmallVector<ReassociationIndices> reassociate(ArrayRef<int64_t> groups) {
  SmallVector<ReassociationIndices> result;
  int64_t next = 0;
  for (int64_t size : groups) {
    if (size == 0)
      continue;
    result.emplace_back(llvm::to_vector<2>(llvm::seq(next, next + size)));
    next += size;
  }
  return result;
}

Value cq::createCollapse(OpBuilder &b, Location loc, Value value,
                         ArrayRef<int64_t> groups) {
  if (llvm::any_of(groups, [](int64_t size) { return size > 1; }))
    value = tensor::CollapseShapeOp::create(b, loc, value, reassociate(groups));
  if (!llvm::is_contained(groups, 0))
    return value;
  // Unit dimensions join the group that follows (or the last one).
  SmallVector<OpFoldResult> sizes = getSizes(b, loc, value), expanded;
  SmallVector<int64_t> shape;
  SmallVector<ReassociationIndices> indices;
  ReassociationIndices pending;
  unsigned position = 0;
  for (auto [i, group] : llvm::enumerate(groups)) {
    pending.push_back(i);
    if (group == 0) {
      expanded.push_back(b.getIndexAttr(1));
      shape.push_back(1);
      continue;
    }
    shape.push_back(typeOf(value).getDimSize(position));
    expanded.push_back(sizes[position++]);
    indices.push_back(std::move(pending));
    pending.clear();
  }
  if (!pending.empty() && !indices.empty())
    llvm::append_range(indices.back(), pending);
  auto type = RankedTensorType::get(shape, typeOf(value).getElementType());
  return tensor::ExpandShapeOp::create(b, loc, type, value, indices, expanded);
}

Value cq::createExpand(OpBuilder &b, Location loc, Value value,
                       ArrayRef<int64_t> groups, ArrayRef<OpFoldResult> sizes) {
  // Dimensions without a group have size 1: drop them first.
  if (llvm::is_contained(groups, 0)) {
    SmallVector<ReassociationIndices> indices;
    ReassociationIndices pending;
    for (auto [i, group] : llvm::enumerate(groups)) {
      pending.push_back(i);
      if (group == 0)
        continue;
      indices.push_back(std::move(pending));
      pending.clear();
    }
    if (!pending.empty() && !indices.empty())
      llvm::append_range(indices.back(), pending);
    value = tensor::CollapseShapeOp::create(b, loc, value, indices);
  }
  if (llvm::none_of(groups, [](int64_t size) { return size > 1; }))
    return value;
  SmallVector<int64_t> shape;
  SmallVector<Value> dynamic;
  dispatchIndexOpFoldResults(sizes, dynamic, shape);
  auto type = RankedTensorType::get(shape, typeOf(value).getElementType());
  return tensor::ExpandShapeOp::create(b, loc, type, value, reassociate(groups),
                                       sizes);
}

Value cq::createReshape(OpBuilder &b, Location loc, Value value,
                        ArrayRef<int64_t> shape) {
  RankedTensorType from = typeOf(value);
  if (from.getShape() == shape)
    return value;
  // Collapse to a vector and expand again: views, and evaluated away.
  if (from.getRank() > 1) {
    ReassociationIndices all =
        llvm::to_vector<2>(llvm::seq<int64_t>(0, from.getRank()));
    value = tensor::CollapseShapeOp::create(
        b, loc, value, ArrayRef<ReassociationIndices>{all});
  }
  if (shape.size() == 1)
    return value;
  ReassociationIndices all =
      llvm::to_vector<2>(llvm::seq<int64_t>(0, shape.size()));
  return tensor::ExpandShapeOp::create(
      b, loc, RankedTensorType::get(shape, from.getElementType()), value,
      ArrayRef<ReassociationIndices>{all});
}
