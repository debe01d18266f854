//===- Activity.cpp - What depends on the weights, through calls --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FunctionDerivatives.h"
#include "Reverse.h"
#include "cq/Analysis/WeightTracing.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"

using namespace mlir;
using namespace mlir::cq;

StringAttr Activity::getTarget(Operation *op) const {
  SymbolRefAttr symbol;
  if (auto load = dyn_cast<ml_program::GlobalLoadOp>(op))
    symbol = load.getGlobal();
  else if (auto load = dyn_cast<ml_program::GlobalLoadConstOp>(op))
    symbol = load.getGlobal();
  StringAttr name = symbol ? symbol.getLeafReference() : StringAttr();
  return name && targets.globals.contains(name) ? name : StringAttr();
}

/// Whether `value` is a weight but for its shape or the order of its
/// dimensions.
static bool isWeight(Value value, const DenseSet<Value> &weights) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type)
    return false;
  WeightDims dims = WeightTracing::getGatherDims(type);
  return weights.contains(WeightTracing::traceLocally(value, dims).root);
}

void Activity::collect(Block &block, const FunctionActivity &about,
                       DenseSet<Value> &active,
                       DenseSet<Value> &weights) const {
  for (unsigned i : about.arguments.set_bits())
    active.insert(block.getArgument(i));
  for (unsigned i : about.weights.set_bits())
    weights.insert(block.getArgument(i));
  for (Operation &op : block) {
    if (getTarget(&op)) {
      active.insert(op.getResult(0));
      weights.insert(op.getResult(0));
      continue;
    }
    if (auto call = dyn_cast<func::CallOp>(op)) {
      auto callee = activities.find(getCallee(call));
      if (callee != activities.end() && readsActive(call, active))
        for (unsigned i : callee->second.results.set_bits())
          active.insert(call.getResult(i));
      continue;
    }
    propagateActivity(&op, active);
    for (Value result : op.getResults())
      if (active.contains(result) && isWeight(result, weights))
        weights.insert(result);
  }
}

static void unite(llvm::BitVector &set, unsigned size,
                  const llvm::BitVector &more, bool &changed) {
  set.resize(size);
  llvm::BitVector before = set;
  set |= more;
  changed |= set != before;
}

LogicalResult Activity::visit(func::FuncOp function) {
  if (!function.getBody().hasOneBlock())
    return function.emitError("has a body of several blocks, which is not "
                              "differentiated");
  if (llvm::is_contained(path, function))
    return function.emitError("calls itself, which is not differentiated");
  path.push_back(function);
  Block &block = function.front();
  DenseSet<Value> active, weights;
  collect(block, activities[function], active, weights);
  for (Operation &op : block) {
    auto call = dyn_cast<func::CallOp>(op);
    if (!call || !readsActive(call, active))
      continue;
    func::FuncOp callee = getCallee(call);
    if (!callee || callee.isExternal())
      return call.emitError() << "calls @" << call.getCallee()
                              << ", which has no body to differentiate";
    unsigned size = call.getNumOperands();
    llvm::BitVector arguments(size), callWeights(size);
    for (auto [i, operand] : llvm::enumerate(call.getOperands())) {
      arguments[i] = active.contains(operand);
      callWeights[i] = arguments[i] && isWeight(operand, weights);
    }
    auto [entry, isNew] = activities.try_emplace(callee);
    FunctionActivity &about = entry->second;
    unite(about.arguments, size, arguments, changed);
    // A weight in one call and a plain value in another is no weight.
    if (isNew)
      about.weights = callWeights;
    else if (llvm::BitVector common = about.weights;
             (common &= callWeights) != about.weights) {
      about.weights = common;
      changed = true;
    }
    if (failed(visit(callee)))
      return failure();
    collect(block, activities[function], active, weights);
  }
  Operation *terminator = block.getTerminator();
  llvm::BitVector results(terminator->getNumOperands());
  for (auto [i, value] : llvm::enumerate(terminator->getOperands()))
    results[i] = active.contains(value);
  unite(activities[function].results, results.size(), results, changed);
  path.pop_back();
  return success();
}

/// Below the root, a weight would be found by no derivative.
LogicalResult Activity::checkLoads(func::FuncOp function) {
  for (Operation &op : function.getBody().getOps()) {
    auto call = dyn_cast<func::CallOp>(op);
    func::FuncOp callee = call ? getCallee(call) : func::FuncOp();
    if (!callee || callee.isExternal() || !checked.insert(callee).second)
      continue;
    for (Operation &inner : callee.getBody().getOps())
      if (getTarget(&inner))
        return inner.emitError()
               << "loads a differentiated weight inside of @"
               << callee.getSymName()
               << "; load it in the caller and pass it as an argument";
    if (failed(checkLoads(callee)))
      return failure();
  }
  return success();
}

LogicalResult Activity::solve(func::FuncOp root) {
  if (failed(checkLoads(root)))
    return failure();
  FunctionActivity &about = activities[root];
  about.arguments = targets.arguments;
  about.weights.resize(root.getNumArguments());
  do {
    changed = false;
    if (failed(visit(root)))
      return failure();
  } while (changed);
  return success();
}
