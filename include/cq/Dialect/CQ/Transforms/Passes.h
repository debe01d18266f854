//===- Passes.h - From weights to planes ------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_DIALECT_CQ_TRANSFORMS_PASSES_H
#define CQ_DIALECT_CQ_TRANSFORMS_PASSES_H

#include "mlir/Pass/Pass.h"

namespace mlir {
class ModuleOp;
} // namespace mlir

namespace mlir::cq {

#define GEN_PASS_DECL
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "cq/Dialect/CQ/Transforms/Passes.h.inc"

} // namespace mlir::cq

#endif // CQ_DIALECT_CQ_TRANSFORMS_PASSES_H
