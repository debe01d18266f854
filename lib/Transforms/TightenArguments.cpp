//===- TightenArguments.cpp - Whole buffers as arguments ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Transforms/Passes.h"
#include "cq/Transforms/PrivateCalls.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {
#define GEN_PASS_DEF_TIGHTENARGUMENTS
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

/// `type` at offset 0, if that is all that keeps it from the identity layout.
static MemRefType getWholeType(MemRefType type) {
  if (!type.hasStaticShape() || type.getLayout().isIdentity())
    return {};
  auto whole =
      MemRefType::get(type.getShape(), type.getElementType(),
                      MemRefLayoutAttrInterface(), type.getMemorySpace());
  SmallVector<int64_t> strides, wholeStrides;
  int64_t offset, wholeOffset;
  if (failed(type.getStridesAndOffset(strides, offset)) ||
      failed(whole.getStridesAndOffset(wholeStrides, wholeOffset)) ||
      strides != wholeStrides)
    return {};
  return whole;
}

namespace {
struct TightenArgumentsPass
    : mlir::cq::impl::TightenArgumentsBase<TightenArgumentsPass> {
  void runOnOperation() override {
    PrivateCalls callsOf = getPrivateCalls(getOperation());
    // What a caller learns of its arguments, its callees can learn.
    bool changed = true;
    while (changed) {
      changed = false;
      for (auto &[function, calls] : callsOf)
        if (!calls.empty())
          changed |= tighten(function, calls);
    }
  }

  bool tighten(func::FuncOp function, ArrayRef<func::CallOp> calls) {
    bool changed = false;
    for (BlockArgument argument : function.getArguments()) {
      auto type = dyn_cast<MemRefType>(argument.getType());
      MemRefType whole = type ? getWholeType(type) : MemRefType();
      if (!whole)
        continue;
      unsigned number = argument.getArgNumber();
      if (!llvm::all_of(calls, [&](func::CallOp call) {
            auto cast = call.getOperand(number).getDefiningOp<memref::CastOp>();
            return cast && cast.getSource().getType() == whole;
          }))
        continue;
      for (func::CallOp call : calls)
        call->setOperand(number, call.getOperand(number)
                                     .getDefiningOp<memref::CastOp>()
                                     .getSource());
      argument.setType(whole);
      // cq's ops take any layout; for the others there are folders.
      OpBuilder b = OpBuilder::atBlockBegin(argument.getOwner());
      Value cast = memref::CastOp::create(b, function.getLoc(), type, argument);
      argument.replaceUsesWithIf(cast, [&](OpOperand &use) {
        Operation *user = use.getOwner();
        return user != cast.getDefiningOp() &&
               !isa<CQDialect>(user->getDialect());
      });
      changed = true;
      ++numArguments;
    }
    if (changed)
      function.setFunctionType(
          FunctionType::get(&getContext(), function.front().getArgumentTypes(),
                            function.getResultTypes()));
    return changed;
  }
};
} // namespace
