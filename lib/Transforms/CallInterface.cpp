//===- CallInterface.cpp - The C interface of a model module --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Transforms/CallInterface.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"

using namespace mlir;
using namespace mlir::cq;

SmallVector<ml_program::GlobalOp>
mlir::cq::getParameterGlobals(ModuleOp module) {
  SmallVector<ml_program::GlobalOp> globals;
  for (auto global : module.getOps<ml_program::GlobalOp>())
    if (isa_and_nonnull<ml_program::ExternAttr>(global.getValueAttr()))
      globals.push_back(global);
  return globals;
}

std::string mlir::cq::getEntryPointName(StringRef functionName) {
  return ("cq_" + functionName).str();
}

/// The value that `value` is an update of, or null.
static Value getUpdatedValue(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return nullptr;
  if (auto insert = dyn_cast<tensor::InsertSliceOp>(op))
    return insert.getDest();
  if (auto insert = dyn_cast<tensor::InsertOp>(op))
    return insert.getDest();
  if (auto cast = dyn_cast<tensor::CastOp>(op))
    return cast.getSource();
  auto result = cast<OpResult>(value);
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return loop.getInitArgs()[result.getResultNumber()];
  if (auto call = dyn_cast<func::CallOp>(op)) {
    auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
        call, call.getCalleeAttr());
    if (!callee)
      return nullptr;
    if (auto argument = getUpdatedArgument(callee, result.getResultNumber()))
      return call.getOperand(*argument);
    return nullptr;
  }
  if (auto destination = dyn_cast<DestinationStyleOpInterface>(op))
    return destination.getTiedOpOperand(result)->get();
  return nullptr;
}

std::optional<unsigned> mlir::cq::getUpdatedArgument(func::FuncOp function,
                                                     unsigned index) {
  if (function.isExternal() || !function.getBody().hasOneBlock())
    return std::nullopt;
  Value value = function.front().getTerminator()->getOperand(index);
  Type type = value.getType();
  while (value) {
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      if (argument.getOwner() == &function.front() &&
          argument.getType() == type)
        return argument.getArgNumber();
      // The body of a loop is entered only through its result.
      return std::nullopt;
    }
    value = getUpdatedValue(value);
  }
  return std::nullopt;
}

SmallVector<std::optional<unsigned>>
mlir::cq::getUpdatedArguments(func::FuncOp function) {
  SmallVector<std::optional<unsigned>> updated;
  if (auto recorded =
          function->getAttrOfType<DenseI64ArrayAttr>(kUpdatesAttrName);
      recorded && recorded.size() == function.getNumResults()) {
    for (int64_t argument : recorded.asArrayRef())
      updated.push_back(argument < 0 ? std::nullopt
                                     : std::optional<unsigned>(argument));
    return updated;
  }
  for (unsigned i = 0, e = function.getNumResults(); i < e; ++i) {
    auto argument = getUpdatedArgument(function, i);
    updated.push_back(llvm::is_contained(updated, argument) ? std::nullopt
                                                            : argument);
  }
  return updated;
}

void mlir::cq::recordUpdatedArguments(ModuleOp module) {
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isExternal() || !function.isPublic())
      continue;
    SmallVector<int64_t> updated;
    for (std::optional<unsigned> argument : getUpdatedArguments(function))
      updated.push_back(argument ? static_cast<int64_t>(*argument) : -1);
    function->setAttr(kUpdatesAttrName,
                      DenseI64ArrayAttr::get(module.getContext(), updated));
  }
}
