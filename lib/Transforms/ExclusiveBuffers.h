//===- ExclusiveBuffers.h - Buffers that have one name only -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_TRANSFORMS_EXCLUSIVEBUFFERS_H
#define CQ_LIB_TRANSFORMS_EXCLUSIVEBUFFERS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/DenseMap.h"

namespace mlir::cq {

/// The buffer that a value is a view of.
Value getBase(Value value);

/// Which buffers no value but their own views can be: those allocated in the
/// function, and arguments for which every caller gives a buffer of its own.
/// Valid while calls and allocations stay as they are.
class ExclusiveBuffers {
public:
  explicit ExclusiveBuffers(ModuleOp module);
  bool contains(Value base);

private:
  /// Calls of each function; no entry where it is used in another way too.
  llvm::DenseMap<StringAttr, SmallVector<func::CallOp>> callers;
  llvm::DenseMap<Value, bool> arguments;
};

} // namespace mlir::cq

#endif // CQ_LIB_TRANSFORMS_EXCLUSIVEBUFFERS_H
