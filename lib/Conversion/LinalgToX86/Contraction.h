//===- Contraction.h - Matrix products to kernel calls -------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_LINALGTOX86_CONTRACTION_H
#define CQ_CONVERSION_LINALGTOX86_CONTRACTION_H

#include "KernelBuilder.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::cq {

/// Turns f32 contractions on buffers into calls of kernels, which it adds to
/// the module the first time they are needed.
class ContractionLowering {
public:
  ContractionLowering(ModuleOp module, unsigned vectorBits, bool parallel)
      : module(module), tiling(GemmTiling::get(vectorBits)),
        parallel(parallel) {}

  /// Replaces `op`; fails, changing nothing, when `op` is no contraction of f32
  /// with one K, at most two further dimensions beside M, N and K, and strides
  /// that a kernel takes.
  LogicalResult lower(RewriterBase &rewriter, linalg::LinalgOp op);

private:
  /// Calls `kernel` over [0, tasks), on the thread pool unless `tiny`.
  void launch(OpBuilder &b, Location loc, func::FuncOp kernel,
              ValueRange arguments, Value tasks, bool tiny);

  ModuleOp module;
  GemmTiling tiling;
  bool parallel;
};

} // namespace mlir::cq

#endif // CQ_CONVERSION_LINALGTOX86_CONTRACTION_H
