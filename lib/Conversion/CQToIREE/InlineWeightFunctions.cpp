//===- InlineWeightFunctions.cpp - Planes next to their globals -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "InlineWeightFunctions.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace mlir::cq;

namespace {
class Inliner {
public:
  explicit Inliner(ModuleOp module) : module(module), symbols(module) {}

  LogicalResult run() {
    SmallVector<func::FuncOp> functions(module.getOps<func::FuncOp>());
    for (func::FuncOp function : functions)
      if (failed(visit(function)))
        return failure();
    for (func::FuncOp function : functions)
      if (holds.contains(function) && function.isPrivate() &&
          SymbolTable::symbolKnownUseEmpty(function, module))
        function.erase();
    return success();
  }

private:
  /// Inlines what `function` calls, callees first.
  LogicalResult visit(func::FuncOp function) {
    if (!visited.insert(function).second)
      return success();
    active.insert(function);
    SmallVector<func::CallOp> calls;
    bool own = false;
    function.walk([&](Operation *op) {
      if (auto call = dyn_cast<func::CallOp>(op))
        calls.push_back(call);
      own |= isa_and_nonnull<CQDialect>(op->getDialect());
    });
    for (func::CallOp call : calls) {
      auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
      if (!callee || callee.isExternal())
        continue;
      if (active.contains(callee))
        return call.emitOpError("is recursive: weights cannot be inlined");
      if (failed(visit(callee)))
        return failure();
      if (!holds.contains(callee))
        continue;
      own = true;
      if (failed(inlineCall(call, callee)))
        return failure();
    }
    active.erase(function);
    if (own)
      holds.insert(function);
    return success();
  }

  LogicalResult inlineCall(func::CallOp call, func::FuncOp callee) {
    if (!callee.getBody().hasOneBlock())
      return callee.emitOpError("has weights and several blocks; only "
                                "functions of one block are inlined");
    OpBuilder b(call);
    IRMapping mapping;
    mapping.map(callee.getArguments(), call.getOperands());
    Block &body = callee.getBody().front();
    for (Operation &op : body.without_terminator())
      b.clone(op, mapping);
    for (auto [result, value] : llvm::zip_equal(
             call.getResults(), body.getTerminator()->getOperands()))
      result.replaceAllUsesWith(mapping.lookupOrDefault(value));
    call.erase();
    return success();
  }

  ModuleOp module;
  SymbolTable symbols;
  DenseSet<Operation *> visited, active, holds;
};
} // namespace

LogicalResult toiree::inlineWeightFunctions(ModuleOp module) {
  return Inliner(module).run();
}
