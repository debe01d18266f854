//===- Checks.h - What no calibration can give ------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_STATS_CHECKS_H
#define CQ_LIB_STATS_CHECKS_H

#include "cq/Stats/Statistics.h"

namespace mlir::cq {

/// Names, shapes and counts: each weight in one input and one Fisher matrix at
/// most, extents and counts positive, sequences as many as the data say,
/// stretches of one text apart.
llvm::Error checkCounts(const Statistics &facts, llvm::StringRef origin);

/// Finite, not negative, and such as moments of one sample can be:
/// (Σ|x|)² ≤ tokens · Σx², max² ≤ Σx².
llvm::Error checkMoments(const InputStatistics &input, llvm::StringRef origin);

/// Finite, with a diagonal that is the input's Σx² (to 1 %: products of a
/// sequence are summed in f32).
llvm::Error checkGram(llvm::ArrayRef<double> gram, const InputStatistics &input,
                      llvm::StringRef origin);

/// Finite and not negative.
llvm::Error checkFisher(llvm::ArrayRef<double> sums, llvm::StringRef weight,
                        llvm::StringRef origin);

/// Cosines within [-1, 1].
llvm::Error checkBlock(const BlockStatistics &block, llvm::StringRef origin);

} // namespace mlir::cq

#endif // CQ_LIB_STATS_CHECKS_H
