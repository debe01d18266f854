//===- Reverse.cpp - Going backwards through a block --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Reverse.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"

#include "cq/Autodiff/DifferentiableOpInterface.cpp.inc"

using namespace mlir;
using namespace mlir::cq;

bool mlir::cq::readsActive(Operation *op, const DenseSet<Value> &active) {
  auto isActive = [&](Value value) { return active.contains(value); };
  if (llvm::any_of(op->getOperands(), isActive))
    return true;
  if (op->getNumRegions() == 0)
    return false;
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  return llvm::any_of(captured, isActive);
}

void mlir::cq::propagateActivity(Operation *op, DenseSet<Value> &active) {
  if (!readsActive(op, active))
    return;
  for (Value result : op->getResults())
    if (isDifferentiableType(result.getType()))
      active.insert(result);
}

LogicalResult mlir::cq::runRulesBackwards(ArrayRef<Operation *> ops,
                                          OpBuilder &b, Adjoints &adjoints) {
  for (Operation *op : llvm::reverse(ops)) {
    auto hasCotangent = [&](Value v) -> bool { return !!adjoints.get(v); };
    if (llvm::none_of(op->getResults(), hasCotangent) ||
        !readsActive(op, adjoints.getActive()))
      continue;
    auto rule = dyn_cast<DifferentiableOpInterface>(op);
    if (!rule)
      return op->emitError()
             << "'" << op->getName()
             << "' has no differentiation rule (docs/Autodiff.md lists the ops "
                "that have one, and how to add one)";
    if (failed(rule.differentiate(b, adjoints)))
      return failure();
  }
  return success();
}

void mlir::cq::eraseDead(ArrayRef<Operation *> ops) {
  for (Operation *op : llvm::reverse(ops))
    if (isOpTriviallyDead(op))
      op->erase();
}

void mlir::cq::registerDifferentiationRules(DialectRegistry &registry) {
  registry.addExtension(
      +[](MLIRContext *c, arith::ArithDialect *) { attachArithRules(c); });
  registry.addExtension(
      +[](MLIRContext *c, math::MathDialect *) { attachMathRules(c); });
  registry.addExtension(
      +[](MLIRContext *c, linalg::LinalgDialect *) { attachLinalgRules(c); });
  registry.addExtension(
      +[](MLIRContext *c, tensor::TensorDialect *) { attachTensorRules(c); });
  registry.addExtension(
      +[](MLIRContext *c, func::FuncDialect *) { attachFuncRules(c); });
}
