/*===- Plan.h - C API: losses, plans, statistics ------------------*- C -*-===*\
|*                                                                            *|
|* Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.*|
|* See LICENSE for license information.                                       *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|* Who gets which bits. Measurements hold what storing a weight in some way   *|
|* costs; solving them for a budget gives a plan, which is a JSON file that   *|
|* people edit (docs/Plan.md, docs/Measurements.md). Statistics are what      *|
|* `cq calibrate` measured of the inputs of layers (docs/Statistics.md).      *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef CQ_C_PLAN_H
#define CQ_C_PLAN_H

#include "cq-c/Weight.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CqStatistics_ *CqStatistics;
typedef struct CqMeasurements_ *CqMeasurements;
typedef struct CqPlan_ *CqPlan;

/*===-- Statistics --------------------------------------------------------===*/

typedef enum {
  CQ_STATISTICS_MEAN_SQUARES = 0,  /**< float [k], E[x^2] */
  CQ_STATISTICS_FISHER = 1,        /**< float [n, k], E[g^2] */
  CQ_STATISTICS_SECOND_MOMENTS = 2 /**< double [k (k+1) / 2], E[x x^T] */
} CqStatisticsKind;

/** Opens a statistics file; it is mapped, not read. Everything below reads
 * only. */
CQ_C_EXPORTED CqStatistics cqStatisticsOpen(const char *path);

/** 1 where the file has this of the weight, 0 where not; -1 on error. */
CQ_C_EXPORTED int cqStatisticsHas(CqStatistics statistics, const char *weight,
                                  int kind);

/** Copies it to `out`, which has room for `count` elements of the kind's type;
 * `count` must be exact. Errors: absent, another shape than W [n, k]. */
CQ_C_EXPORTED int cqStatisticsRead(CqStatistics statistics, const char *weight,
                                   int kind, int64_t n, int64_t k, void *out,
                                   size_t count);

CQ_C_EXPORTED void cqStatisticsFree(CqStatistics statistics);

/*===-- Measurements ------------------------------------------------------===*/

/** Empty measurements of a loss: "weight" (relative error of the weights, needs
 * no data), "output" or "fisher" (need statistics), NULL: the best that the
 * statistics allow. `statistics` may be NULL and is kept alive. */
CQ_C_EXPORTED CqMeasurements cqMeasurementsCreate(const char *loss,
                                                  CqStatistics statistics);

/** From JSON Lines, `length` bytes, or from a file. */
CQ_C_EXPORTED CqMeasurements cqMeasurementsParse(const char *text,
                                                 size_t length);
CQ_C_EXPORTED CqMeasurements cqMeasurementsRead(const char *path);

/** Measures what each of `choices` (separated by commas; NULL: 2 to 8 bits with
 * and without cherries) costs W [n, k]; adds to what is known of `weight`.
 * Only on measurements that were created here. */
CQ_C_EXPORTED int cqMeasurementsAdd(CqMeasurements measurements,
                                    const char *weight, const float *w,
                                    int64_t n, int64_t k, const char *choices);

/** The loss of a weight stored so; NaN on error, also where it was not
 * measured. Reads only. */
CQ_C_EXPORTED double cqMeasurementsLoss(CqMeasurements measurements,
                                        const char *weight, const char *choice);

/** As JSON Lines. Reads only. Free with cqStringFree. */
CQ_C_EXPORTED char *cqMeasurementsPrint(CqMeasurements measurements);

CQ_C_EXPORTED void cqMeasurementsFree(CqMeasurements measurements);

/*===-- Plans -------------------------------------------------------------===*/

/** A weight that a plan is to say something of. */
typedef struct CqWeightFacts {
  const char *name;
  int64_t n, k;
  /** Not 0: an embedding or a head, which gets `outer` outside of a budget in
   * bits per weight; nothing needs to be measured of it. */
  int is_outer;
} CqWeightFacts;

typedef struct CqSolveOptions {
  size_t struct_size; /**< sizeof(CqSolveOptions) */
  /** The budget: bits per weight over what is decided, or bytes of everything.
   * One of the two, the other 0. */
  double bits_per_weight;
  int64_t bytes;
  /** What weights may become, separated by commas; NULL: what was measured of
   * all of them. */
  const char *choices;
  const char *outer;    /**< NULL: b8-g64-symmetric-f16 */
  const char *method;   /**< exact (NULL), bound, greedy, uniform, random … */
  const char *keep;     /**< REGEX,REGEX… left as they are; may be NULL */
  const char *override; /**< REGEX:CHOICE,…; may be NULL */
  const char *floors;   /**< REGEX:BITS,…; may be NULL */
  const char *ceilings; /**< REGEX:BITS,…; may be NULL */
  uint64_t seed;        /**< of method random */
  unsigned curve;       /**< points of the record's curve; 0: none */
} CqSolveOptions;

/** The plan of the least sum of losses within the budget. `facts` [count]; NULL
 * and 0: the weights that were measured. Errors: a budget that cannot be met
 * (the sentence has the range), losses that were not measured, patterns that
 * match nothing. Reads only. */
CQ_C_EXPORTED CqPlan cqPlanSolve(CqMeasurements measurements,
                                 const CqWeightFacts *facts, size_t count,
                                 const CqSolveOptions *options);

/** A plan of JSON text (`length` bytes) or of a file. Errors name the weight.
 */
CQ_C_EXPORTED CqPlan cqPlanParse(const char *json, size_t length);
CQ_C_EXPORTED CqPlan cqPlanRead(const char *path);

/** As JSON text. Reads only. Free with cqStringFree. */
CQ_C_EXPORTED char *cqPlanPrint(CqPlan plan);
CQ_C_EXPORTED int cqPlanWrite(CqPlan plan, const char *path);

/** Number of weights; -1 on error. Reads only. */
CQ_C_EXPORTED int64_t cqPlanSize(CqPlan plan);

/** Name and choice of a weight; a kept one's choice is "keep". NULL on error.
 * Both read only. Free with cqStringFree. */
CQ_C_EXPORTED char *cqPlanWeight(CqPlan plan, int64_t index);
CQ_C_EXPORTED char *cqPlanChoice(CqPlan plan, const char *weight);

/** Stores a weight another way; the reason becomes "by hand". The record of a
 * solved plan (what it could have become) goes, because it no longer holds. */
CQ_C_EXPORTED int cqPlanSetChoice(CqPlan plan, const char *weight,
                                  const char *choice);

/** Bytes and bits per weight of what is quantized; -1 on error. Read only. */
CQ_C_EXPORTED int64_t cqPlanBytes(CqPlan plan);
CQ_C_EXPORTED double cqPlanBitsPerWeight(CqPlan plan);

/** Checks a plan against weights: each is there once, with its shape, and
 * every choice is possible for it. Reads only. */
CQ_C_EXPORTED int cqPlanVerify(CqPlan plan, const CqWeightFacts *facts,
                               size_t count);

CQ_C_EXPORTED void cqPlanFree(CqPlan plan);

#ifdef __cplusplus
}
#endif

#endif /* CQ_C_PLAN_H */
