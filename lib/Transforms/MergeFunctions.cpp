//===- MergeFunctions.cpp - Equal private functions become one ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FunctionText.h"
#include "cq/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::cq {
#define GEN_PASS_DEF_MERGEFUNCTIONS
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {
struct MergeFunctionsPass
    : mlir::cq::impl::MergeFunctionsBase<MergeFunctionsPass> {
  void runOnOperation() override {
    while (mergeOnce())
      ;
  }

  bool mergeOnce() {
    ModuleOp module = getOperation();
    llvm::StringMap<func::FuncOp> first;
    llvm::DenseMap<StringAttr, FlatSymbolRefAttr> replaced;
    for (auto function :
         llvm::make_early_inc_range(module.getOps<func::FuncOp>())) {
      if (function.isExternal() || !function.isPrivate())
        continue;
      auto [entry, inserted] =
          first.try_emplace(getFunctionText(function), function);
      if (inserted)
        continue;
      replaced[function.getSymNameAttr()] = FlatSymbolRefAttr::get(
          module.getContext(), entry->second.getSymName());
      function.erase();
      ++numMerged;
    }
    if (replaced.empty())
      return false;
    AttrTypeReplacer replacer;
    replacer.addReplacement(
        [&](FlatSymbolRefAttr symbol) -> std::optional<Attribute> {
          auto it = replaced.find(symbol.getAttr());
          if (it == replaced.end())
            return std::nullopt;
          return it->second;
        });
    module.walk([&](Operation *op) {
      if (isa<CallOpInterface>(op) || isa<SymbolUserOpInterface>(op))
        replacer.replaceElementsIn(op);
    });
    return true;
  }
};
} // namespace
