//===- CQToLinalg.h - The cq dialect to linalg ------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTOLINALG_CQTOLINALG_H
#define CQ_CONVERSION_CQTOLINALG_CQTOLINALG_H

#include "mlir/Pass/Pass.h"

namespace mlir {
class RewritePatternSet;
} // namespace mlir

namespace mlir::cq {

#define GEN_PASS_DECL_CONVERTCQTOLINALG
#define GEN_PASS_REGISTRATION
#include "cq/Conversion/CQToLinalg/CQToLinalg.h.inc"

/// Patterns of every op that has a linalg form. They build on one another
/// (`cq.matmul` makes a `cq.unpack`), so add them all.
void populateCQToLinalgPatterns(RewritePatternSet &patterns);
/// cq.gather to linalg; other ops of the dialect stay.
std::unique_ptr<Pass> createConvertGathers();

} // namespace mlir::cq

#endif // CQ_CONVERSION_CQTOLINALG_CQTOLINALG_H
