//===- BareArguments.cpp - Whole buffers are passed as addresses ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PointerType.h"
#include "cq/Conversion/CQToLLVM/CQToLLVM.h"
#include "cq/Transforms/PrivateCalls.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {
#define GEN_PASS_DEF_BAREARGUMENTS
#include "cq/Conversion/CQToLLVM/CQToLLVM.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

static Value cast(OpBuilder &b, Location loc, Value value, Type type) {
  return UnrealizedConversionCastOp::create(b, loc, type, value).getResult(0);
}

namespace {
struct BareArgumentsPass
    : mlir::cq::impl::BareArgumentsBase<BareArgumentsPass> {
  void runOnOperation() override {
    LLVMTypeConverter converter(&getContext());
    for (auto &[function, calls] : getPrivateCalls(getOperation()))
      lower(function, calls, converter);
  }

  void lower(func::FuncOp function, ArrayRef<func::CallOp> calls,
             LLVMTypeConverter &converter) {
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    OpBuilder b = OpBuilder::atBlockBegin(&function.front());
    for (BlockArgument argument : function.getArguments()) {
      Type type = argument.getType();
      // What is freed needs the address that was allocated.
      if (!isPointer(type) ||
          llvm::any_of(argument.getUsers(), llvm::IsaPred<memref::DeallocOp>))
        continue;
      Location loc = function.getLoc();
      argument.setType(pointer);
      if (!argument.use_empty()) {
        SmallVector<OpOperand *> old = llvm::map_to_vector(
            argument.getUses(), [](OpOperand &use) { return &use; });
        Value buffer =
            cast(b, loc,
                 MemRefDescriptor::fromStaticShape(
                     b, loc, converter, mlir::cast<MemRefType>(type), argument),
                 type);
        for (OpOperand *use : old)
          use->set(buffer);
      }
      for (func::CallOp call : calls) {
        OpBuilder at(call);
        OpOperand &operand = call->getOpOperand(argument.getArgNumber());
        MemRefDescriptor descriptor(cast(at, call.getLoc(), operand.get(),
                                         converter.convertType(type)));
        operand.set(descriptor.alignedPtr(at, call.getLoc()));
      }
      ++numArguments;
    }
    function.setFunctionType(
        FunctionType::get(&getContext(), function.front().getArgumentTypes(),
                          function.getResultTypes()));
  }
};
} // namespace
