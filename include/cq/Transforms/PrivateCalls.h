//===- PrivateCalls.h - Functions whose callers are known ----- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TRANSFORMS_PRIVATECALLS_H
#define CQ_TRANSFORMS_PRIVATECALLS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/MapVector.h"

namespace mlir::cq {

using PrivateCalls = llvm::MapVector<func::FuncOp, SmallVector<func::CallOp>>;

/// The private functions of `module` that nothing but calls refers to, in
/// order, with those calls: their arguments may change together. None where the
/// module holds an operation with unknown symbols.
PrivateCalls getPrivateCalls(ModuleOp module);

} // namespace mlir::cq

#endif // CQ_TRANSFORMS_PRIVATECALLS_H
