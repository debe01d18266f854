//===- TensorReshaping.h - Views and moves of tensors in IR -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_DIALECT_CQ_TRANSFORMS_TENSORRESHAPING_H
#define CQ_LIB_DIALECT_CQ_TRANSFORMS_TENSORRESHAPING_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"

namespace mlir::cq {

/// `value` with its dimensions permuted: result dimension i = dimension
/// permutation[i]. Nothing is built for the identity.
Value createTranspose(OpBuilder &b, Location loc, Value value,
                      ArrayRef<int64_t> permutation);

/// `value` with float elements of another type, as linalg.generic.
Value createFloatCast(OpBuilder &b, Location loc, Value value, Type type);

/// Neighbouring dimensions joined: groups[i] dimensions become dimension i; an
/// empty group becomes a dimension of size 1.
Value createCollapse(OpBuilder &b, Location loc, Value value,
                     ArrayRef<int64_t> groups);

/// Inverse of createCollapse: dimension i becomes groups[i] dimensions of the
/// given sizes (in order, all groups together).
Value createExpand(OpBuilder &b, Location loc, Value value,
                   ArrayRef<int64_t> groups, ArrayRef<OpFoldResult> sizes);

/// The elements in order, in another static shape.
Value createReshape(OpBuilder &b, Location loc, Value value,
                    ArrayRef<int64_t> shape);

/// tensor.empty with the given sizes.
Value createEmpty(OpBuilder &b, Location loc, ArrayRef<OpFoldResult> sizes,
                  Type elementType);

/// The sizes of a tensor, constants where static.
SmallVector<OpFoldResult> getSizes(OpBuilder &b, Location loc, Value value);

} // namespace mlir::cq

#endif // CQ_LIB_DIALECT_CQ_TRANSFORMS_TENSORRESHAPING_H
