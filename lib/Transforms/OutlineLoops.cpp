//===- OutlineLoops.cpp - What stands between launches becomes functions --===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SharedFunctions.h"
#include "cq/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"

namespace mlir::cq {
#define GEN_PASS_DEF_OUTLINELOOPS
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

static bool isWork(Operation &op) {
  return isa<linalg::LinalgOp, memref::CopyOp>(op);
}

/// Ops that may stand in a run of work without ending it.
static bool mayBelong(Operation &op) {
  return isWork(op) || isa<memref::AllocOp, memref::DeallocOp>(op) ||
         (isPure(&op) && op.getNumRegions() == 0);
}

namespace {

/// Consecutive ops of one block that mayBelong.
class Run {
public:
  explicit Run(ArrayRef<Operation *> ops)
      : ops(ops), members(ops.begin(), ops.end()) {
    for (Operation *op : ops)
      if (isWork(*op) || (isa<memref::AllocOp>(op) && isInternal(op)))
        take(op);
    for (Operation *op : ops)
      if (isa<memref::DeallocOp>(op) &&
          inside.contains(op->getOperand(0).getDefiningOp()))
        take(op);
  }

  /// The run as a function at the end of `module`.
  func::FuncOp makeFunction(ModuleOp module, StringRef name) {
    OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
    SmallVector<Type> types = llvm::to_vector(
        llvm::map_range(captured, [](Value v) { return v.getType(); }));
    auto function =
        func::FuncOp::create(builder, ops.front()->getLoc(), name,
                             builder.getFunctionType(types, TypeRange()));
    function.setPrivate();
    Block *body = function.addEntryBlock();
    builder.setInsertionPointToStart(body);
    IRMapping mapping;
    mapping.map(captured, body->getArguments());
    for (Operation *constant : constants)
      builder.clone(*constant, mapping);
    for (Operation *op : ops)
      if (inside.contains(op))
        builder.clone(*op, mapping);
    func::ReturnOp::create(builder, function.getLoc());
    return function;
  }

  /// Replaces the run by a call. Buffers of others stay in front of it and are
  /// freed behind it.
  void replaceBy(func::FuncOp function) {
    OpBuilder builder(ops.back()->getBlock(), ++ops.back()->getIterator());
    Operation *last = func::CallOp::create(builder, ops.front()->getLoc(),
                                           function, captured.getArrayRef());
    for (Operation *op : llvm::reverse(ops)) {
      if (isa<memref::DeallocOp>(op) && !inside.contains(op))
        op->moveAfter(last);
      else if (inside.contains(op) && (!isPure(op) || op->use_empty()))
        op->erase();
      else if (isPure(op) && op->use_empty())
        op->erase();
    }
  }

private:
  /// A buffer whose every use, through views, is part of the run.
  bool isInternal(Operation *op) {
    return llvm::all_of(op->getUsers(), [&](Operation *user) {
      while (user && user->getBlock() != ops.front()->getBlock())
        user = user->getParentOp();
      return user && members.contains(user) &&
             (!isPure(user) || isInternal(user));
    });
  }

  /// Into the function goes `op`, and what it computes with as far as that can
  /// be computed again.
  void take(Operation *op) {
    if (!inside.insert(op).second)
      return;
    llvm::SetVector<Value> used(op->operand_begin(), op->operand_end());
    getUsedValuesDefinedAbove(op->getRegions(), used);
    for (Value value : used) {
      Operation *from = value.getDefiningOp();
      if (from && from->hasTrait<OpTrait::ConstantLike>() &&
          !members.contains(from))
        constants.insert(from);
      else if (from && members.contains(from) &&
               (isPure(from) ||
                (isa<memref::AllocOp>(from) && isInternal(from))))
        take(from);
      else
        captured.insert(value);
    }
  }

  ArrayRef<Operation *> ops;
  llvm::SmallPtrSet<Operation *, 32> members, inside;
  llvm::SetVector<Value> captured;
  llvm::SetVector<Operation *> constants; ///< defined before the run
};

struct OutlineLoopsPass : mlir::cq::impl::OutlineLoopsBase<OutlineLoopsPass> {
  void runOnOperation() override {
    SharedFunctions shared(getOperation());
    SmallVector<func::FuncOp> functions;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal() && function.getBody().hasOneBlock())
        functions.push_back(function);
    for (func::FuncOp function : functions)
      outline(function, shared);
  }

  void outline(func::FuncOp function, SharedFunctions &shared) {
    SmallVector<SmallVector<Operation *>> runs(1);
    for (Operation &op : function.getBody().front().without_terminator())
      if (mayBelong(op))
        runs.back().push_back(&op);
      else if (!runs.back().empty())
        runs.emplace_back();
    // A function without calls would become a call of its own copy.
    if (runs.size() == 1)
      return;
    for (ArrayRef<Operation *> ops : runs) {
      // What is left only passes addresses on, with nothing to optimize: a copy
      // of a private function may stay, but no loop.
      if (llvm::none_of(ops, [&](Operation *op) {
            return function.isPublic() ? isWork(*op)
                                       : isa<linalg::LinalgOp>(op);
          }))
        continue;
      Run run(ops);
      bool isNew;
      run.replaceBy(shared.share(
          run.makeFunction(getOperation(),
                           (function.getSymName() + "_loops").str()),
          &isNew));
      ++(isNew ? numOutlined : numShared);
    }
  }
};

} // namespace
