//===- GenericDerivative.h - Adjoint of a linalg.generic ------ -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_AUTODIFF_GENERICDERIVATIVE_H
#define CQ_LIB_AUTODIFF_GENERICDERIVATIVE_H

#include "cq/Autodiff/Adjoints.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/IRMapping.h"

namespace mlir::cq {

/// The steps backwards through one linalg.generic on tensors. Its body is one
/// scalar function: at every point of the loops the cotangents of the results
/// are pulled back through a copy of it, and what arrives at an operand is
/// summed over the loops that the operand does not have.
class GenericDerivative {
public:
  /// `results` are the values that stand for those of `op`, which may be a
  /// generalized copy.
  GenericDerivative(linalg::GenericOp op, ValueRange results, OpBuilder &b,
                    Adjoints &adjoints)
      : op(op), results(results), b(b), adjoints(adjoints), loc(op.getLoc()) {}

  LogicalResult run();

private:
  /// A tensor (or scalar) that the way back reads at every point.
  struct Reader {
    Value source;
    AffineMap map;
  };
  /// A value of the body that the way back starts from.
  struct Seed {
    Value body;         ///< in the body of `op`
    unsigned cotangent; ///< reader
    /// Readers of a maximum and of how many elements reach it; the cotangent
    /// goes in equal parts to those.
    std::optional<unsigned> extremum, count;
  };
  /// Where a cotangent of a value `body` of the body is added up.
  struct Target {
    Value operand, body;
    AffineMap map;
  };

  LogicalResult seedResult(unsigned number, Value cotangent);
  unsigned addReader(Value source, AffineMap map);
  Value countExtrema(Value element, unsigned extremum, AffineMap map);
  SmallVector<Operation *> cloneBody(OpBuilder &b, ValueRange scalars,
                                     ValueRange loops, IRMapping &mapping);
  /// The cotangents of `wanted`, computed at `b` from the readers' `scalars`.
  LogicalResult pullBack(OpBuilder &b, ValueRange scalars, ValueRange loops,
                         ArrayRef<Value> wanted, IRMapping &mapping,
                         SmallVectorImpl<Value> &cotangents);
  /// Another generic, which adds to `init` at `map`; `body` yields the sum.
  using Body = function_ref<Value(OpBuilder &, ValueRange)>;
  linalg::GenericOp createGeneric(Value init, AffineMap map, Body body);

  LogicalResult differentiate(const Target &target);
  LogicalResult differentiateByLoops(const Target &target);
  LogicalResult differentiateSquares(const Target &target, bool &done);
  Value createSquares(Value source);

  linalg::GenericOp op;
  ValueRange results;
  OpBuilder &b;
  Adjoints &adjoints;
  Location loc;
  SmallVector<Reader> readers;
  SmallVector<Seed> seeds;
};

} // namespace mlir::cq

#endif // CQ_LIB_AUTODIFF_GENERICDERIVATIVE_H
