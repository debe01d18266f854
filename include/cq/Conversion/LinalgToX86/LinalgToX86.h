//===- LinalgToX86.h - Linalg on buffers to x86 code ---------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_LINALGTOX86_LINALGTOX86_H
#define CQ_CONVERSION_LINALGTOX86_LINALGTOX86_H

#include "mlir/Pass/Pass.h"

namespace mlir::cq {

#define GEN_PASS_DECL_CONVERTATTENTIONTOX86
#define GEN_PASS_DECL_CONVERTLINALGTOX86
#define GEN_PASS_REGISTRATION
#include "cq/Conversion/LinalgToX86/LinalgToX86.h.inc"

} // namespace mlir::cq

#endif // CQ_CONVERSION_LINALGTOX86_LINALGTOX86_H
