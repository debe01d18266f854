//===- InlineWeightFunctions.h - Planes next to their globals ---*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOIREE_INLINEWEIGHTFUNCTIONS_H
#define CQ_LIB_CONVERSION_CQTOIREE_INLINEWEIGHTFUNCTIONS_H

#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq::toiree {

/// Puts private functions that hold cq ops, or call such functions, in place
/// of their calls and erases those that nobody calls any more. Functions of
/// several blocks and recursive ones are errors.
LogicalResult inlineWeightFunctions(ModuleOp module);

} // namespace mlir::cq::toiree

#endif // CQ_LIB_CONVERSION_CQTOIREE_INLINEWEIGHTFUNCTIONS_H
