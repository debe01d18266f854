//===- Contraction.h - Matrix products to kernel calls -------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_LINALGTOX86_CONTRACTION_H
#define CQ_CONVERSION_LINALGTOX86_CONTRACTION_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {

/// Turns f32 contractions on buffers into calls of kernels, which it adds to
/// the module the first time they are needed.
class ContractionLowering {
public:
  ContractionLowering(ModuleOp module, unsigned vectorBits, bool parallel)
      : module(module), vectorBits(vectorBits), parallel(parallel) {}

  /// Replaces `op`; fails, changing nothing, when `op` is no f32 contraction of
  /// rank ≤ 2 batches or its result has no contiguous dimension.
  LogicalResult lower(RewriterBase &rewriter, linalg::LinalgOp op);

private:
  ModuleOp module;
  unsigned vectorBits;
  bool parallel;
};

} // namespace mlir::cq

#endif // CQ_CONVERSION_LINALGTOX86_CONTRACTION_H
