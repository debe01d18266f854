//===- CQToIREE.h - The cq dialect to what IREE compiles --------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTOIREE_CQTOIREE_H
#define CQ_CONVERSION_CQTOIREE_CQTOIREE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace mlir::cq {

#define GEN_PASS_DECL_CQEXPORTIREE
#define GEN_PASS_REGISTRATION
#include "cq/Conversion/CQToIREE/CQToIREE.h.inc"

} // namespace mlir::cq

#endif // CQ_CONVERSION_CQTOIREE_CQTOIREE_H
