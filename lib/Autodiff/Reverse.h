//===- Reverse.h - Going backwards through a block ------------ -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_AUTODIFF_REVERSE_H
#define CQ_LIB_AUTODIFF_REVERSE_H

#include "cq/Autodiff/DifferentiableOpInterface.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::cq {

/// Calls the rule of each of `ops` (in forward order) from the last to the
/// first, where a result has a cotangent and an operand is active. Emits an
/// error for an op without a rule.
LogicalResult runRulesBackwards(ArrayRef<Operation *> ops, OpBuilder &b,
                                Adjoints &adjoints);

/// Adds to `active` the floating-point results of `op` when it reads an active
/// value, also inside of its regions.
void propagateActivity(Operation *op, DenseSet<Value> &active);
/// Whether `op` reads an active value, also inside of its regions.
bool readsActive(Operation *op, const DenseSet<Value> &active);

/// Erases those of `ops` that nobody reads, last first.
void eraseDead(ArrayRef<Operation *> ops);

/// Attachment of the rules, one function a dialect.
void attachArithRules(MLIRContext *context);
void attachMathRules(MLIRContext *context);
void attachLinalgRules(MLIRContext *context);
void attachTensorRules(MLIRContext *context);
void attachFuncRules(MLIRContext *context);

} // namespace mlir::cq

#endif // CQ_LIB_AUTODIFF_REVERSE_H
