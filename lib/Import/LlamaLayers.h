//===- LlamaLayers.h - The parts of a decoder block -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One small function for each part of a Llama decoder. M tokens, D model width,
// H query heads in G groups of R (G key/value heads), d head size, V
// vocabulary.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_IMPORT_LLAMALAYERS_H
#define CQ_LIB_IMPORT_LLAMALAYERS_H

#include "GraphBuilder.h"
#include "cq/Model/ModelSource.h"

namespace mlir::cq::llama {

/// cos and sin of position × frequency, [M, d/2].
struct RopeTable {
  Value cos, sin;
};

/// Where attention finds the keys and values of this and all former tokens.
struct KeyValues {
  Value keys, values;  ///< [length, G, d]
  OpFoldResult length; ///< position + M
  Value position;      ///< of the first of the M queries; null means 0
};

class LlamaLayers {
public:
  LlamaLayers(OpBuilder &builder, const ModelConfig &config, int64_t tokens)
      : graph(builder), config(config), tokens(tokens) {}

  GraphBuilder &getGraph() { return graph; }

  /// Rows of the embedding [V, D] for tokens [M] (i32) → [M, D].
  Value embed(Value tokenIds, Value embedding);
  /// x / sqrt(mean(x²) + epsilon) · weight, over the last dimension of [M, D]
  /// or [M, heads, d].
  Value rmsNorm(StringRef name, Value x, Value weight);
  /// The same over each head of [M, heads·d], weight [d].
  Value headNorm(StringRef name, Value x, Value weight);
  /// x Wᵀ (+ bias), x [rows, K], weight [N, K], bias [N] or null.
  Value linear(StringRef name, Value x, Value weight, Value bias = {});
  /// x + y into x's buffer.
  Value addInPlace(StringRef name, Value x, Value y);
  /// silu(gate) · up.
  Value swiGlu(Value gate, Value up);

  /// `position` null means 0.
  RopeTable ropeTable(ArrayRef<float> frequencies, Value position);
  /// q [M, H·d] rotated, times 1/sqrt(d), rows grouped by key/value head:
  /// [G, R·M, d], row r·M + m.
  Value ropeQueries(Value q, const RopeTable &table);
  /// k [M, G·d] rotated, [M, G, d].
  Value ropeKeys(Value k, const RopeTable &table);
  /// [M, G·d] → [M, G, d].
  Value splitHeads(StringRef name, Value v);
  /// Causal softmax attention of ropeQueries' result → [M, H·d].
  Value attention(Value queries, const KeyValues &cache);

  /// −log softmax(logits)[target], logits [rows, V], targets [rows] → [rows].
  Value negativeLogLikelihood(Value logits, Value targets);
  /// Σ p log(p / q) over the vocabulary, p = softmax(reference), q =
  /// softmax(logits), both [rows, V] → [rows].
  Value divergence(Value logits, Value reference);

private:
  /// Largest logit and Σ exp(logit − largest) of each row.
  struct SoftmaxParts {
    Value largest, total;
  };
  SoftmaxParts softmaxParts(Value logits);
  /// x [M, heads·d] with every pair turned by its angle and scaled by `scale`.
  /// `heads` are the factors of the number of heads; in the result the token's
  /// dimension stands at `tokenDim`, and pairs lie as [2, d/2] whatever order
  /// the source has: scores do not depend on the order, if q and k agree.
  Value rotate(StringRef name, Value x, ArrayRef<int64_t> heads,
               unsigned tokenDim, const RopeTable &table, double scale);
  /// Takes and puts one member of the pairs that lie along dimension `dim`.
  Value member(StringRef name, Value pairs, unsigned dim, int64_t which);
  Value insertMember(StringRef name, Value part, Value pairs, unsigned dim,
                     int64_t which);
  Value maskFuture(Value scores, const KeyValues &cache);
  /// Over the last dimension, with the body's combiner.
  Value reduceLast(StringRef name, Value x, ArrayRef<OpFoldResult> sizes,
                   double init, GraphBuilder::Body body);

  int64_t groupSize() const { return config.heads / config.kvHeads; }

  GraphBuilder graph;
  const ModelConfig &config;
  int64_t tokens;
};

} // namespace mlir::cq::llama

#endif // CQ_LIB_IMPORT_LLAMALAYERS_H
