//===- Adjoints.h - Cotangents of the values of one block -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_AUTODIFF_ADJOINTS_H
#define CQ_AUTODIFF_ADJOINTS_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SmallVector.h"

namespace mlir::func {
class FuncOp;
} // namespace mlir::func

namespace mlir::cq {

/// @callee_vjp: (arguments of the callee…, cotangents of `results`…) →
/// cotangents of `arguments`. The numbers are ascending.
struct CalleeDerivative {
  func::FuncOp function;
  llvm::SmallVector<unsigned> results, arguments;
};

/// Where the rule of a call gets the derivative of the callee.
class CalleeDerivatives {
public:
  virtual ~CalleeDerivatives();
  /// Null after an error was emitted.
  virtual const CalleeDerivative *get(func::FuncOp callee) = 0;
};

/// What the products that read a weight add to its cotangent.
enum class WeightCotangents {
  Gradients,   ///< Σ_t δ_t x_t
  SquaresByRow ///< Σ_t (δ_t x_t)²: the Fisher diagonal, a token a row
};

/// Cotangents of the values of one block, while it is gone through backwards. A
/// value without one has cotangent zero; values that are not active (no active
/// input reaches them, or they are no floating-point numbers) never get one.
class Adjoints {
public:
  explicit Adjoints(llvm::DenseSet<Value> active,
                    CalleeDerivatives *callees = nullptr)
      : active(std::move(active)), callees(callees) {}

  bool isActive(Value value) const { return active.contains(value); }
  const llvm::DenseSet<Value> &getActive() const { return active; }
  /// Null stands for zero.
  Value get(Value value) const { return cotangents.lookup(value); }
  /// The cotangent, zeros of the value's shape where there is none.
  Value getOrZero(OpBuilder &b, Value value) const;
  /// Adds `cotangent` to that of `value`; nothing when `value` is not active.
  void add(OpBuilder &b, Value value, Value cotangent);
  /// For rules that add in place: after `cotangent` was computed from
  /// `getOrZero`.
  void replace(Value value, Value cotangent) { cotangents[value] = cotangent; }

  CalleeDerivatives *getCallees() const { return callees; }

  WeightCotangents weightCotangents = WeightCotangents::Gradients;
  /// Weights, and what is a weight but for its shape or layout; filled only for
  /// SquaresByRow.
  llvm::DenseSet<Value> weights;

  /// Whether the cotangent of `value` is a sum of squares.
  bool wantsSquares(Value value) const {
    return weightCotangents == WeightCotangents::SquaresByRow &&
           weights.contains(value);
  }

private:
  llvm::DenseSet<Value> active;
  llvm::DenseMap<Value, Value> cotangents;
  CalleeDerivatives *callees;
};

/// Zeros of the type of `value`, which is a float or a tensor of floats;
/// dynamic sizes are read from it.
Value createZeros(OpBuilder &b, Location loc, Value value);
/// A constant of a float type, or of a tensor of floats with static shape.
Value createFloatConstant(OpBuilder &b, Location loc, Type type, double number);
/// Whether derivatives by values of this type exist.
bool isDifferentiableType(Type type);

} // namespace mlir::cq

#endif // CQ_AUTODIFF_ADJOINTS_H
