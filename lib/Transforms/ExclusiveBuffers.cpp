//===- ExclusiveBuffers.cpp - Buffers that have one name only -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExclusiveBuffers.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace mlir::cq;

Value mlir::cq::getBase(Value value) {
  while (auto view = value.getDefiningOp<ViewLikeOpInterface>())
    value = view.getViewSource();
  return value;
}

ExclusiveBuffers::ExclusiveBuffers(ModuleOp module) {
  llvm::DenseSet<StringAttr> others;
  module.walk([&](Operation *op) {
    if (auto call = dyn_cast<func::CallOp>(op)) {
      callers[call.getCalleeAttr().getAttr()].push_back(call);
      return;
    }
    for (NamedAttribute attribute : op->getAttrs())
      attribute.getValue().walk([&](SymbolRefAttr symbol) {
        others.insert(symbol.getRootReference());
      });
  });
  for (StringAttr name : others)
    callers.erase(name);
}

bool ExclusiveBuffers::contains(Value base) {
  if (base.getDefiningOp<memref::AllocOp>())
    return true;
  auto argument = dyn_cast<BlockArgument>(base);
  if (!argument || !argument.getOwner()->isEntryBlock())
    return false;
  auto function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
  if (!function || !function.isPrivate())
    return false;
  auto [known, fresh] = arguments.try_emplace(base, false);
  if (!fresh)
    return known->second;
  auto calls = callers.find(function.getSymNameAttr());
  if (calls == callers.end())
    return false;
  bool result = llvm::all_of(calls->second, [&](func::CallOp call) {
    Value given = getBase(call.getOperand(argument.getArgNumber()));
    if (!given.getDefiningOp<memref::AllocOp>())
      return false;
    return llvm::none_of(llvm::enumerate(call.getOperands()), [&](auto other) {
      return other.index() != argument.getArgNumber() &&
             getBase(other.value()) == given;
    });
  });
  return arguments[base] = result;
}
