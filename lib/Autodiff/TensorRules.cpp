//===- TensorRules.cpp - Rules of tensor ops ----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Reverse.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::tensor;

namespace {
using Sizes = SmallVector<OpFoldResult>;

template <typename OpTy,
          LogicalResult (*pullBack)(OpTy, Value, OpBuilder &, Adjoints &)>
struct Rule
    : DifferentiableOpInterface::ExternalModel<Rule<OpTy, pullBack>, OpTy> {
  LogicalResult differentiate(Operation *op, OpBuilder &b,
                              Adjoints &adjoints) const {
    return pullBack(cast<OpTy>(op), adjoints.get(op->getResult(0)), b,
                    adjoints);
  }
};
} // namespace

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

static LogicalResult pullBack(CastOp op, Value d, OpBuilder &b,
                              Adjoints &adjoints) {
  Value source = op.getSource();
  adjoints.add(b, source, CastOp::create(b, op.getLoc(), source.getType(), d));
  return success();
}

static LogicalResult pullBack(ExpandShapeOp op, Value d, OpBuilder &b,
                              Adjoints &adjoints) {
  adjoints.add(b, op.getSrc(),
               CollapseShapeOp::create(b, op.getLoc(), op.getSrcType(), d,
                                       op.getReassociationIndices()));
  return success();
}

static LogicalResult pullBack(CollapseShapeOp op, Value d, OpBuilder &b,
                              Adjoints &adjoints) {
  Sizes sizes = getMixedSizes(b, op.getLoc(), op.getSrc());
  adjoints.add(b, op.getSrc(),
               ExpandShapeOp::create(b, op.getLoc(), op.getSrcType(), d,
                                     op.getReassociationIndices(), sizes));
  return success();
}

static LogicalResult pullBack(ReshapeOp op, Value d, OpBuilder &b,
                              Adjoints &adjoints) {
  Location loc = op.getLoc();
  Value source = op.getSource();
  auto type = dyn_cast<RankedTensorType>(source.getType());
  if (!type)
    return op.emitError("has no differentiation rule for unranked tensors");
  SmallVector<Value> sizes;
  for (OpFoldResult size : getMixedSizes(b, loc, source))
    sizes.push_back(getValueOrCreateConstantIndexOp(b, loc, size));
  auto shapeType = RankedTensorType::get({type.getRank()}, b.getIndexType());
  Value shape = FromElementsOp::create(b, loc, shapeType, sizes);
  adjoints.add(b, source, ReshapeOp::create(b, loc, type, d, shape));
  return success();
}

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

static LogicalResult pullBack(ExtractSliceOp op, Value d, OpBuilder &b,
                              Adjoints &adjoints) {
  Location loc = op.getLoc();
  Value source = op.getSource();
  Sizes offsets = op.getMixedOffsets(), sizes = op.getMixedSizes(),
        strides = op.getMixedStrides();
  if (Value prior = adjoints.get(source)) {
    Value part = ExtractSliceOp::create(b, loc, op.getType(), prior, offsets,
                                        sizes, strides);
    d = linalg::AddOp::create(b, loc, op.getType(), ValueRange{part, d},
                              ValueRange{part})
            .getResult(0);
  }
  adjoints.replace(source, InsertSliceOp::create(b, loc, d,
                                                 adjoints.getOrZero(b, source),
                                                 offsets, sizes, strides));
  return success();
}

static LogicalResult pullBack(InsertSliceOp op, Value d, OpBuilder &b,
                              Adjoints &adjoints) {
  Location loc = op.getLoc();
  Sizes offsets = op.getMixedOffsets(), sizes = op.getMixedSizes(),
        strides = op.getMixedStrides();
  if (adjoints.isActive(op.getSource()))
    adjoints.add(b, op.getSource(),
                 ExtractSliceOp::create(b, loc, op.getSourceType(), d, offsets,
                                        sizes, strides));
  if (adjoints.isActive(op.getDest())) {
    // What was overwritten has no influence.
    Value zeros = createZeros(b, loc, op.getSource());
    adjoints.add(
        b, op.getDest(),
        InsertSliceOp::create(b, loc, zeros, d, offsets, sizes, strides));
  }
  return success();
}

static LogicalResult pullBack(PadOp op, Value d, OpBuilder &b,
                              Adjoints &adjoints) {
  if (readsActive(op, adjoints.getActive()) &&
      !adjoints.isActive(op.getSource()))
    return op.emitError("has no differentiation rule: its padding depends on "
                        "a differentiated value");
  Value padding = op.getConstantPaddingValue();
  if (!padding || adjoints.isActive(padding))
    return op.emitError("has no differentiation rule: its padding is no "
                        "constant");
  Location loc = op.getLoc();
  Sizes sizes = getMixedSizes(b, loc, op.getSource());
  Sizes ones(sizes.size(), b.getIndexAttr(1));
  adjoints.add(b, op.getSource(),
               ExtractSliceOp::create(b, loc, op.getSourceType(), d,
                                      op.getMixedLowPad(), sizes, ones));
  return success();
}

static LogicalResult pullBack(ConcatOp op, Value d, OpBuilder &b,
                              Adjoints &adjoints) {
  Location loc = op.getLoc();
  int64_t dim = op.getDim(), rank = op.getResultType().getRank();
  Sizes offsets(rank, b.getIndexAttr(0)), ones(rank, b.getIndexAttr(1));
  for (Value input : op.getInputs()) {
    Sizes sizes = getMixedSizes(b, loc, input);
    if (adjoints.isActive(input))
      adjoints.add(b, input,
                   ExtractSliceOp::create(
                       b, loc, cast<RankedTensorType>(input.getType()), d,
                       offsets, sizes, ones));
    AffineExpr start = b.getAffineSymbolExpr(0),
               size = b.getAffineSymbolExpr(1);
    offsets[dim] = affine::makeComposedFoldedAffineApply(
        b, loc, start + size, {offsets[dim], sizes[dim]});
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

static LogicalResult pullBack(ExtractOp op, Value d, OpBuilder &b,
                              Adjoints &adjoints) {
  Location loc = op.getLoc();
  Value sum = adjoints.getOrZero(b, op.getTensor());
  Value before = ExtractOp::create(b, loc, sum, op.getIndices());
  Value after = arith::AddFOp::create(b, loc, before, d);
  adjoints.replace(op.getTensor(),
                   InsertOp::create(b, loc, after, sum, op.getIndices()));
  return success();
}

static LogicalResult pullBack(InsertOp op, Value d, OpBuilder &b,
                              Adjoints &adjoints) {
  Location loc = op.getLoc();
  if (adjoints.isActive(op.getScalar()))
    adjoints.add(b, op.getScalar(),
                 ExtractOp::create(b, loc, d, op.getIndices()));
  if (adjoints.isActive(op.getDest())) {
    Value zero = createZeros(b, loc, op.getScalar());
    adjoints.add(b, op.getDest(),
                 InsertOp::create(b, loc, zero, d, op.getIndices()));
  }
  return success();
}

static LogicalResult pullBack(FromElementsOp op, Value d, OpBuilder &b,
                              Adjoints &adjoints) {
  auto type = cast<RankedTensorType>(op.getType());
  for (auto [i, element] : llvm::enumerate(op.getElements())) {
    if (!adjoints.isActive(element))
      continue;
    SmallVector<Value> at(type.getRank());
    int64_t rest = i;
    for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
      int64_t size = type.getDimSize(dim);
      at[dim] = arith::ConstantIndexOp::create(b, op.getLoc(), rest % size);
      rest /= size;
    }
    adjoints.add(b, element, ExtractOp::create(b, op.getLoc(), d, at));
  }
  return success();
}

template <typename... Ops> static void attachAll(MLIRContext *context) {
  (Ops::template attachInterface<Rule<Ops, pullBack>>(*context), ...);
}

void mlir::cq::attachTensorRules(MLIRContext *context) {
  attachAll<CastOp, ExpandShapeOp, CollapseShapeOp, ReshapeOp, ExtractSliceOp,
            InsertSliceOp, PadOp, ConcatOp, ExtractOp, InsertOp,
            FromElementsOp>(context);
}
