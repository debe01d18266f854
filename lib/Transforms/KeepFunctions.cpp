//===- KeepFunctions.cpp - Only what a driver calls -----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

namespace mlir::cq {
#define GEN_PASS_DEF_KEEPFUNCTIONS
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

namespace {
struct KeepFunctionsPass
    : mlir::cq::impl::KeepFunctionsBase<KeepFunctionsPass> {
  using KeepFunctionsBase::KeepFunctionsBase;

  void runOnOperation() override {
    // Private, they go with the rest, unless something that stays calls them.
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function.isPublic() && !isWanted(function.getSymName())) {
        function.setPrivate();
        ++numErased;
      }
    OpPassManager pm(ModuleOp::getOperationName());
    pm.addPass(createSymbolDCEPass());
    if (failed(runPipeline(pm, getOperation())))
      signalPassFailure();
  }

  bool isWanted(StringRef name) {
    return llvm::any_of(functions, [&](StringRef wanted) {
      return wanted.consume_back("*") ? name.starts_with(wanted)
                                      : name == wanted;
    });
  }
};
} // namespace
