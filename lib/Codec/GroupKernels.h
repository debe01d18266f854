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

#include <cstdint>

namespace mlir::cq::detail {

/// A weight w at scale S stands on level q + shift with the integer q nearest
/// to w / S − shift in [lowest, highest]; ties go to the even q.
struct Levels {
  float lowest, highest, shift;
};

/// Sums over a group for a least-squares scale given the codes: Σ c·w·l, Σ
/// c·l².
struct ScaleFit {
  float cross, square;
};

struct GroupKernels {
  const char *name;
  /// Smallest and largest of w and 0; false where a value is NaN or Inf.
  bool (*range)(const float *w, int64_t n, float &smallest, float &largest);
  /// Σ c·(w − S·level)².
  float (*error)(const float *w, const float *c, int64_t n, float scale,
                 const Levels &levels);
  ScaleFit (*fit)(const float *w, const float *c, int64_t n, float scale,
                  const Levels &levels);
  /// codes[i] = q + offset, by a division. Writes n bytes.
  void (*codes)(const float *w, int64_t n, float scale, const Levels &levels,
                int32_t offset, uint8_t *codes);
};

enum class GroupIsa { Baseline, AVX2, AVX512 };
/// Null where this machine lacks the instruction set.
const GroupKernels *groupKernels(GroupIsa isa);
/// The best ones of this machine.
const GroupKernels &groupKernels();

} // namespace mlir::cq::detail

#endif // CQ_LIB_CODEC_GROUPKERNELS_H
