//===- LinalgToGPU.h - Linalg on buffers to GPU kernels ---------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_LINALGTOGPU_LINALGTOGPU_H
#define CQ_CONVERSION_LINALGTOGPU_LINALGTOGPU_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace mlir::cq {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "cq/Conversion/LinalgToGPU/LinalgToGPU.h.inc"

/// On the cast that hands a buffer to a kernel: elements before its first one.
inline constexpr llvm::StringLiteral kOffsetAttrName = "cq.offset";
/// On casts of cq-relayout-products: a dictionary of `plane` ("codes", "scales"
/// or "zeros"), `n`, `k`, `scheme`, `from` and `to` (layouts). Operands: codes,
/// scales and, where the grid has them, zero points.
inline constexpr llvm::StringLiteral kWeightAttrName = "cq.weight";

} // namespace mlir::cq

#endif // CQ_CONVERSION_LINALGTOGPU_LINALGTOGPU_H
