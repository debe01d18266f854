//===- Sampler.h - From logits to the next token ----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_INFERENCE_SAMPLER_H
#define CQ_INFERENCE_SAMPLER_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <utility>
#include <vector>

namespace mlir::cq {

/// How the next token is drawn.
struct SamplerOptions {
  double temperature = 0; ///< 0 = greedy
  int64_t topK = 0;       ///< keep the k most likely tokens; 0 = all
  double topP = 1; ///< keep the smallest set of at least this probability
  uint64_t seed = 0;
  /// Success, or a sentence naming the option that is out of range.
  llvm::Error check() const;
};

/// Draws tokens. The sequence of draws is a function of the seed and the
/// logits.
class Sampler {
public:
  explicit Sampler(const SamplerOptions &options)
      : options(options), state(options.seed) {}

  /// The next token for `logits` [vocabulary]. Ties go to the smaller id.
  int32_t next(llvm::ArrayRef<float> logits);

private:
  double uniform(); ///< in [0, 1), SplitMix64

  SamplerOptions options;
  uint64_t state;
  std::vector<std::pair<float, int32_t>> candidates; ///< kept between calls
};

/// Index of the largest value; the smaller index on ties.
int32_t argmax(llvm::ArrayRef<float> values);

} // namespace mlir::cq

#endif // CQ_INFERENCE_SAMPLER_H
