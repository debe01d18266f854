//===- Scores.h - Numbers that tell matrices and blocks apart ---*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_STATS_SCORES_H
#define CQ_STATS_SCORES_H

#include "llvm/ADT/ArrayRef.h"
#include <cstdint>
#include <vector>

namespace mlir::cq {

/// Heterogeneity score (CherryQ, section 3; methods.md 1): the mean of the top
/// 1 % of `scores` (at least one) over the largest of the others. 1 where all
/// are equal; infinite where the others are all 0 and the top is not; 0 where
/// all are 0 or there are no others.
double heterogeneityScore(llvm::ArrayRef<float> scores);

/// Positions of the `count` largest scores, ascending; ties go to the smaller
/// position, as in cherry selection.
std::vector<int64_t> topPositions(llvm::ArrayRef<float> scores, int64_t count);

/// Share of the elements of `a` that are in `b`; both ascending. 0 for an empty
/// `a`.
double overlap(llvm::ArrayRef<int64_t> a, llvm::ArrayRef<int64_t> b);

/// |w| of each element.
std::vector<float> magnitudeScores(llvm::ArrayRef<float> w);
/// |w| · √E[x²] of each element of W [n, k]; meanSquares [k].
std::vector<float> activationScores(llvm::ArrayRef<float> w,
                                    llvm::ArrayRef<float> meanSquares);

/// ZD (arXiv 2406.17415; methods.md 2): the share of a block's weights, all
/// matrices together, with (w − mean) / deviation > 1, or |…| > 1 when
/// `twoSided`. The deviation is that of the whole, divided by the count. 0
/// where all weights are equal.
double zScoreShare(llvm::ArrayRef<llvm::ArrayRef<float>> weights,
                   bool twoSided = false);

/// Condition number of a symmetric positive matrix, λmax / λmin by power and
/// inverse iteration, to about 1 %. `gram`: upper triangle packed as in
/// InputStatistics. Infinite when a Cholesky factor does not exist.
double conditionNumber(llvm::ArrayRef<double> gram, int64_t k);

} // namespace mlir::cq

#endif // CQ_STATS_SCORES_H
