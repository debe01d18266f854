//===- GraphBuilder.cpp - Tensor code, one op a call ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GraphBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::llama;

Location GraphBuilder::loc(StringRef name) {
  return NameLoc::get(builder.getStringAttr(name));
}

Shape GraphBuilder::shape(ArrayRef<int64_t> sizes) {
  return getAsIndexOpFoldResult(builder.getContext(), sizes);
}

RankedTensorType GraphBuilder::type(ArrayRef<OpFoldResult> sizes) {
  SmallVector<int64_t> dims;
  for (OpFoldResult size : sizes)
    dims.push_back(getConstantIntValue(size).value_or(ShapedType::kDynamic));
  return RankedTensorType::get(dims, builder.getF32Type());
}

Value GraphBuilder::f32(double value) {
  return arith::ConstantOp::create(builder, builder.getUnknownLoc(),
                                   builder.getF32FloatAttr(value));
}

Value GraphBuilder::index(int64_t value) {
  return arith::ConstantIndexOp::create(builder, builder.getUnknownLoc(),
                                        value);
}

Value GraphBuilder::add(StringRef name, Value a, Value b) {
  return arith::AddIOp::create(builder, loc(name), a, b);
}

Value GraphBuilder::empty(StringRef name, ArrayRef<OpFoldResult> sizes) {
  return tensor::EmptyOp::create(builder, loc(name), sizes,
                                 builder.getF32Type());
}

Value GraphBuilder::filled(StringRef name, ArrayRef<OpFoldResult> sizes,
                           double value) {
  Value dest = empty("empty", sizes), scalar = f32(value);
  return linalg::FillOp::create(builder, loc(name), scalar, dest).getResult(0);
}

Value GraphBuilder::expand(StringRef name, Value source,
                           ArrayRef<OpFoldResult> sizes,
                           ArrayRef<ReassociationIndices> groups) {
  return tensor::ExpandShapeOp::create(builder, loc(name), type(sizes), source,
                                       groups, sizes);
}

Value GraphBuilder::collapse(StringRef name, Value source,
                             ArrayRef<ReassociationIndices> groups) {
  return tensor::CollapseShapeOp::create(builder, loc(name), source, groups);
}

Value GraphBuilder::slice(StringRef name, Value source,
                          ArrayRef<OpFoldResult> offsets,
                          ArrayRef<OpFoldResult> sizes,
                          ArrayRef<int64_t> dropped) {
  SmallVector<int64_t> dims;
  for (auto [i, size] : llvm::enumerate(sizes))
    if (!llvm::is_contained(dropped, static_cast<int64_t>(i)))
      dims.push_back(getConstantIntValue(size).value_or(ShapedType::kDynamic));
  auto sourceType = cast<RankedTensorType>(source.getType());
  auto resultType = RankedTensorType::get(dims, sourceType.getElementType());
  Shape strides(sizes.size(), builder.getIndexAttr(1));
  return tensor::ExtractSliceOp::create(builder, loc(name), resultType, source,
                                        offsets, sizes, strides);
}

Value GraphBuilder::insert(StringRef name, Value source, Value dest,
                           ArrayRef<OpFoldResult> offsets,
                           ArrayRef<OpFoldResult> sizes) {
  Shape strides(sizes.size(), builder.getIndexAttr(1));
  return tensor::InsertSliceOp::create(builder, loc(name), source, dest,
                                       offsets, sizes, strides);
}

SmallVector<Value, 2> GraphBuilder::generic(StringRef name, unsigned parallel,
                                            unsigned reductions,
                                            ArrayRef<Operand> inputs,
                                            ArrayRef<Operand> outputs,
                                            Body body) {
  SmallVector<Value> ins, outs;
  SmallVector<AffineMap> maps;
  auto record = [&](const Operand &operand, SmallVector<Value> &list) {
    list.push_back(operand.value);
    maps.push_back(AffineMap::getMultiDimMapWithTargets(
        parallel + reductions, operand.loops, builder.getContext()));
  };
  for (const Operand &input : inputs)
    record(input, ins);
  for (const Operand &output : outputs)
    record(output, outs);
  SmallVector<utils::IteratorType> iterators(parallel,
                                             utils::IteratorType::parallel);
  iterators.append(reductions, utils::IteratorType::reduction);
  auto op = linalg::GenericOp::create(
      builder, loc(name), ValueRange(outs).getTypes(), ins, outs, maps,
      iterators, [&](OpBuilder &nested, Location, ValueRange args) {
        ImplicitLocOpBuilder b(nested.getUnknownLoc(), nested);
        linalg::YieldOp::create(b, ValueRange(body(b, args)));
      });
  return SmallVector<Value, 2>(op.getResults());
}
