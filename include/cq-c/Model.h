/*===- Model.h - C API: checkpoints and models --------------------*- C -*-===*\
|*                                                                            *|
|* Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.*|
|* See LICENSE for license information.                                       *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|* The verbs of the tool cq as functions: import a checkpoint, compile a model*|
|* ahead of time, load one and run it. `path` of a model is a module made by  *|
|* import, or the folder that `cq quantize` writes. Messages of passes within *|
|* these functions go to stderr.                                              *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef CQ_C_MODEL_H
#define CQ_C_MODEL_H

#include "cq-c/Core.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CqArchive_ *CqArchive;
typedef struct CqModel_ *CqModel;

/*===-- Checkpoints -------------------------------------------------------===*/

/** Opens a GGUF file, a .safetensors file or index, a llama2.c checkpoint, or a
 * folder that holds one of these. It is mapped, not read. The functions on an
 * archive read only. */
CQ_C_EXPORTED CqArchive cqArchiveOpen(const char *path);

/** Number of tensors; -1 on error. */
CQ_C_EXPORTED int64_t cqArchiveSize(CqArchive archive);

/** Name of a tensor, in the order of the file; valid until the archive is
 * freed. NULL on error. */
CQ_C_EXPORTED const char *cqArchiveName(CqArchive archive, int64_t index);

/** Type of its elements or blocks, "F32", "Q4_K" …; static. NULL on error. */
CQ_C_EXPORTED const char *cqArchiveType(CqArchive archive, int64_t index);

/** Dimensions of a tensor, outermost first. Writes at most `capacity` of them
 * and returns how many there are; -1 on error. */
CQ_C_EXPORTED int64_t cqArchiveShape(CqArchive archive, int64_t index,
                                     int64_t *shape, size_t capacity);

/** Decodes a tensor to `out`; `count` must be its number of elements. */
CQ_C_EXPORTED int cqArchiveRead(CqArchive archive, int64_t index, float *out,
                                size_t count);

CQ_C_EXPORTED void cqArchiveFree(CqArchive archive);

/** Writes MLIR that refers to the weights of a checkpoint to `output`.
 * `context` is the number of positions that caches hold (0: as trained, 2048 at
 * most). `tokenizer`: a file, where the checkpoint has none; may be NULL. */
CQ_C_EXPORTED int cqImportModel(const char *checkpoint, const char *tokenizer,
                                int64_t context, const char *output);

/** Quantizes a module made by import into the new folder `output` (model.mlir,
 * model.safetensors, plan.json, tokenizer.gguf). `options` are those of the
 * pipeline cq-quantize, e.g. "bits=3 stats=model.stats" or "bpw=3.25
 * losses=model.losses". An existing folder is replaced where `force` is not
 * 0, else it is an error. */
CQ_C_EXPORTED int cqQuantizeModel(const char *module, const char *options,
                                  const char *output, int force);

/** Compiles a model ahead of time to `output`, a shared library (.so) or an
 * object (.o), with a C header beside it (docs/Compile.md). `name`: prefix of
 * its functions, NULL: from `output`. `target_cpu`: as clang's -march, NULL:
 * this machine's. `activation`: "int8" or "f32", NULL: as the plan says. */
CQ_C_EXPORTED int cqCompileModel(const char *path, const char *output,
                                 const char *name, const char *target_cpu,
                                 const char *activation);

/*===-- Running one -------------------------------------------------------===*/

/** Compiles a model for this CPU (or takes the code from the cache on disk) and
 * loads it. `activation` as above; may be NULL. Its weights are mapped. */
CQ_C_EXPORTED CqModel cqModelLoad(const char *path, const char *activation);

/** Size V of a row of logits, positions that fit in all, tokens taken so far;
 * -1 on error. */
CQ_C_EXPORTED int64_t cqModelVocabulary(CqModel model);
CQ_C_EXPORTED int64_t cqModelContext(CqModel model);
CQ_C_EXPORTED int64_t cqModelPosition(CqModel model);

/** Forgets all tokens. */
CQ_C_EXPORTED int cqModelReset(CqModel model);

/** Takes `count` tokens; `logits` [V] says what follows the last one. Errors:
 * an id outside the vocabulary, no room; then nothing was taken. */
CQ_C_EXPORTED int cqModelPrefill(CqModel model, const int32_t *tokens,
                                 size_t count, float *logits);

/** The same for one token. */
CQ_C_EXPORTED int cqModelDecode(CqModel model, int32_t token, float *logits);

/** Takes `count` tokens; `logits` [count, V], a row a token. */
CQ_C_EXPORTED int cqModelScore(CqModel model, const int32_t *tokens,
                               size_t count, float *logits);

typedef struct CqGenerateOptions {
  size_t struct_size; /**< sizeof(CqGenerateOptions) */
  int64_t max_tokens; /**< at least 1 */
  double temperature; /**< 0: the most likely token */
  int64_t top_k;      /**< 0: all */
  double top_p;       /**< 0 or 1: all */
  uint64_t seed;
} CqGenerateOptions;

/** Sees a token as soon as it was drawn; not 0 stops. It must not use the
 * model. */
typedef int (*CqTokenHandler)(int32_t token, void *user);

/** Takes `count` tokens, then draws on, until a token that ends the text (which
 * `handler` still sees), `max_tokens`, the end of the context or of the
 * handler's patience. The same tokens as `cq run` for the same options. */
CQ_C_EXPORTED int cqModelGenerate(CqModel model, const int32_t *tokens,
                                  size_t count,
                                  const CqGenerateOptions *options,
                                  CqTokenHandler handler, void *user);

/** Perplexity of `count` tokens cut into windows of `window` tokens (at least
 * 2; a last shorter one is left out; 0: the context, at most 512), each from an
 * empty context, every predicted token counting. Forgets all tokens.
 * `positions` (may be NULL) gets how many were scored. NaN on error. */
CQ_C_EXPORTED double cqModelPerplexity(CqModel model, const int32_t *tokens,
                                       size_t count, int64_t window,
                                       int64_t *positions);

/*===-- Text --------------------------------------------------------------===*/

/** Ids of `length` bytes of text. Writes at most `capacity` of them and returns
 * how many there are; -1 on error, e.g. a model without a tokenizer.
 * `special`: whether special tokens written in the text are read as such and
 * the one that begins a text is put first. */
CQ_C_EXPORTED int64_t cqModelEncode(CqModel model, const char *text,
                                    size_t length, int special, int32_t *tokens,
                                    size_t capacity);

/** Text of tokens, `length` bytes (which may end within a character). Free with
 * cqStringFree. NULL on error. */
CQ_C_EXPORTED char *cqModelDecodeText(CqModel model, const int32_t *tokens,
                                      size_t count, size_t *length);

/** A user's turn (and a system text, may be NULL) in the model's chat form. An
 * error where it has none. Free with cqStringFree. */
CQ_C_EXPORTED char *cqModelFormatChat(CqModel model, const char *user,
                                      const char *system);

/** 1 where a token ends a text, 0 where not; -1 on error. */
CQ_C_EXPORTED int cqModelIsEnd(CqModel model, int32_t token);

CQ_C_EXPORTED void cqModelFree(CqModel model);

#ifdef __cplusplus
}
#endif

#endif /* CQ_C_MODEL_H */
