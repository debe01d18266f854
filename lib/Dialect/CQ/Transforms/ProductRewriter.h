//===- ProductRewriter.h - Products and gathers on planes -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_DIALECT_CQ_TRANSFORMS_PRODUCTREWRITER_H
#define CQ_LIB_DIALECT_CQ_TRANSFORMS_PRODUCTREWRITER_H

#include "PlaneBuilder.h"
#include "cq/Analysis/WeightTracing.h"

namespace mlir::cq {

/// Replaces a product by cq.matmul (one for each matrix of a stack), moving
/// activations to [M, K] and the result back.
void rewriteProduct(const WeightUse &use, const WeightForm &form,
                    ArrayRef<Planes> planes, ArrayRef<PlannedAttributes> attrs,
                    ActivationMode mode);

/// Replaces a gather of rows by cq.gather.
void rewriteGather(const GatherUse &use, const Planes &planes,
                   const PlannedAttributes &attrs);

} // namespace mlir::cq

#endif // CQ_LIB_DIALECT_CQ_TRANSFORMS_PRODUCTREWRITER_H
