//===- MixedRows.h - Rows that are stored wider than others -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// High-impact output channels (HIRO, 2511.17801): some rows of W [N, K] get
// more bits than the others. They are stored first, in whole panels of 16, so
// that a kernel's panel has one width; a row order says which rows they are.
// Everything else about a row (group, grid, scale type, cherries) is as in the
// other rows. How to quantize such a weight:
//
//   order = rankRows(w, …);            stored row s is row order[s] of W
//   v = permuteRows(w, …, order)       statistics of elements likewise
//   q = quantizeWeight(v, …, segments) and q.order = order
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CODEC_MIXEDROWS_H
#define CQ_CODEC_MIXEDROWS_H

#include "cq/Codec/Quantizer.h"

namespace mlir::cq {

/// How many rows are stored wider, and how wide.
struct WideRows {
  int64_t count = 0; ///< whole panels of 16, fewer than N; 0: none
  unsigned bits = 0; ///< above the scheme's

  explicit operator bool() const { return count != 0; }
  bool operator==(const WideRows &o) const {
    return count == o.count && (count == 0 || bits == o.bits);
  }

  /// A share numerator / denominator of N = n rows, as whole panels: the
  /// nearest number (a half goes up), at least one panel of a share above 0,
  /// and at least one row left. 0 where n has one panel only.
  static int64_t roundedCount(int64_t numerator, int64_t denominator,
                              int64_t n);
  /// Success, or one sentence; `n` may be hostile.
  llvm::Error check(int64_t n, const Scheme &scheme) const;
  /// Wide rows first; one segment and no order where there are none.
  Layout layout(LayoutKind kind, int64_t n, unsigned bits) const;
};

/// What the choice of rows may know.
struct RowInputs {
  const float *columnWeights = nullptr; ///< E[x²] [k], any positive multiple
  const float *fisher = nullptr;        ///< E[g²] [n, k]
  unsigned threads = 0;                 ///< 0: all
};

/// The order of rows of W [n, k] with the `count` of the largest impact first;
/// both parts ascend. Ties go to the smaller row.
///
///   impact_i = f_i Σ_j m_j (w_ij − ŵ_ij)²
///
/// ŵ: W rounded to nearest under `scheme`, m_j = E[x_j²] (1 without
/// `columnWeights`), f_i = Σ_j F_ij / Σ_j m_j the mean squared gradient at
/// output i (1 without `fisher`): what the loss grows by because of row i, as
/// far as a diagonal of H knows (WeightLoss.h's `fisher`). What more bits save
/// is a fixed share of it. Errors: those of quantizeWeight.
llvm::Expected<std::vector<uint32_t>> rankRows(const float *w, int64_t n,
                                               int64_t k, const Scheme &scheme,
                                               int64_t count,
                                               const RowInputs &inputs = {});

/// out row s = row order[s] of `matrix` [order.size(), k].
std::vector<float> permuteRows(const float *matrix, int64_t k,
                               llvm::ArrayRef<uint32_t> order);

} // namespace mlir::cq

#endif // CQ_CODEC_MIXEDROWS_H
