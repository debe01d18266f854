//===- ScalarRule.h - One line a scalar op -------------------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_AUTODIFF_SCALARRULE_H
#define CQ_LIB_AUTODIFF_SCALARRULE_H

#include "cq/Autodiff/DifferentiableOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::cq::scalar {

/// Arithmetic at one place, on scalars or on tensors of them.
struct Step {
  ImplicitLocOpBuilder b;
  Adjoints &adjoints;
  Value d; ///< cotangent of the result

  Value constant(Value like, double number) {
    return createFloatConstant(b, b.getLoc(), like.getType(), number);
  }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, x, y); }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, x, y); }
  Value neg(Value x) { return arith::NegFOp::create(b, x); }
  Value square(Value x) { return mul(x, x); }
  Value scale(Value x, double factor) { return mul(x, constant(x, factor)); }
  /// The cotangent is only computed for an operand that has one.
  void give(Value operand, function_ref<Value()> cotangent) {
    if (adjoints.isActive(operand))
      adjoints.add(b, operand, cotangent());
  }
};

/// Attaches `pullBack(OpTy, Step &)`, found by overload, as the rule of an op
/// with one result.
template <typename OpTy, void (*pullBack)(OpTy, Step &)>
struct Rule
    : DifferentiableOpInterface::ExternalModel<Rule<OpTy, pullBack>, OpTy> {
  LogicalResult differentiate(Operation *op, OpBuilder &b,
                              Adjoints &adjoints) const {
    Step step{ImplicitLocOpBuilder(op->getLoc(), b), adjoints,
              adjoints.get(op->getResult(0))};
    pullBack(cast<OpTy>(op), step);
    return success();
  }
};

template <typename OpTy, void (*pullBack)(OpTy, Step &)>
void attach(MLIRContext *context) {
  OpTy::template attachInterface<Rule<OpTy, pullBack>>(*context);
}

} // namespace mlir::cq::scalar

#endif // CQ_LIB_AUTODIFF_SCALARRULE_H
