//===- CQ.h - The cq dialect ------------------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// The dialect's description in CQBase.td is its manual.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_DIALECT_CQ_IR_CQ_H
#define CQ_DIALECT_CQ_IR_CQ_H

#include "cq/Dialect/CQ/IR/CQAttributes.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "cq/Dialect/CQ/IR/CQDialect.h.inc"
#include "cq/Dialect/CQ/IR/CQEnums.h.inc"

namespace mlir::cq {

/// The planes of one packed weight, in the order operands and globals have
/// them. Null where the scheme or the cherries have none.
struct Planes {
  Value codes, scales, zeros, cherryColumns, cherryDeltas, rowOrder = {};
};

/// What the planes of a weight W [n, k] must be; scheme, layout and cherries
/// are checked first, so hostile attributes end here. `cherries` may be null.
struct PlaneTypes {
  RankedTensorType codes, scales, zeros, cherryColumns, cherryDeltas, rowOrder;
  static llvm::Expected<PlaneTypes> get(MLIRContext *context, int64_t n,
                                        int64_t k, SchemeAttr scheme,
                                        LayoutAttr layout,
                                        CherriesAttr cherries);
};

/// Type of the row order of N = n rows.
RankedTensorType getRowOrderType(MLIRContext *context, int64_t n);
/// Element type of a scale plane.
FloatType getScaleElementType(MLIRContext *context, ScaleType type);

} // namespace mlir::cq

#define GET_OP_CLASSES
#include "cq/Dialect/CQ/IR/CQOps.h.inc"

namespace mlir::cq {

inline Planes getPlanes(MatmulOp op) {
  return {op.getCodes(),         op.getScales(),       op.getZeros(),
          op.getCherryColumns(), op.getCherryDeltas(), op.getRowOrder()};
}
inline Planes getPlanes(GatherOp op) {
  return {op.getCodes(), op.getScales(), op.getZeros(), op.getCherryColumns(),
          op.getCherryDeltas()};
}

} // namespace mlir::cq

#endif // CQ_DIALECT_CQ_IR_CQ_H
