//===- DifferentiableOpInterface.h - Ops with a reverse rule ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_AUTODIFF_DIFFERENTIABLEOPINTERFACE_H
#define CQ_AUTODIFF_DIFFERENTIABLEOPINTERFACE_H

#include "cq/Autodiff/Adjoints.h"
#include "mlir/IR/OpDefinition.h"

#include "cq/Autodiff/DifferentiableOpInterface.h.inc"

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace mlir::cq {

/// Attaches the rules of lib/Autodiff to ops of arith, math, linalg, tensor and
/// func, once those dialects are loaded.
void registerDifferentiationRules(DialectRegistry &registry);

} // namespace mlir::cq

#endif // CQ_AUTODIFF_DIFFERENTIABLEOPINTERFACE_H
