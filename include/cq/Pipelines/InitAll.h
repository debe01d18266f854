//===- InitAll.h - Everything cq adds to an MLIR tool -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_PIPELINES_INITALL_H
#define CQ_PIPELINES_INITALL_H

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace mlir::cq {

/// The cq dialect, and the interfaces that cq attaches to upstream ops.
void registerAllDialects(DialectRegistry &registry);

/// Every pass and pipeline of cq.
void registerAllPasses();

} // namespace mlir::cq

#endif // CQ_PIPELINES_INITALL_H
