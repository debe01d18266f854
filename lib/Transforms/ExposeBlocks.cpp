//===- ExposeBlocks.cpp - Entry points of single blocks -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/SetVector.h"

namespace mlir::cq {
#define GEN_PASS_DEF_EXPOSEBLOCKS
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

/// The ops of `block` that `values` depend on, those behind `inputs` left out.
/// Null where a value of a surrounding op or an argument is among them.
static std::optional<llvm::SetVector<Operation *>>
getSlice(ValueRange values, ValueRange inputs, Block *block) {
  llvm::SetVector<Operation *> slice;
  SmallVector<Value> worklist(values);
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (llvm::is_contained(inputs, value))
      continue;
    Operation *op = value.getDefiningOp();
    if (!op)
      return std::nullopt;
    if (op->getBlock() != block)
      continue; // inside of an op that the slice has
    if (!slice.insert(op))
      continue;
    op->walk([&](Operation *nested) {
      for (Value operand : nested->getOperands())
        if (operand.getParentBlock() == block)
          worklist.push_back(operand);
    });
  }
  SmallVector<Operation *> ordered = slice.takeVector();
  llvm::sort(ordered,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return llvm::SetVector<Operation *>(ordered.begin(), ordered.end());
}

/// Whether a matrix of the model is behind the value.
static bool readsMatrix(Value value) {
  SmallVector<Value> worklist = {value};
  while (!worklist.empty()) {
    Operation *op = worklist.pop_back_val().getDefiningOp();
    if (!op)
      continue;
    if (auto load = dyn_cast<ml_program::GlobalLoadOp>(op)) {
      auto type = dyn_cast<RankedTensorType>(load.getType());
      if (type && type.getRank() >= 2)
        return true;
      continue;
    }
    llvm::append_range(worklist, op->getOperands());
  }
  return false;
}

namespace {
struct ExposeBlocksPass : mlir::cq::impl::ExposeBlocksBase<ExposeBlocksPass> {
  using ExposeBlocksBase::ExposeBlocksBase;

  void runOnOperation() override {
    auto entry = getOperation().lookupSymbol<func::FuncOp>(function);
    if (!entry || entry.isExternal() || !entry.getBody().hasOneBlock()) {
      getOperation().emitError("has no function @" + function +
                               " whose blocks could be run; import it anew "
                               "with `cq import` and --loss-tokens");
      return signalPassFailure();
    }
    SmallVector<func::CallOp> calls;
    for (auto call : entry.getOps<func::CallOp>())
      if (call->getAttrOfType<IntegerAttr>("cq.block"))
        calls.push_back(call);
    if (calls.empty()) {
      entry.emitError("calls no function marked cq.block: its transformer "
                      "blocks are not known");
      return signalPassFailure();
    }
    for (func::CallOp call : calls)
      if (failed(exposeBlock(call)))
        return signalPassFailure();
    if (failed(exposeFinal(calls.back())))
      return signalPassFailure();
  }

private:
  /// The hidden states: an operand and a result of one type.
  static OpOperand *findHidden(func::CallOp call) {
    if (call.getNumResults() != 1)
      return nullptr;
    for (OpOperand &operand : call->getOpOperands())
      if (operand.get().getType() == call.getResult(0).getType())
        return &operand;
    return nullptr;
  }

  LogicalResult exposeBlock(func::CallOp call) {
    OpOperand *hidden = findHidden(call);
    if (!hidden)
      return call.emitError("takes and returns no hidden states of one type");
    SmallVector<Value> others;
    for (OpOperand &operand : call->getOpOperands())
      if (&operand != hidden)
        others.push_back(operand.get());
    auto slice = getSlice(others, hidden->get(), call->getBlock());
    if (!slice)
      return call.emitError("depends on more of the function's arguments than "
                            "its hidden states: it cannot run alone");
    slice->insert(call);
    auto number = call->getAttrOfType<IntegerAttr>("cq.block").getInt();
    build("run_block_" + Twine(number), hidden->get(), call.getResult(0),
          slice->getArrayRef());
    ++numBlocks;
    return success();
  }

  /// Behind the last block, up to the first product with a matrix.
  LogicalResult exposeFinal(func::CallOp last) {
    Value hidden = last.getResult(0);
    llvm::SmallPtrSet<Value, 8> dependent = {hidden};
    for (Operation *op = last->getNextNode(); op; op = op->getNextNode()) {
      Value from;
      for (Value operand : op->getOperands())
        if (dependent.contains(operand) && !from)
          from = operand;
      if (!from)
        continue;
      bool isHead = llvm::any_of(op->getOperands(), [&](Value operand) {
        return !dependent.contains(operand) && readsMatrix(operand);
      });
      if (!isHead) {
        dependent.insert(op->result_begin(), op->result_end());
        continue;
      }
      auto slice = getSlice(from, hidden, last->getBlock());
      if (!slice)
        return op->emitError("depends on more than the last block's hidden "
                             "states: it cannot run alone");
      build("run_final", hidden, from, slice->getArrayRef());
      return success();
    }
    return last.emitError("is followed by no product with a head");
  }

  void build(const Twine &name, Value input, Value output,
             ArrayRef<Operation *> slice) {
    OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
    auto made = func::FuncOp::create(
        b, output.getLoc(), name.str(),
        b.getFunctionType(input.getType(), output.getType()));
    Block *body = made.addEntryBlock();
    b.setInsertionPointToStart(body);
    IRMapping mapping;
    mapping.map(input, body->getArgument(0));
    for (Operation *op : slice)
      b.clone(*op, mapping);
    func::ReturnOp::create(b, output.getLoc(), mapping.lookup(output));
  }
};
} // namespace
