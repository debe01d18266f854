/*===- CQ.h - The C API of cq ------------------------------------*- C -*-===*\
|*                                                                            *|
|* Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.*|
|* See LICENSE for license information.                                       *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|* Modules: parse, run a pass pipeline, print. Weights: quantize, look at the *|
|* planes, dequantize. Handles are opaque and freed by their own function.    *|
|* Functions that can fail return NULL or a non-zero status; the sentence is  *|
|* cqLastError() of the calling thread. Nothing here is thread-safe on the    *|
|* same handle; different handles may be used from different threads.         *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef CQ_C_CQ_H
#define CQ_C_CQ_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CQ_C_EXPORTED __attribute__((visibility("default")))
#else
#define CQ_C_EXPORTED
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CqModule_ *CqModule;
typedef struct CqWeight_ *CqWeight;

/** What went wrong in this thread's last failed call; "" before the first. The
 * pointer is valid until the thread's next call. */
CQ_C_EXPORTED const char *cqLastError(void);

/** Frees text returned by this API. NULL is allowed. */
CQ_C_EXPORTED void cqStringFree(char *text);

/*===-- Modules -----------------------------------------------------------===*/

/** Parses and verifies an MLIR module (text or bytecode, `length` bytes); every
 * upstream dialect and `cq` are known. NULL on error. */
CQ_C_EXPORTED CqModule cqModuleParse(const char *text, size_t length);

/** Runs e.g. "builtin.module(cq-quantize{bits=3})"; passes are those of cq-opt.
 * 0 on success. After a failure the module may be half rewritten: free it. */
CQ_C_EXPORTED int cqModuleRunPipeline(CqModule module, const char *pipeline);

/** The module as text, generic form when `generic` is not 0. Free the result
 * with cqStringFree. */
CQ_C_EXPORTED char *cqModulePrint(CqModule module, int generic);

CQ_C_EXPORTED void cqModuleFree(CqModule module);

/*===-- Weights -----------------------------------------------------------===*/

/** Quantizes `w` [n, k] (row-major, out_features × in_features).
 *   scheme        "b3-g64-symmetric-f16"; see Scheme.h
 *   quantizer     "rtn" or "mse"
 *   layout        "linear" or "panel16"
 *   cherry_form   "none", "element", "column" or "slot"
 *   cherry_ratio  share of the weights kept precise, e.g. 1.0/256
 *   criterion     "magnitude" or "quant-error"; ignored without cherries
 *   column_weights  NULL, or E[x^2] for every input column [k]
 * NULL on error. */
CQ_C_EXPORTED CqWeight cqWeightQuantize(
    const float *w, int64_t n, int64_t k, const char *scheme,
    const char *quantizer, const char *layout, const char *cherry_form,
    double cherry_ratio, const char *criterion, const float *column_weights);

/** Decodes to `out` [n, k], cherries included. 0 on success. */
CQ_C_EXPORTED int cqWeightDequantize(CqWeight weight, float *out);

typedef enum {
  CQ_PLANE_CODES = 0,          /**< packed codes */
  CQ_PLANE_SCALES = 1,         /**< scales, in the scheme's scale type */
  CQ_PLANE_ZEROS = 2,          /**< u8 zero points; empty unless affine */
  CQ_PLANE_CHERRY_COLUMNS = 3, /**< u8 (slot) or u16 column indices */
  CQ_PLANE_CHERRY_DELTAS = 4   /**< f16 deltas */
} CqPlane;

/** Bytes of a plane; valid until the weight is freed. `size` gets the length;
 * an absent plane has length 0. NULL on an unknown plane. */
CQ_C_EXPORTED const uint8_t *cqWeightPlane(CqWeight weight, CqPlane plane,
                                           size_t *size);

/** Bits per weight, counting every byte of every plane. */
CQ_C_EXPORTED double cqWeightBitsPerWeight(CqWeight weight);

CQ_C_EXPORTED void cqWeightFree(CqWeight weight);

#ifdef __cplusplus
}
#endif

#endif /* CQ_C_CQ_H */
