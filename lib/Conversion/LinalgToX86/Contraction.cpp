//===- Contraction.cpp - Matrix products to kernel calls ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"

using namespace mlir;
using namespace mlir::cq;

LogicalResult ContractionLowering::lower(RewriterBase &rewriter,
                                         linalg::LinalgOp op) {
  return failure();
}
