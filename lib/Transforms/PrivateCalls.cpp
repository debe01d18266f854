//===- PrivateCalls.cpp - Functions whose callers are known ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Transforms/PrivateCalls.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;
using namespace mlir::cq;

PrivateCalls mlir::cq::getPrivateCalls(ModuleOp module) {
  auto uses = SymbolTable::getSymbolUses(&module.getBodyRegion());
  if (!uses)
    return {};
  PrivateCalls callsOf;
  llvm::DenseMap<StringAttr, func::FuncOp> functions;
  for (auto function : module.getOps<func::FuncOp>())
    if (function.isPrivate() && !function.isExternal()) {
      functions[function.getSymNameAttr()] = function;
      callsOf[function] = {};
    }
  for (SymbolTable::SymbolUse use : *uses) {
    auto found = functions.find(use.getSymbolRef().getRootReference());
    if (found == functions.end())
      continue;
    if (auto call = dyn_cast<func::CallOp>(use.getUser())) {
      callsOf[found->second].push_back(call);
    } else {
      // Its address is taken: calls seen later must not bring it back.
      callsOf.erase(found->second);
      functions.erase(found);
    }
  }
  return callsOf;
}
