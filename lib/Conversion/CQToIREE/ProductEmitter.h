//===- ProductEmitter.h - Products in the forms IREE knows ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOIREE_PRODUCTEMITTER_H
#define CQ_LIB_CONVERSION_CQTOIREE_PRODUCTEMITTER_H

#include "StoredWeight.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::cq {
class DynamicQuantizeOp;
class GatherOp;
class MatmulOp;
} // namespace mlir::cq

namespace mlir::cq::toiree {

/// The value of a plane, by the name it has in StoredWeight::planes().
using LoadPlane = llvm::function_ref<Value(ImplicitLocOpBuilder &, StringRef)>;

RankedTensorType typeOf(MLIRContext *context, const StoredPlane &plane);

/// What a product computes, [M, N], with planes stored anew.
Value emitProduct(ImplicitLocOpBuilder &b, MatmulOp op,
                  const StoredWeight &weight, LoadPlane load);
/// Column i of the result is column positions[i] of `stored`: the row of W.
Value restoreOrder(ImplicitLocOpBuilder &b, Value stored, Value positions);
/// What a gather of rows of one width computes.
Value emitGather(ImplicitLocOpBuilder &b, GatherOp op,
                 const StoredWeight &weight, LoadPlane load);

/// Codes, scales and sums. (The reference lowering finds a column's group by
/// division in an indexing map, which IREE cannot tile.)
SmallVector<Value> emitDynamicQuantize(ImplicitLocOpBuilder &b,
                                       DynamicQuantizeOp op);

} // namespace mlir::cq::toiree

#endif // CQ_LIB_CONVERSION_CQTOIREE_PRODUCTEMITTER_H
