//===- Loops.h - Linalg on buffers to loops ------------------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_LINALGTOX86_LOOPS_H
#define CQ_CONVERSION_LINALGTOX86_LOOPS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace mlir::cq {

/// Replaces `op` (on buffers) by scf.for loops. When the innermost loop is a
/// reduction, all reductions are moved inside and carry their sums in
/// registers, with `reassoc` on the combining operations, so that LLVM
/// vectorizes them; other ops keep the order of their loops. Maxima of
/// contiguous rows, which LLVM leaves scalar, are vectors of `lanes` f32.
LogicalResult lowerToLoops(RewriterBase &rewriter, linalg::LinalgOp op,
                           unsigned lanes);

} // namespace mlir::cq

#endif // CQ_CONVERSION_LINALGTOX86_LOOPS_H
