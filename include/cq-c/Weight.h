/*===- Weight.h - C API: quantized weights ------------------------*- C -*-===*\
|*                                                                            *|
|* Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.*|
|* See LICENSE for license information.                                       *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|* One weight matrix W [n, k] = [out_features, in_features] as packed planes; *|
|* docs/Codec.md says what the numbers mean and where each bit lies. How it is*|
|* stored is written as a choice,                                             *|
|*                                                                            *|
|*   SCHEME[+rows=SHARE:bBITS][/QUANTIZER][/FORM COUNT-CRITERION]             *|
|*                                                                            *|
|*   b3-g64                             3 bits, groups of 64, round to nearest*|
|*   b4-g128-affine-bf16/mse            zero points, scales searched          *|
|*   b3-g128+rows=1/8:b4/gptq/slot1-impact   an eighth of the rows at 4 bits, *|
|*                                      error feedback, a cherry a (row, 256) *|
|*                                                                            *|
|* with the schemes, quantizers (rtn, mse, gptq), cherry forms (slot, element,*|
|* column) and criteria (magnitude, quant-error, impact, activation) of plans.*|
|* A weight that has been made does not change; functions that take one read  *|
|* only, except Free.                                                         *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef CQ_C_WEIGHT_H
#define CQ_C_WEIGHT_H

#include "cq-c/Core.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CqWeight_ *CqWeight;
typedef struct CqProduct_ *CqProduct;

/*===-- Making one --------------------------------------------------------===*/

/** What a quantizer may know beside the weight. All pointers may be NULL. */
typedef struct CqQuantizeInputs {
  size_t struct_size; /**< sizeof(CqQuantizeInputs) */
  /** [k] E[x^2] of every input column, not negative. For mse, and for the
   * criteria quant-error and activation. */
  const float *column_weights;
  /** [n, k] E[g^2], not negative. For the criterion impact. */
  const float *fisher;
  /** [k (k+1) / 2] E[x x^T], upper triangle, rows one after another. gptq
   * needs it. */
  const double *second_moments;
  unsigned threads; /**< 0: one a CPU. Results do not depend on it. */
} CqQuantizeInputs;

/** Quantizes W [n, k]. `layout`: "panel16" (what kernels read) or "linear"
 * (dense rows); NULL is panel16. `inputs` may be NULL. Errors: a choice that
 * does not parse or wants inputs that are not there, NaN or infinity in W, a
 * weight too small for wide rows or cherries. */
CQ_C_EXPORTED CqWeight cqWeightQuantize(const float *w, int64_t n, int64_t k,
                                        const char *choice, const char *layout,
                                        const CqQuantizeInputs *inputs);

typedef enum {
  CQ_PLANE_CODES = 0,          /**< packed codes */
  CQ_PLANE_SCALES = 1,         /**< scales, in the scheme's scale type */
  CQ_PLANE_ZEROS = 2,          /**< u8 zero points; empty unless affine */
  CQ_PLANE_CHERRY_COLUMNS = 3, /**< u8 (slot) or u16 column indices */
  CQ_PLANE_CHERRY_DELTAS = 4,  /**< f16 deltas */
  CQ_PLANE_ROW_ORDER = 5       /**< u16 (u32 above 65536 rows); where rows are
                                    stored in another order */
} CqPlane;
#define CQ_NUM_PLANES 6

/** A weight from planes that were stored: `planes[p]` has `sizes[p]` bytes, in
 * the order of CqPlane; they are copied. `choice` and `layout` as when it was
 * made (the quantizer and the criterion do not matter). Errors: sizes or
 * numbers that do not fit. */
CQ_C_EXPORTED CqWeight
cqWeightFromPlanes(int64_t n, int64_t k, const char *choice, const char *layout,
                   const uint8_t *const planes[CQ_NUM_PLANES],
                   const size_t sizes[CQ_NUM_PLANES]);

/** The same numbers in another layout. */
CQ_C_EXPORTED CqWeight cqWeightRelayout(CqWeight weight, const char *layout);

CQ_C_EXPORTED void cqWeightFree(CqWeight weight);

/*===-- Looking at it -----------------------------------------------------===*/

/** Exact bytes of every plane of a weight that would be stored so; `sizes` in
 * the order of CqPlane. Nothing is quantized. */
CQ_C_EXPORTED int cqWeightPlaneSizes(int64_t n, int64_t k, const char *choice,
                                     const char *layout,
                                     int64_t sizes[CQ_NUM_PLANES]);

/** Bytes of a CqPlane, valid until the weight is freed; `size` gets how many.
 * An absent plane has size 0 and a pointer that is not to be read. NULL on
 * error. */
CQ_C_EXPORTED const uint8_t *cqWeightPlane(CqWeight weight, int plane,
                                           size_t *size);

/** Rows and columns of W; -1 on error. */
CQ_C_EXPORTED int64_t cqWeightRows(CqWeight weight);
CQ_C_EXPORTED int64_t cqWeightColumns(CqWeight weight);

/** Its layout, "panel16" or "linear", and its choice without quantizer and
 * criterion, which planes do not hold: enough for cqWeightFromPlanes. */
CQ_C_EXPORTED char *cqWeightLayout(CqWeight weight);
CQ_C_EXPORTED char *cqWeightChoice(CqWeight weight);

/** Bits per weight, every byte of every plane counted; -1 on error. */
CQ_C_EXPORTED double cqWeightBitsPerWeight(CqWeight weight);

/** Cherries that a share of the weights means, as the COUNT of a choice for
 * rows of `k` columns; `form` is "slot", "element" or "column". -1 on error. */
CQ_C_EXPORTED int64_t cqCherryCount(const char *form, double share, int64_t k);

/*===-- Using it ----------------------------------------------------------===*/

/** Decodes to `out` [n, k], cherries included. `count` is its size and must be
 * n * k. */
CQ_C_EXPORTED int cqWeightDequantize(CqWeight weight, float *out, size_t count);

/** Compiled code for x W^T of this weight on this CPU, as models use it.
 * `activation`: "int8" (x is rounded to 8 bits a row block, faster) or "f32";
 * NULL is f32. The weight must be in layout panel16; its planes are copied.
 * The code comes from a cache on disk when it was made before. NULL on error.
 */
CQ_C_EXPORTED CqProduct cqProductCreate(CqWeight weight,
                                        const char *activation);

/** out [m, n] = x [m, k] W^T. One thread at a time. */
CQ_C_EXPORTED int cqProductRun(CqProduct product, const float *x, int64_t m,
                               float *out);

CQ_C_EXPORTED void cqProductFree(CqProduct product);

#ifdef __cplusplus
}
#endif

#endif /* CQ_C_WEIGHT_H */
