//===- FeedbackKernels.h - Inner loops of gptq ------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Loops over panels of `panelRows` rows of a weight, column after column: X
// [columns, panelRows]. Rows are lanes and never meet, and every element's sum
// runs in the order of the loop, so that all instruction sets give the same
// bits; nothing is contracted.

#ifndef CQ_LIB_CODEC_FEEDBACKKERNELS_H
#define CQ_LIB_CODEC_FEEDBACKKERNELS_H

#include "GroupKernels.h"

namespace mlir::cq::detail {

inline constexpr int64_t panelRows = 32;

/// Columns of a panel with their grids, and what is known of their errors.
/// Arrays are [columns, panelRows] unless noted.
struct PanelColumns {
  const float *w; ///< the weights
  float *level;   ///< q + shift (GroupKernels.h): ŵ = scale · level
  float *delta;   ///< w − ŵ; a cherry's ŵ is any number
  /// [columns] bit r: row r keeps this column precise. Null: none.
  const uint32_t *cherries;
};

/// Grids of the rows of a panel in one group, each [panelRows]; `inverse` is 1
/// / scale, or 0 where the scale is.
struct PanelGrid {
  const float *scale, *inverse, *lowest, *highest;
  float shift;
};

struct FeedbackKernels {
  const char *name;

  /// row[j] −= factor · other[j].
  void (*subtract)(double *row, const double *other, double factor, int64_t n);
  /// a[i, j] −= Σ_r a[r, i] a[r, j] for r in [begin, end), i in [from, to) and
  /// j in [i, k) (some j < i are written too).
  void (*downdate)(double *a, int64_t k, int64_t begin, int64_t end,
                   int64_t from, int64_t to);

  /// out[i] += Σ_{j in [begin, end)} matrix[i·stride + j] · x[j] for `count`
  /// columns `out`.
  void (*product)(float *out, int64_t count, const float *matrix,
                  int64_t stride, const float *x, int64_t begin, int64_t end);
  /// out[r] = Σ_i a[i, r] b[i, r].
  void (*dot)(const float *a, const float *b, int64_t count, float *out);

  /// Rounds `count` columns from the last to the first. target[i] holds what
  /// column i aims at by all columns behind the block; what the block itself
  /// adds comes from feedback[i·stride + j]. `grids[i]` is that of column i.
  void (*round)(const PanelColumns &columns, int64_t count, float *target,
                const float *feedback, int64_t stride, const PanelGrid *grids);
  /// One sweep of coordinate descent over `count` columns of one group.
  /// gradient[i] = Σ_j h[i, j] delta[j] over all columns, kept up to date for
  /// these; h points at the block on the diagonal.
  void (*descend)(const PanelColumns &columns, int64_t count, float *gradient,
                  const float *h, int64_t stride, const PanelGrid &grid);
};

/// Null where this machine lacks the instruction set.
const FeedbackKernels *feedbackKernels(GroupIsa isa);
/// The best ones of this machine.
const FeedbackKernels &feedbackKernels();

} // namespace mlir::cq::detail

#endif // CQ_LIB_CODEC_FEEDBACKKERNELS_H
