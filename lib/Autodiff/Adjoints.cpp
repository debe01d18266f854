//===- Adjoints.cpp - Cotangents of the values of one block -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Autodiff/Adjoints.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::cq;

CalleeDerivatives::~CalleeDerivatives() = default;

bool mlir::cq::isDifferentiableType(Type type) {
  return (isa<RankedTensorType>(type) || isa<FloatType>(type)) &&
         isa<FloatType>(getElementTypeOrSelf(type));
}

Value mlir::cq::createFloatConstant(OpBuilder &b, Location loc, Type type,
                                    double number) {
  TypedAttr value =
      b.getFloatAttr(cast<FloatType>(getElementTypeOrSelf(type)), number);
  if (auto tensor = dyn_cast<RankedTensorType>(type))
    value = DenseElementsAttr::get(tensor, Attribute(value));
  return arith::ConstantOp::create(b, loc, value);
}

Value mlir::cq::createZeros(OpBuilder &b, Location loc, Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type)
    return createFloatConstant(b, loc, value.getType(), 0);
  Value empty =
      tensor::EmptyOp::create(b, loc, tensor::getMixedSizes(b, loc, value),
                              type.getElementType(), type.getEncoding());
  Value zero = createFloatConstant(b, loc, type.getElementType(), 0);
  return linalg::FillOp::create(b, loc, zero, empty).getResult(0);
}

Value Adjoints::getOrZero(OpBuilder &b, Value value) const {
  Value cotangent = get(value);
  return cotangent ? cotangent : createZeros(b, value.getLoc(), value);
}

void Adjoints::add(OpBuilder &b, Value value, Value cotangent) {
  if (!isActive(value) || !cotangent)
    return;
  Value &sum = cotangents[value];
  if (!sum)
    sum = cotangent;
  else if (isa<RankedTensorType>(sum.getType()))
    sum = linalg::AddOp::create(b, value.getLoc(), sum.getType(),
                                ValueRange{sum, cotangent}, ValueRange{sum})
              .getResult(0);
  else
    sum = arith::AddFOp::create(b, value.getLoc(), sum, cotangent);
}
