//===- RunBehind.h - Work that moves behind what follows it -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Passes that put several operations of a block into one launch run it where
// the last of them stood.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TRANSFORMS_RUNBEHIND_H
#define CQ_TRANSFORMS_RUNBEHIND_H

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::cq {

/// Whether work on buffers in front of `op` may run behind it, when
/// deallocations follow the work (moveDeallocationsBehind).
inline bool mayBePassed(Operation *op) {
  return isa<memref::AllocOp, memref::DeallocOp>(op) ||
         (isPure(op) && op->getNumRegions() == 0);
}

/// Moves the deallocations of [first, last) behind `last`: what now runs there
/// still reads what they free.
inline void moveDeallocationsBehind(Operation *first, Operation *last) {
  for (Operation *op = first, *next; op != last; op = next) {
    next = op->getNextNode();
    if (isa<memref::DeallocOp>(op))
      op->moveAfter(last);
  }
}

} // namespace mlir::cq

#endif // CQ_TRANSFORMS_RUNBEHIND_H
