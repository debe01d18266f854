//===- CQNV.cpp - Ops of NVIDIA kernels -----------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Dialect/CQ/IR/CQNV.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace mlir::cq::nv;

#define GET_OP_CLASSES
#include "cq/Dialect/CQ/IR/CQNVOps.cpp.inc"

LogicalResult WgmmaFenceOp::verify() {
  if (getValues().getTypes() != getFenced().getTypes())
    return emitOpError("gives what it takes");
  return success();
}

LogicalResult WgmmaWaitOp::verify() {
  if (getSums().getTypes() != getResults().getTypes())
    return emitOpError("gives what it takes");
  return success();
}

LogicalResult WgmmaOp::verify() {
  Type pair = getA0().getType();
  if (getA1().getType() != pair || getA2().getType() != pair ||
      getA3().getType() != pair ||
      getElementTypeOrSelf(pair) != getB().getType().getElementType())
    return emitOpError("has operands of different types");
  if (getD().empty() || getD().size() > 32)
    return emitOpError("takes 8 to 256 tokens");
  if (!getC().empty() && getC().size() != getD().size())
    return emitOpError("adds to as many sums as it gives");
  // What is in flight has no other uses, and what it reads is fenced.
  for (Value a : {getA0(), getA1(), getA2(), getA3()})
    if (!a.getDefiningOp<WgmmaFenceOp>())
      return emitOpError("reads registers that no cq.nv.wgmma_fence orders");
  for (Value c : getC())
    if (!c.getDefiningOp<WgmmaOp>())
      return emitOpError("continues the sums of other products only");
  for (Operation *user : getOperation()->getUsers())
    if (!isa<WgmmaOp, WgmmaWaitOp>(user))
      return user->emitOpError("uses a product in flight: wait for it");
  return success();
}
