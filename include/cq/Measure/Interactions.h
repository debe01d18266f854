//===- Interactions.h - Changes of outputs, and their products -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Storing one weight in fewer bits changes an output by Δ. To first order the
// changes of several add up, so that a plan's loss is ‖Σ Δ_a‖² = Σ loss(a) +
// Σ_{a<c} M[a, c] with loss(a) = ‖Δ_a‖² and M[a, c] = 2 ⟨Δ_a, Δ_c⟩: one run a
// choice instead of one a pair, and positive semidefinite (methods.md 3). The
// weights of a mean, of tokens or of outputs are in Δ already, as their roots.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_MEASURE_INTERACTIONS_H
#define CQ_MEASURE_INTERACTIONS_H

#include "llvm/ADT/ArrayRef.h"
#include <cstdint>
#include <vector>

namespace mlir::cq {

/// ⟨Δ_a, Δ_c⟩ [V, V] of vectors of one length. Same bytes at any thread count.
std::vector<double> innerProducts(llvm::ArrayRef<std::vector<float>> changes,
                                  unsigned threads = 0);
double squaredNorm(llvm::ArrayRef<float> change);

/// The losses of choices for which nothing was run: that of the probe whose
/// error is nearest, in proportion to the error (both grow with Δ²).
std::vector<double> lossesFromProbes(llvm::ArrayRef<double> probeErrors,
                                     llvm::ArrayRef<double> probeLosses,
                                     llvm::ArrayRef<double> errors);

/// The KL divergence of predictions as a quadratic form of the change of the
/// final hidden states: KL_t ≈ ½ Δh_tᵀ Wᵀ (diag p_t − p_t p_tᵀ) W Δh_t =
/// ½ E_{v ~ p_t} [((W_v − W̄_t) · Δh_t)²], W̄_t = Σ_v p_v W_v. The expectation is
/// taken over `samples` words a token, spread evenly over p_t with a random
/// start (words of probability above 1/samples are all there): unbiased, and a
/// change takes samples numbers a token instead of one a word.
class PredictionMetric {
public:
  /// `head` [vocabulary, width] outlives this object.
  PredictionMetric(const float *head, int64_t vocabulary, int64_t width,
                   unsigned samples = 16, uint64_t seed = 0,
                   unsigned threads = 0);

  /// The predictions of one more sequence, from `hidden` [tokens, width].
  void add(llvm::ArrayRef<float> hidden);
  int64_t dimension() const { return static_cast<int64_t>(words.size()); }
  /// Δ of the sequences so far from their changed hidden states, one after the
  /// other: ‖Δ‖² is the estimate of the mean divergence of a prediction.
  std::vector<float> project(llvm::ArrayRef<std::vector<float>> changed) const;

private:
  const float *head;
  int64_t vocabulary, width;
  unsigned samples;
  uint64_t seed;
  unsigned threads;
  std::vector<int32_t> words; ///< [tokens of all sequences, samples]
  std::vector<float> means;   ///< W̄ [tokens, width]
  std::vector<std::vector<float>> reference; ///< hidden, by sequence
};

} // namespace mlir::cq

#endif // CQ_MEASURE_INTERACTIONS_H
