//===- ModelSource.h - A Llama-family model in a file -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Hyperparameters, tensor roles and tokenizer of a checkpoint, read from GGUF,
// a Hugging Face folder (config.json + safetensors + tokenizer.json) or
// llama2.c.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_MODEL_MODELSOURCE_H
#define CQ_MODEL_MODELSOURCE_H

#include "cq/Model/Parameters.h"
#include "cq/Model/Tokenizer.h"
#include <optional>
#include <vector>

namespace mlir::cq {

/// Rope scaling of Llama 3 (`rope_scaling` of config.json, `rope_freqs` of
/// GGUF).
struct RopeScaling {
  double factor = 1, lowFrequencyFactor = 1, highFrequencyFactor = 4;
  int64_t originalContext = 8192;
};

/// Divisors of the rotation frequencies base^(−2i/headDim), one for each of the
/// headDim / 2 pairs: 1 where the wavelength is below originalContext /
/// highFrequencyFactor, `factor` above originalContext / lowFrequencyFactor,
/// between them the smooth mix of Llama 3.1's reference code.
std::vector<float> ropeFactorsOf(const RopeScaling &scaling, double ropeBase,
                                 int64_t headDim);

/// Hyperparameters of a Llama-family decoder.
struct ModelConfig {
  std::string architecture; ///< "llama", "mistral", "qwen2", "qwen3"
  std::string name;
  int64_t width = 0;  ///< model width D
  int64_t hidden = 0; ///< feed-forward width F
  int64_t blocks = 0;
  int64_t heads = 0; ///< query heads
  int64_t kvHeads = 0;
  int64_t headDim = 0;
  int64_t vocabulary = 0;
  int64_t context = 0;   ///< trained context, at most the sliding window
  double epsilon = 1e-5; ///< RMS norm
  double ropeBase = 10000;
  /// Divisors of the rope frequencies, headDim / 2 long; empty: all 1. The only
  /// thing to look at when computing rope: GGUF stores them (`rope_freqs`), for
  /// the others they follow from `ropeScaling` or a linear factor.
  std::vector<float> ropeFactors;
  std::optional<RopeScaling> ropeScaling; ///< where config.json gave it
  bool attentionBias = false;             ///< q/k/v have biases (Qwen2)
  bool headNorms = false; ///< RMS norms of each head of q and k (Qwen3)
  bool tiedHead = false;  ///< head shares the embedding
  /// Rope pairs (2i, 2i+1) (GGUF llama, llama2.c) instead of (i, i + d/2)
  /// (Hugging Face, GGUF qwen2 and qwen3).
  bool interleavedRope = false;
  /// Positive and consistent (heads·…; D, F, V, blocks bounded), or a sentence.
  llvm::Error check() const;
};

/// Names in the archive of the tensors of one block; those of biases and of
/// norms of heads may be empty.
struct BlockTensors {
  std::string attentionNorm, q, k, v, o, qBias, kBias, vBias, qNorm, kNorm;
  std::string mlpNorm, gate, up, down;
};

/// A checkpoint opened for import: config, archive, roles, tokenizer. Every
/// tensor named here exists with the shape the config wants (checked at open).
struct ModelSource {
  ModelConfig config;
  std::unique_ptr<ParameterArchive> archive;
  std::string embedding, finalNorm, head; ///< head == embedding when tied
  std::vector<BlockTensors> blocks;
  std::shared_ptr<Tokenizer> tokenizer; ///< null when the source has none
  std::string tokenizerNote; ///< why `tokenizer` is null, one sentence

  /// `tokenizerPath` overrides (llama2.c tokenizer.bin, tokenizer.json, GGUF).
  static llvm::Expected<ModelSource> open(llvm::StringRef path,
                                          llvm::StringRef tokenizerPath = "");
};

} // namespace mlir::cq

#endif // CQ_MODEL_MODELSOURCE_H
