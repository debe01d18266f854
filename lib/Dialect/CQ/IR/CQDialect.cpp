//===- CQDialect.cpp - Registration of the cq dialect ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CQDetail.h"
#include "cq/Dialect/CQ/IR/CQNV.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Transforms/InliningUtils.h"

using namespace mlir;
using namespace mlir::cq;

#include "cq/Dialect/CQ/IR/CQDialect.cpp.inc"
#include "cq/Dialect/CQ/IR/CQEnums.cpp.inc"

namespace {
/// Blocks are private functions; those that run on a device are inlined.
struct CQInlinerInterface : DialectInlinerInterface {
  using DialectInlinerInterface::DialectInlinerInterface;
  bool isLegalToInline(Operation *, Region *, bool, IRMapping &) const final {
    return true;
  }
};
} // namespace

void CQDialect::initialize() {
  addInterfaces<CQInlinerInterface>();
  addOperations<
#define GET_OP_LIST
#include "cq/Dialect/CQ/IR/CQOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "cq/Dialect/CQ/IR/CQNVOps.cpp.inc"
      >();
  registerAttributes();
  detail::attachBufferization(getContext());
}

Operation *CQDialect::materializeConstant(OpBuilder &builder, Attribute value,
                                          Type type, Location loc) {
  return arith::ConstantOp::materialize(builder, value, type, loc);
}
