//===- WeightLoss.h - What storing a weight one way costs -- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Losses that need a weight and statistics of its input, no forward pass. With
// Δ = W − Ŵ, H = E[x xᵀ] and F = E[g²]:
//
//   weight  N K Σ Δ² / Σ W²: needs nothing; the relative error of all weights
//   output  N K tr(Δ H Δᵀ) / tr(W H Wᵀ): of the outputs
//           (only the diagonal of H where there is no Gram matrix)
//   fisher  ½ Σ_i f_i Δ_i H Δ_iᵀ, f_i = Σ_j F_ij / Σ_j H_jj the mean squared
//           gradient at output i: an estimate of what the loss of a sequence
//           grows by (½ Σ F Δ² where there is no Gram matrix)
//
// Within `fisher` losses of different layers are one currency; the other two
// are relative errors, layers counting by their size. (Layers counting equally
// was measured worse than uniform bits: docs/Results.md.)
//
//===----------------------------------------------------------------------===//

#ifndef CQ_MEASURE_WEIGHTLOSS_H
#define CQ_MEASURE_WEIGHTLOSS_H

#include "cq/Solver/StorageChoice.h"
#include "cq/Stats/Statistics.h"

namespace mlir::cq {

enum class LossKind : uint8_t { Weight, Output, Fisher };
llvm::StringRef stringifyLossKind(LossKind kind); // weight output fisher
std::optional<LossKind> parseLossKind(llvm::StringRef text);

/// `fisher` where the statistics (may be null) have Gram matrices and Fisher
/// sums of all weights, else `weight`.
LossKind defaultLoss(const StatisticsReader *statistics,
                     llvm::ArrayRef<std::string> weights);

/// Says which statistics losses were measured with: a hash, "" without.
std::string fingerprint(const StatisticsReader *statistics);

/// Measures one weight after another; what weights of one input share is kept
/// from one call to the next.
class WeightLossMeter {
public:
  /// `statistics` may be null for LossKind::Weight.
  WeightLossMeter(LossKind kind, const StatisticsReader *statistics,
                  unsigned threads = 0);
  ~WeightLossMeter();

  /// The loss of each choice of W [n, k]. Same numbers at any thread count.
  /// Errors name the weight: missing statistics, numbers that are not finite.
  /// That the statistics are of these numbers the caller has checked.
  /// `decoded` (may be null) gets Ŵ [n, k] for each choice.
  llvm::Expected<std::vector<double>>
  measure(llvm::StringRef weight, const float *w, int64_t n, int64_t k,
          llvm::ArrayRef<StorageChoice> choices,
          std::vector<std::vector<float>> *decoded = nullptr);

private:
  struct Inputs;
  llvm::Error load(llvm::StringRef weight, int64_t n, int64_t k,
                   bool wantsFactor);
  /// Ŵ [n, k] of a choice, rows in the order of W; no tensor in the sentence.
  llvm::Error store(const StorageChoice &choice, const float *w, int64_t n,
                    int64_t k, std::vector<float> &stored) const;
  llvm::Expected<std::vector<uint32_t>> rank(const PlanEntry &entry,
                                             const float *w) const;
  /// What each row loses, and what it is relative to.
  struct RowLosses {
    std::vector<double> errors, sizes;
  };
  RowLosses rowLosses(const float *w, const std::vector<float> &stored,
                      int64_t n, int64_t k) const;
  double sum(const RowLosses &losses, int64_t k) const;

  LossKind kind;
  const StatisticsReader *statistics;
  unsigned threads;
  std::unique_ptr<Inputs> inputs;
};

} // namespace mlir::cq

#endif // CQ_MEASURE_WEIGHTLOSS_H
