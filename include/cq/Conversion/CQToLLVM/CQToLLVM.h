//===- CQToLLVM.h - cq ops to calls of the runtime --------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTOLLVM_CQTOLLVM_H
#define CQ_CONVERSION_CQTOLLVM_CQTOLLVM_H

#include "mlir/Pass/Pass.h"

namespace mlir::cq {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "cq/Conversion/CQToLLVM/CQToLLVM.h.inc"

} // namespace mlir::cq

#endif // CQ_CONVERSION_CQTOLLVM_CQTOLLVM_H
