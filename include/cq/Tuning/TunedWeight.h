//===- TunedWeight.h - Training a packed weight -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Unified training of CherryQ (2404.02837, methods.md section 1) on a packed
// weight: cherries take the true gradient dL/dŵ, scales that of their group's
// levels, and, where they are trained at all, the other weights the
// straight-through gradient (learned step sizes as in LSQ, 1902.08153). Adam
// moves every parameter in units of its own size: a scale in parts of itself, a
// weight or a cherry in steps of its group's grid.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TUNING_TUNEDWEIGHT_H
#define CQ_TUNING_TUNEDWEIGHT_H

#include "cq/Codec/Quantizer.h"
#include "cq/Tuning/Adam.h"

namespace mlir::cq {

/// Learning rates, in units a step: scales relative to themselves, cherries and
/// weights in steps of their grid. 0: left as they are.
struct TuningRates {
  float scales = 1e-3f;
  float cherries = 1e-2f;
  float weights = 0;
};

class TunedWeight {
public:
  /// Takes a quantized weight and, to train the codes too, the unquantized W
  /// [n, k] (null: codes stay). The latent weights start from W, moved into the
  /// cells of the codes they already have. Errors: as unpackWeight's.
  static llvm::Expected<TunedWeight> create(QuantizedWeight quantized,
                                            CherryPositions cherries,
                                            const float *weight = nullptr);

  int64_t rows() const { return quantized.n; }
  int64_t columns() const { return quantized.k; }

  /// Ŵ [n, k]: what the packed weight would mean now, scales and cherries
  /// rounded to their stored types.
  void decode(float *out, unsigned threads = 0) const;
  /// Adds dL/dŴ [n, k].
  void addGradient(const float *gradient, unsigned threads = 0);
  /// One step of Adam with the gradients added since the last one, which are
  /// forgotten; codes follow the weights.
  void step(const Adam &adam, const TuningRates &rates, unsigned threads = 0);

  /// What would be packed now.
  QuantizedWeight get() const;
  const CherryPositions &positions() const { return cherries; }
  /// Codes that differ from those at the start.
  int64_t changedCodes() const;

  /// Everything that steps change, gradients apart: what a run that goes on
  /// later has to find again.
  struct State {
    llvm::MutableArrayRef<uint8_t> codes; ///< empty where they do not train
    std::vector<std::pair<llvm::StringRef, llvm::MutableArrayRef<float>>> rest;
  };
  State state();
  /// The largest code of each stored row.
  std::vector<uint8_t> maxCodes() const;

private:
  TunedWeight() = default;
  void collectCherries();
  void requantizeRow(int64_t row);

  QuantizedWeight quantized; ///< codes current; scales, deltas as at the start
  CherryPositions cherries;
  std::vector<uint8_t> initialCodes; ///< where codes are trained
  std::vector<float> scales;         ///< [n, groups], not rounded
  std::vector<float> values;         ///< of cherries, in the deltas' order
  std::vector<float> latent;         ///< [n, k] or empty
  /// Cherries of row r: [rowBegin[r], rowBegin[r + 1]).
  struct Cherry {
    int32_t column;
    int64_t index; ///< into the delta plane
  };
  std::vector<Cherry> rowCherries;
  std::vector<int64_t> rowBegin;
  std::vector<float> scaleGradients, valueGradients, gradients;
  AdamMoments scaleMoments, valueMoments, latentMoments;
};

} // namespace mlir::cq

#endif // CQ_TUNING_TUNEDWEIGHT_H
