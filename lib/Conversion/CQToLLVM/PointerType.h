//===- PointerType.h - Memrefs that an address says all of ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOLLVM_POINTERTYPE_H
#define CQ_LIB_CONVERSION_CQTOLLVM_POINTERTYPE_H

#include "mlir/IR/BuiltinTypes.h"

namespace mlir::cq {

/// Whether a memref is its address: everything else is in its type.
inline bool isPointer(Type type) {
  auto memref = dyn_cast<MemRefType>(type);
  return memref && memref.hasStaticShape() && memref.getLayout().isIdentity();
}

} // namespace mlir::cq

#endif // CQ_LIB_CONVERSION_CQTOLLVM_POINTERTYPE_H
