//===- GroupKernels.h - Inner loops over one group --------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Loops over the weights of one group, compiled for several instruction sets
// and chosen at run time. All give the same bits: sums go through sixteen lanes
// and one fixed tree, and nothing is contracted. Arrays of length `n` are
// readable up to the next multiple of 16, with zeros behind the end.

#ifndef CQ_LIB_CODEC_GROUPKERNELS_H
#define CQ_LIB_CODEC_GROUPKERNELS_H

#include "cq/Codec/Scheme.h"

namespace mlir::cq::detail {

/// A weight w at scale S stands on level q + shift with the integer q nearest
/// to w / S − shift in [lowest − zero, highest − zero]; ties go to the even q.
struct Levels {
  float lowest, highest, shift;
};

/// A scale, already rounded to its type, and a zero point (0 but for affine).
struct GroupGrid {
  float scale, zero;
};

/// What one pass over a group says about a grid: Σ c·(w/S − l)², in units of
/// S², and the sums for a least-squares scale given the codes, Σ c·w·l and Σ
/// c·l².
struct GridFit {
  float error, cross, square;
};

struct GroupKernels {
  const char *name;
  /// Smallest and largest of w and 0; false where a value is NaN or Inf.
  bool (*range)(const float *w, int64_t n, float &smallest, float &largest);
  /// scales[i] = roundScale(scales[i], type) for a multiple of 16 scales.
  void (*roundScales)(float *scales, int64_t count, ScaleType type);
  /// errors[i] = Σ c·(w/S − level)² · (S·unit)² for each of `count` grids.
  void (*errors)(const float *w, const float *c, int64_t n,
                 const GroupGrid *grids, int64_t count, const Levels &levels,
                 float unit, float *errors);
  GridFit (*fit)(const float *w, const float *c, int64_t n,
                 const GroupGrid &grid, const Levels &levels);
  /// codes[i] = q + offset, by a division. Writes n bytes.
  void (*codes)(const float *w, int64_t n, const GroupGrid &grid,
                const Levels &levels, int32_t offset, uint8_t *codes);
};

enum class GroupIsa { Baseline, AVX2, AVX512 };
/// Null where this machine lacks the instruction set.
const GroupKernels *groupKernels(GroupIsa isa);
/// The best ones of this machine.
const GroupKernels &groupKernels();

} // namespace mlir::cq::detail

#endif // CQ_LIB_CODEC_GROUPKERNELS_H
