//===- WeightConsumer.h - Ops that read a weight ----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_ANALYSIS_WEIGHTCONSUMER_H
#define CQ_ANALYSIS_WEIGHTCONSUMER_H

#include "mlir/IR/OpDefinition.h"
#include "llvm/ADT/SmallVector.h"

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace mlir::cq {

/// One way to read an op as y = activations × weight, in terms of its loops:
/// a reduction loop is part of K, a parallel loop of the weight alone part of
/// N, one of the activations alone part of M, one of both a batch.
struct WeightConsumption {
  /// Stands for a dimension of size 1 that no loop runs over (1×1 kernels).
  static constexpr int64_t kUnit = -1;

  unsigned weightOperand;
  unsigned activationOperand;
  /// For each dimension of weight, activations and result, its loop (or kUnit).
  llvm::SmallVector<int64_t> weightLoops, activationLoops, resultLoops;
  /// For each loop its size (ShapedType::kDynamic where unknown).
  llvm::SmallVector<int64_t> loopSizes;
  llvm::SmallVector<bool> isReduction;
};

} // namespace mlir::cq

#include "cq/Analysis/WeightConsumerInterface.h.inc"

namespace mlir::cq {

/// Attaches WeightConsumerOpInterface to the contractions and 1×1 convolutions
/// of linalg, once that dialect is loaded.
void registerLinalgWeightConsumers(DialectRegistry &registry);

} // namespace mlir::cq

#endif // CQ_ANALYSIS_WEIGHTCONSUMER_H
