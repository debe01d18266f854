//===- Session.h - A text in a compiled language model ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Key/value caches and position of one text, over functions that were compiled
// for chunks of a few sizes. No LLVM: JIT and ahead-of-time code share it.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_RUNTIME_SESSION_H
#define CQ_RUNTIME_SESSION_H

#include "cq/Runtime/Model.h"
#include <memory>
#include <string>
#include <vector>

namespace mlir::cq {

struct SessionShape {
  int64_t width = 0, vocabulary = 0, context = 0;
  int64_t keys = 0, values = 0; ///< elements of the caches
};

class Session {
public:
  /// `parameters` must outlive the session; `chunks` must not be empty.
  Session(std::vector<cq_chunk> chunks, const SessionShape &shape,
          void **parameters);

  const SessionShape &shape() const { return sizes; }
  int64_t position() const { return taken; }
  /// Rows of the caches beyond the position are never read: none is cleared.
  void reset() { taken = 0; }

  /// Why `count` tokens cannot be taken now (an id outside the vocabulary, the
  /// context full); empty where they can.
  std::string refuse(const int32_t *tokens, int64_t count) const;
  /// Takes tokens that are not refused; hidden states [count, width] go to
  /// `hidden`, or only that of the last token where `onlyLast`.
  void forward(const int32_t *tokens, int64_t count, float *hidden,
               bool onlyLast = false);
  /// Logits [rows, vocabulary] of hidden states [rows, width].
  void logits(const float *hidden, int64_t rows, float *out);

private:
  /// The chunk to run next for `remaining` rows (ChunkChoice.h).
  const cq_chunk &chooseChunk(int64_t remaining) const;

  std::vector<cq_chunk> chunks; ///< ascending
  std::vector<int64_t> chunkSizes;
  SessionShape sizes;
  void **parameters;
  int64_t taken = 0;
  struct Free {
    void operator()(float *memory) const;
  };
  /// The caches: zero pages of the system until they are written.
  std::unique_ptr<float, Free> keys, values;
  std::vector<int32_t> padded; ///< a chunk's tokens
  std::vector<float> inputs;   ///< a chunk's hidden states, padded
  std::vector<float> rows;     ///< a chunk's results
};

} // namespace mlir::cq

#endif // CQ_RUNTIME_SESSION_H
