//===- FunctionDerivatives.h - Derivatives of functions ------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_AUTODIFF_FUNCTIONDERIVATIVES_H
#define CQ_LIB_AUTODIFF_FUNCTIONDERIVATIVES_H

#include "cq/Autodiff/Adjoints.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/BitVector.h"
#include <map>

namespace mlir::cq {

/// By what a function is differentiated.
struct DifferentiationTargets {
  llvm::DenseSet<StringAttr> globals;
  llvm::BitVector arguments; ///< of the root function
};

/// What a function is active in, over all its calls below the root.
struct FunctionActivity {
  llvm::BitVector arguments, results;
  /// Arguments that are weights in all calls, maybe reshaped.
  llvm::BitVector weights;
};

/// Interprocedural activity: which arguments of which functions depend on the
/// targets.
class Activity {
public:
  Activity(ModuleOp module, const DifferentiationTargets &targets)
      : symbols(module), targets(targets) {}

  /// Emits an error for calls that cannot be followed.
  LogicalResult solve(func::FuncOp root);
  const FunctionActivity &of(func::FuncOp function) const {
    return activities.find(function)->second;
  }
  /// The global that `op` loads, when it is one of the targets.
  StringAttr getTarget(Operation *op) const;
  /// Active values and weights among those that `ops`, in the order of a block,
  /// make from the arguments of the block.
  void collect(Block &block, const FunctionActivity &activity,
               llvm::DenseSet<Value> &active,
               llvm::DenseSet<Value> &weights) const;

private:
  LogicalResult visit(func::FuncOp function);
  LogicalResult checkLoads(func::FuncOp function);
  func::FuncOp getCallee(func::CallOp call) const {
    return symbols.lookup<func::FuncOp>(call.getCallee());
  }

  SymbolTable symbols;
  const DifferentiationTargets &targets;
  std::map<Operation *, FunctionActivity> activities;
  llvm::SmallVector<Operation *> path;
  llvm::DenseSet<Operation *> checked;
  bool changed = false;
};

/// Makes @callee_vjp functions as calls ask for them, and the gradient of the
/// root.
class FunctionDerivatives : public CalleeDerivatives {
public:
  FunctionDerivatives(ModuleOp module, const Activity &activity,
                      WeightCotangents weightCotangents)
      : symbols(module), activity(activity),
        weightCotangents(weightCotangents) {}

  const CalleeDerivative *get(func::FuncOp callee) override;

  /// Called at the place where the gradient of a target is complete.
  using Sink =
      function_ref<void(OpBuilder &, StringAttr global, Value gradient)>;
  /// Appends to `function`, a copy of the root without its terminator, what
  /// goes backwards from the cotangents of `results`, and returns the
  /// cotangents of the active arguments.
  FailureOr<llvm::SmallVector<Value>>
  appendReverse(func::FuncOp function, const FunctionActivity &about,
                ValueRange results, ValueRange cotangents, Sink sink);

  unsigned getNumFunctions() const { return derivatives.size(); }

private:
  func::FuncOp withoutEffects(func::FuncOp function);

  SymbolTable symbols;
  const Activity &activity;
  WeightCotangents weightCotangents;
  std::map<Operation *, CalleeDerivative> derivatives;
  llvm::DenseMap<Operation *, func::FuncOp> quiet;
};

} // namespace mlir::cq

#endif // CQ_LIB_AUTODIFF_FUNCTIONDERIVATIVES_H
