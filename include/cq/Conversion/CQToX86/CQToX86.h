//===- CQToX86.h - convert-cq-to-x86 ----------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTOX86_CQTOX86_H
#define CQ_CONVERSION_CQTOX86_CQTOX86_H

#include "cq/Conversion/CQToX86/ISA.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Pass/Pass.h"
#include "llvm/ADT/StringMap.h"

namespace mlir {
class RewritePatternSet;
} // namespace mlir

namespace mlir::cq {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "cq/Conversion/CQToX86/CQToX86Passes.h.inc"

namespace x86 {

/// The kernels of one module: each is written once.
class KernelCache {
public:
  explicit KernelCache(ModuleOp module) : module(module), symbols(module) {}
  using Build = llvm::function_ref<func::FuncOp(OpBuilder &, StringRef name)>;
  /// The kernel of this name and these argument types, built on first demand.
  func::FuncOp get(StringRef name, TypeRange arguments, Build build);
  unsigned size() const { return kernels.size(); }

private:
  ModuleOp module;
  SymbolTable symbols;
  llvm::StringMap<func::FuncOp> kernels;
};

} // namespace x86

/// Patterns for the three ops on memrefs. `cache` must outlive them.
void populateCQToX86Patterns(RewritePatternSet &patterns, x86::ISA isa,
                             x86::KernelCache &cache);

} // namespace mlir::cq

#endif // CQ_CONVERSION_CQTOX86_CQTOX86_H
