//===- SecondMoments.h - A layer's input, as gptq needs it ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What rounding W [N, K] to Ŵ does to the layer's output is tr(Δ H Δᵀ) with
// Δ = W − Ŵ and H = E[x xᵀ] [K, K]. `gptq` rounds columns one after another and
// lets each later one make up for the errors so far; how much, a triangular
// factor of H says. It is computed once and shared by all weights that read
// the same input (q, k and v; gate and up). Sources: GPTQ (2210.17323), and
// QuIP's proof (2307.13304) that H = R D Rᵀ gives the same feedback without
// inverting H.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CODEC_SECONDMOMENTS_H
#define CQ_CODEC_SECONDMOMENTS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <vector>

namespace mlir::cq {

struct SecondMomentsOptions {
  /// Share of the mean diagonal added to it. Raised tenfold until the matrix
  /// is positive definite, to 1 at most.
  double damping = 0.01;
};

class SecondMoments {
public:
  using Options = SecondMomentsOptions;

  /// `gram`: E[x xᵀ] (or any positive multiple), upper triangle, rows packed
  /// one after another, k (k + 1) / 2 long. Errors, of one sentence without a
  /// tensor's name: wrong length, NaN or Inf, an input that is always zero, a
  /// matrix that no damping makes positive definite. Same bits at any number of
  /// threads and on any x86.
  static llvm::Expected<SecondMoments> factorise(llvm::ArrayRef<double> gram,
                                                 int64_t k,
                                                 const Options &options = {},
                                                 unsigned threads = 0);

  int64_t columns() const { return k; }
  /// The damping that made it positive definite.
  double damping() const { return usedDamping; }
  /// E[x²] [k], without damping, up to the factor that makes their mean 1.
  const std::vector<float> &meanSquares() const { return squares; }
  /// H [k, k] with damping, up to the same factor.
  const float *matrix() const { return damped.data(); }
  /// The column of W at each place. Places are rounded from the last to the
  /// first: columns of large H_ii early, when little error has gathered.
  const std::vector<int32_t> &order() const { return places; }
  /// F [k, k], by places: place i aims at w_i + Σ_{j>i} F_ij (w_j − ŵ_j). Only
  /// j > i is set.
  const float *feedback() const { return factor.data(); }

private:
  int64_t k = 0;
  double usedDamping = 0;
  std::vector<float> squares, damped, factor;
  std::vector<int32_t> places;
};

} // namespace mlir::cq

#endif // CQ_CODEC_SECONDMOMENTS_H
