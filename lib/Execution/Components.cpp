//===- Components.cpp - A module as modules that share no code ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Components.h"
#include "cq/Transforms/CallInterface.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace mlir::cq;

static unsigned countOperations(Operation *op) {
  unsigned count = 0;
  op->walk([&](Operation *) { ++count; });
  return count;
}

SmallVector<ModuleOp> mlir::cq::splitIntoComponents(ModuleOp module,
                                                    unsigned smallest) {
  SmallVector<ml_program::GlobalOp> parameters = getParameterGlobals(module);
  llvm::SmallPtrSet<Operation *, 32> shared(parameters.begin(),
                                            parameters.end());
  SymbolTable symbols(module);
  llvm::EquivalenceClasses<Operation *> classes;
  SmallVector<Operation *> members;
  for (Operation &op : module.getBody()->getOperations()) {
    if (shared.contains(&op))
      continue;
    auto uses = SymbolTable::getSymbolUses(&op);
    // What it refers to is unknown, or nothing can refer to it.
    if (!uses || !op.hasAttr(SymbolTable::getSymbolAttrName()))
      return {};
    members.push_back(&op);
    classes.insert(&op);
    for (SymbolTable::SymbolUse use : *uses) {
      Operation *used =
          symbols.lookup(use.getSymbolRef().getRootReference().getValue());
      if (!used)
        return {};
      if (!shared.contains(used))
        classes.unionSets(&op, used);
    }
  }
  llvm::MapVector<Operation *, SmallVector<Operation *>> groups;
  llvm::DenseMap<Operation *, unsigned> sizes;
  for (Operation *op : members) {
    Operation *leader = classes.getLeaderValue(op);
    groups[leader].push_back(op);
    sizes[leader] += countOperations(op);
  }
  // Small ones together, and with another if even so they are small.
  SmallVector<SmallVector<Operation *>> parts;
  SmallVector<Operation *> rest;
  unsigned restSize = 0;
  for (auto &[leader, group] : groups) {
    if (sizes[leader] >= smallest) {
      parts.push_back(std::move(group));
      continue;
    }
    rest.append(group);
    restSize += sizes[leader];
  }
  if (!rest.empty() && restSize >= smallest)
    parts.push_back(std::move(rest));
  else if (!parts.empty())
    parts.back().append(rest);
  if (parts.size() < 2)
    return {};

  SmallVector<ModuleOp> components;
  for (ArrayRef<Operation *> part : parts) {
    OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
    auto component = ModuleOp::create(builder, module.getLoc());
    component->setDiscardableAttrs(
        module->getDiscardableAttrDictionary().getValue());
    builder.setInsertionPointToStart(component.getBody());
    for (ml_program::GlobalOp parameter : parameters)
      builder.clone(*parameter);
    for (Operation *op : part)
      op->moveBefore(component.getBody(), component.getBody()->end());
    components.push_back(component);
  }
  for (ml_program::GlobalOp parameter : parameters)
    parameter.erase();
  return components;
}
