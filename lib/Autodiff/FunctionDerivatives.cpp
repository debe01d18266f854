//===- FunctionDerivatives.cpp - Derivatives of functions ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FunctionDerivatives.h"
#include "Reverse.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace mlir::cq;

/// Ops that are there for what they do, like cq.observe: once a run, not again
/// when the way forward is computed again.
static bool isEffect(Operation &op) {
  return op.getNumResults() == 0 && !op.hasTrait<OpTrait::IsTerminator>() &&
         !isMemoryEffectFree(&op);
}

/// Calls are not trivially dead, but in a derivative they are only there for
/// their results.
static void eraseUnread(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op) || (isa<func::CallOp>(op) && op.use_empty()))
      op.erase();
}

/// `function`, or a copy of it and of what it calls that only computes.
func::FuncOp FunctionDerivatives::withoutEffects(func::FuncOp function) {
  auto known = quiet.find(function);
  if (known != quiet.end())
    return known->second;
  func::FuncOp result = function;
  quiet[function] = result;
  if (function.isExternal())
    return result;
  auto copy = cast<func::FuncOp>(function->clone());
  bool differs = false;
  copy.getBody().walk([&](Operation *op) {
    if (isEffect(*op)) {
      op->erase();
      differs = true;
    } else if (auto call = dyn_cast<func::CallOp>(op)) {
      auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
      func::FuncOp other = callee ? withoutEffects(callee) : callee;
      if (other != callee) {
        call.setCallee(other.getSymName());
        differs = true;
      }
    }
  });
  if (!differs) {
    copy.erase();
    return result;
  }
  copy.setPrivate();
  copy.setSymName((function.getSymName() + "_again").str());
  symbols.insert(copy, std::next(Block::iterator(function)));
  return quiet[function] = copy;
}

FailureOr<SmallVector<Value>> FunctionDerivatives::appendReverse(
    func::FuncOp function, const FunctionActivity &about, ValueRange results,
    ValueRange cotangents, Sink sink) {
  Block &block = function.front();
  DenseSet<Value> active, weights;
  activity.collect(block, about, active, weights);
  Adjoints adjoints(std::move(active), this);
  adjoints.weightCotangents = weightCotangents;
  adjoints.weights = std::move(weights);

  SmallVector<Operation *> forward;
  // For each load of a target the one before it.
  llvm::DenseMap<StringAttr, Operation *> lastLoad;
  llvm::DenseMap<Operation *, Operation *> loadBefore;
  for (Operation &op : block) {
    forward.push_back(&op);
    if (StringAttr global = activity.getTarget(&op))
      loadBefore[&op] = std::exchange(lastLoad[global], &op);
  }
  OpBuilder b = OpBuilder::atBlockEnd(&block);
  for (auto [result, cotangent] : llvm::zip(results, cotangents))
    if (cotangent)
      adjoints.add(b, result, cotangent);

  // A gradient is complete at the first load of its global; until then each
  // load hands what it has to the one before, to be added to in place.
  auto finishLoad = [&](Operation *op) {
    Value tensor = op->getResult(0);
    if (Operation *before = loadBefore.lookup(op))
      adjoints.add(b, before->getResult(0), adjoints.get(tensor));
    else
      sink(b, activity.getTarget(op), adjoints.getOrZero(b, tensor));
  };
  for (Operation *op : llvm::reverse(forward)) {
    if (activity.getTarget(op))
      finishLoad(op);
    else if (failed(runRulesBackwards(op, b, adjoints)))
      return failure();
  }
  SmallVector<Value> gradientsOfArguments;
  for (unsigned i : about.arguments.set_bits())
    gradientsOfArguments.push_back(adjoints.getOrZero(b, block.getArgument(i)));
  return gradientsOfArguments;
}

const CalleeDerivative *FunctionDerivatives::get(func::FuncOp callee) {
  auto known = derivatives.find(callee);
  if (known != derivatives.end())
    return &known->second;
  const FunctionActivity &about = activity.of(callee);
  Location loc = callee.getLoc();

  SmallVector<Type> inputs(callee.getArgumentTypes()), outputs;
  SmallVector<Location> locations;
  for (BlockArgument argument : callee.getArguments())
    locations.push_back(argument.getLoc());
  Operation *terminator = callee.front().getTerminator();
  CalleeDerivative derivative;
  for (unsigned i : about.results.set_bits()) {
    derivative.results.push_back(i);
    inputs.push_back(callee.getResultTypes()[i]);
    locations.push_back(terminator->getOperand(i).getLoc());
  }
  for (unsigned i : about.arguments.set_bits()) {
    derivative.arguments.push_back(i);
    outputs.push_back(callee.getArgumentTypes()[i]);
  }
  OpBuilder b(callee.getContext());
  auto function =
      func::FuncOp::create(b, loc, (callee.getSymName() + "_vjp").str(),
                           b.getFunctionType(inputs, outputs));
  function.setPrivate();
  symbols.insert(function, std::next(Block::iterator(callee)));
  Block *body = b.createBlock(&function.getBody(), {}, inputs, locations);

  IRMapping mapping;
  unsigned numArguments = callee.getNumArguments();
  mapping.map(callee.getArguments(),
              body->getArguments().take_front(numArguments));
  for (Operation &op : callee.front().without_terminator()) {
    if (isEffect(op))
      continue;
    b.clone(op, mapping);
  }
  Operation *lastForward = body->empty() ? nullptr : &body->back();
  SmallVector<Value> results;
  for (unsigned i : derivative.results)
    results.push_back(mapping.lookupOrDefault(terminator->getOperand(i)));
  FailureOr<SmallVector<Value>> gradients =
      appendReverse(function, about, results,
                    body->getArguments().drop_front(numArguments), nullptr);
  if (failed(gradients))
    return nullptr;
  b.setInsertionPointToEnd(body);
  func::ReturnOp::create(b, loc, *gradients);
  if (lastForward)
    for (Operation &op : llvm::make_range(
             body->begin(), std::next(Block::iterator(lastForward))))
      if (auto call = dyn_cast<func::CallOp>(op))
        if (auto inner = symbols.lookup<func::FuncOp>(call.getCallee()))
          call.setCallee(withoutEffects(inner).getSymName());
  eraseUnread(*body);
  derivative.function = function;
  return &derivatives.emplace(callee, std::move(derivative)).first->second;
}
