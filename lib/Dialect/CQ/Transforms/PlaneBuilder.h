//===- PlaneBuilder.h - Planes where a weight was ---------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_DIALECT_CQ_TRANSFORMS_PLANEBUILDER_H
#define CQ_LIB_DIALECT_CQ_TRANSFORMS_PLANEBUILDER_H

#include "cq/Analysis/WeightDims.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Solver/Plan.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/MapVector.h"

namespace mlir::cq {

/// The attributes of one planned weight.
struct PlannedAttributes {
  SchemeAttr scheme;
  LayoutAttr layout;
  CherriesAttr cherries; ///< null for none
  QuantizerAttr quantizer;
  CriterionAttr criterion;
  PlannedAttributes(MLIRContext *context, const PlanEntry &entry);
};

/// extract_cherries → quantize → pack over one matrix.
struct QuantizedMatrix {
  Planes packed;
  RankedTensorType codesType, scalesType,
      zerosType; ///< before pack; may be null
};
/// The matrix [N, K] in f32 that a source of form `form` (no stack) holds.
Value createMatrix(OpBuilder &b, Location loc, Value root,
                   const WeightForm &form);
/// Planes of a matrix [entry.n, entry.k] in f32.
QuantizedMatrix createPlanes(OpBuilder &b, Location loc, Value matrix,
                             const PlanEntry &entry);

/// Builds the planes of weights, each once: next to constants and global loads
/// as a chain extract_cherries → quantize → pack, for arguments of private
/// functions as new arguments that every caller supplies.
class PlaneBuilder {
public:
  explicit PlaneBuilder(Operation *module);

  /// Planes of every matrix of the weight at `value` (its dimensions `dims`,
  /// its reader `consumption`; an entry of the plan for each), usable in the
  /// function of `value`.
  ArrayRef<Planes> getPlanes(Value value, WeightDims dims,
                             const WeightConsumption &consumption,
                             ArrayRef<const PlanEntry *> entries);

  /// How the source of that weight reads as matrices, in the reader's loops.
  WeightForm getForm(Value value, WeightDims dims,
                     const WeightConsumption &consumption) const;

  /// Removes arguments (and operands of calls) that carried weights nobody
  /// reads
  /// any more.
  void eraseDeadWeights();

private:
  SmallVector<Planes, 1> build(Value root, const WeightDims &dims,
                               const WeightConsumption &consumption,
                               ArrayRef<const PlanEntry *> entries);
  SmallVector<Planes, 1> buildChain(Value root, const WeightForm &form,
                                    ArrayRef<const PlanEntry *> entries);
  SmallVector<Planes, 1> buildArguments(BlockArgument argument,
                                        const WeightDims &dims,
                                        const WeightConsumption &consumption,
                                        ArrayRef<const PlanEntry *> entries);

  /// The calls of each function.
  DenseMap<Operation *, SmallVector<Operation *>> calls;
  llvm::MapVector<Value, SmallVector<Planes, 1>> built;
};

} // namespace mlir::cq

#endif // CQ_LIB_DIALECT_CQ_TRANSFORMS_PLANEBUILDER_H
