//===- KernelCall.h - Products that call our kernels in IREE ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOIREE_KERNELCALL_H
#define CQ_LIB_CONVERSION_CQTOIREE_KERNELCALL_H

#include "KernelObject.h"
#include "ProductEmitter.h"

namespace mlir::cq::toiree {

/// A known number of tokens, and a weight that a kernel can be written for.
bool canCallKernel(MatmulOp op);

/// What a product computes, [M, N], by an entry of `kernels` that IREE finds in
/// the object file `path`.
Value emitKernelCall(ImplicitLocOpBuilder &b, MatmulOp op,
                     const StoredWeight &weight, LoadPlane load,
                     KernelObject &kernels, StringRef path);

} // namespace mlir::cq::toiree

#endif // CQ_LIB_CONVERSION_CQTOIREE_KERNELCALL_H
