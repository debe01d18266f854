//===- CQDetail.h - What the files of the cq dialect share ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_DIALECT_CQ_IR_CQDETAIL_H
#define CQ_LIB_DIALECT_CQ_IR_CQDETAIL_H

#include "cq/Dialect/CQ/IR/CQ.h"

namespace mlir::cq::detail {

/// Attaches BufferizableOpInterface to the ops of the running model. Attached
/// with the dialect, so that a plugin needs no registration call of its own.
void attachBufferization(MLIRContext *context);

/// Checks that `planes` are what shape and attributes demand; emits the error.
/// Ops that keep stored rows as they are know no order (`knowsOrder`).
LogicalResult verifyPlanes(Operation *op, int64_t n, int64_t k,
                           SchemeAttr scheme, LayoutAttr layout,
                           CherriesAttr cherries, const Planes &planes,
                           bool knowsOrder = false);

/// Emits `error` on `op`, if it is one.
LogicalResult emitIfError(Operation *op, llvm::Error error);

} // namespace mlir::cq::detail

#endif // CQ_LIB_DIALECT_CQ_IR_CQDETAIL_H
