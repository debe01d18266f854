//===- HostValues.h - What a launch may know before it runs -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_LINALGTOGPU_HOSTVALUES_H
#define CQ_LIB_CONVERSION_LINALGTOGPU_HOSTVALUES_H

#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/Value.h"

namespace mlir::cq {

/// A strided view of a buffer: element (i, j, …) lies at
/// constant + offset + i · strides[0] + j · strides[1] + ….
struct BufferView {
  Value base;
  int64_t constant = 0; ///< elements
  Value offset;         ///< null: none
  SmallVector<OpFoldResult> sizes, strides;
};

/// The view that a memref is. Creates host ops where the builder stands.
FailureOr<BufferView> viewOf(OpBuilder &builder, Value memref);

/// The largest value of an index that is computed from scalar arguments, each
/// at most `maxScalar`; all uses are sums, products and affine maps that grow
/// with them. Nothing where it cannot be told.
std::optional<int64_t> largest(OpFoldResult value, int64_t maxScalar);

} // namespace mlir::cq

#endif // CQ_LIB_CONVERSION_LINALGTOGPU_HOSTVALUES_H
