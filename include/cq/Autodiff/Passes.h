//===- Passes.h - Reverse-mode differentiation ---------------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_AUTODIFF_PASSES_H
#define CQ_AUTODIFF_PASSES_H

#include "mlir/Pass/Pass.h"

namespace mlir {
class ModuleOp;
} // namespace mlir

namespace mlir::cq {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "cq/Autodiff/Passes.h.inc"

} // namespace mlir::cq

#endif // CQ_AUTODIFF_PASSES_H
