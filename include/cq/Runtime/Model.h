//===- Model.h - Models compiled ahead of time ------------------*- C -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a library made by `cq compile` is: code for chunks of tokens and a table
// that says where each parameter lies in the weights file. Users call the
// functions of the library's own header, which forward to these.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_RUNTIME_MODEL_H
#define CQ_RUNTIME_MODEL_H

#include "cq/Runtime/Runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/// The functions compiled for chunks of `tokens` tokens. `forward` updates
/// `keys` and `values` and writes `hidden` [tokens, width].
typedef struct cq_chunk {
  int64_t tokens;
  void (*forward)(void **parameters, const int32_t *tokens, int64_t position,
                  float *keys, float *values, float *hidden);
  void (*logits)(void **parameters, const float *hidden, float *logits);
} cq_chunk;

/// A model's code for one CPU. Grows at the end only; `version` says how far it
/// reaches.
typedef struct cq_model_code {
  int64_t version;
  const char *name;     ///< of the library, for messages
  const char *cpu;      ///< compiled for, for messages
  const char *features; ///< what the CPU must have, separated by spaces
  int64_t num_chunks;
  const cq_chunk *chunks;
  int64_t width, vocabulary, context, keys, values;
  int64_t num_parameters;
  const int64_t *offsets; ///< of parameters in the weights file
  int64_t file_bytes;     ///< size of the weights file
  int64_t head_bytes;     ///< its head: names, types, shapes, offsets …
  uint64_t head_hash;     ///< … FNV-1a, 64 bits
  /// The same model for a CPU that has less to offer, or null.
  const struct cq_model_code *next;
} cq_model_code;
#define CQ_MODEL_CODE_VERSION 2

typedef struct cq_model cq_model;

/// Takes the first code that this CPU can run, maps `weights` and makes empty
/// caches. Null on error (see cq_model_error).
CQ_RUNTIME_EXPORT cq_model *cq_model_open(const cq_model_code *code,
                                          const char *weights);
CQ_RUNTIME_EXPORT void cq_model_close(cq_model *model);
/// Takes `count` ≥ 1 tokens; `logits` [vocabulary] of what follows the last
/// one. 0, or −1 on error, and then nothing was taken.
CQ_RUNTIME_EXPORT int cq_model_prefill(cq_model *model, const int32_t *tokens,
                                       int64_t count, float *logits);
/// The same for one token.
CQ_RUNTIME_EXPORT int cq_model_decode(cq_model *model, int32_t token,
                                      float *logits);
/// Forgets all tokens.
CQ_RUNTIME_EXPORT void cq_model_reset(cq_model *model);
/// The CPU that the code which runs was compiled for.
CQ_RUNTIME_EXPORT const char *cq_model_cpu(const cq_model *model);
/// Tokens taken.
CQ_RUNTIME_EXPORT int64_t cq_model_position(const cq_model *model);
/// This thread's last error, one sentence; "" before any.
CQ_RUNTIME_EXPORT const char *cq_model_error(void);
/// Names of `features` (separated by spaces) that this CPU does not have or
/// that are not known here, in `missing`; their number.
CQ_RUNTIME_EXPORT int cq_missing_features(const char *features, char *missing,
                                          int64_t size);

#ifdef __cplusplus
}
#endif

#endif // CQ_RUNTIME_MODEL_H
