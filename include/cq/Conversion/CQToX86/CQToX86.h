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

class MatmulOp;

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

  /// The buffer where a product finds x by columns; null: nobody made one.
  void setColumns(Operation *product, Value buffer) {
    columns[product] = buffer;
  }
  Value getColumns(Operation *product) const { return columns.lookup(product); }

private:
  ModuleOp module;
  SymbolTable symbols;
  llvm::StringMap<func::FuncOp> kernels;
  llvm::DenseMap<Operation *, Value> columns;
};

/// Behind each cq.dynamic_quantize of an x that products want by columns: x by
/// columns in a buffer of its own, for all of them.
void transposeActivations(ModuleOp module, KernelCache &cache,
                          llvm::function_ref<bool(MatmulOp)> wanted);

} // namespace x86

/// Patterns for the three ops on memrefs. `cache` must outlive them.
void populateCQToX86Patterns(RewritePatternSet &patterns, x86::ISA isa,
                             x86::KernelCache &cache);

} // namespace mlir::cq

#endif // CQ_CONVERSION_CQTOX86_CQTOX86_H
