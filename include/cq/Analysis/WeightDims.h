//===- WeightDims.h - Dimensions of weights at their source -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// From the operand of a product back through reshapes, transposes, broadcasts
// and widening casts. Every dimension is a list of *atoms*, pieces of loops of
// the product: an atom (loop, stride, size) counts (index of loop / stride) mod
// size. A collapse of [a, b] splits the loop's atom in two, an expand joins
// lists, a transpose moves them, a broadcast drops them. At the source the
// atoms tell which of its dimensions are N and which are K, and in which order
// they run.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_ANALYSIS_WEIGHTDIMS_H
#define CQ_ANALYSIS_WEIGHTDIMS_H

#include "cq/Analysis/WeightConsumer.h"
#include "mlir/IR/Value.h"
#include <string>

namespace mlir::linalg {
class GenericOp;
} // namespace mlir::linalg

namespace mlir::cq {

struct LoopAtom {
  int64_t loop, stride, size;
  bool operator==(const LoopAtom &o) const {
    return loop == o.loop && stride == o.stride && size == o.size;
  }
};

/// For each dimension of a value its atoms, outermost first; none for size 1.
using WeightDims = llvm::SmallVector<llvm::SmallVector<LoopAtom, 1>>;

/// The dimensions of the weight operand itself. Fails on dynamic sizes.
FailureOr<WeightDims> getOperandDims(const WeightConsumption &consumption);

/// Follows `value` through one op that only moves data; null where it cannot.
/// `dims` then describes the returned value.
Value stepTowardsSource(Value value, WeightDims &dims);

/// Input of a linalg.generic that only moves, repeats or widens its elements:
/// the operand number and, per dimension of it, the result dimension (or −1).
FailureOr<std::pair<unsigned, SmallVector<int64_t>>>
matchDataMovement(linalg::GenericOp op);

/// How the elements of a source read as one or more matrices.
struct WeightForm {
  int64_t batch = 1, n = 0, k = 0;
  /// The source is [batch, K, N], not [batch, N, K].
  bool transposed = false;
  /// Loops in the order in which the source runs through them.
  llvm::SmallVector<int64_t> batchLoops, nLoops, kLoops;
};

/// The matrix form of a source, or a sentence in `why`.
FailureOr<WeightForm> getWeightForm(const WeightConsumption &consumption,
                                    const WeightDims &dims, std::string &why);

} // namespace mlir::cq

#endif // CQ_ANALYSIS_WEIGHTDIMS_H
