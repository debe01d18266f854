//===- CQToLLVM.cpp - cq.launch to calls of the runtime -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/CQToLLVM/CQToLLVM.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::cq {
#define GEN_PASS_DEF_CONVERTCQTOLLVM
#include "cq/Conversion/CQToLLVM/CQToLLVM.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

static Value cast(ImplicitLocOpBuilder &b, Value value, Type type) {
  if (value.getType() == type)
    return value;
  return UnrealizedConversionCastOp::create(b, type, value).getResult(0);
}

namespace {
struct ConvertCQToLLVMPass
    : mlir::cq::impl::ConvertCQToLLVMBase<ConvertCQToLLVMPass> {
  void runOnOperation() override {
    SmallVector<LaunchOp> launches;
    getOperation().walk([&](LaunchOp launch) { launches.push_back(launch); });
    LLVMTypeConverter converter(&getContext());
    for (LaunchOp launch : launches)
      if (failed(lower(launch, converter)))
        return signalPassFailure();
  }

  LogicalResult lower(LaunchOp launch, LLVMTypeConverter &converter) {
    ImplicitLocOpBuilder b(launch.getLoc(), launch);
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    SmallVector<Type> fields;
    for (Value operand : launch.getArgs()) {
      Type field = converter.convertType(operand.getType());
      if (!field)
        return launch.emitError() << "operand of type " << operand.getType()
                                  << " cannot be passed to a kernel";
      fields.push_back(field);
    }
    auto structure = LLVM::LLVMStructType::getLiteral(&getContext(), fields);
    FailureOr<func::FuncOp> thunk = getThunk(launch, structure);
    if (failed(thunk))
      return failure();

    // In the entry block: an alloca in a loop would grow the stack.
    auto function = launch->getParentOfType<FunctionOpInterface>();
    b.setInsertionPointToStart(&function.getFunctionBody().front());
    Value context = LLVM::AllocaOp::create(
        b, pointer, structure,
        LLVM::ConstantOp::create(b, b.getI64Type(), b.getI64IntegerAttr(1)));
    b.setInsertionPoint(launch);
    for (auto [i, operand] : llvm::enumerate(launch.getArgs())) {
      Value field = LLVM::GEPOp::create(
          b, pointer, structure, context,
          ArrayRef<LLVM::GEPArg>{0, static_cast<int32_t>(i)});
      LLVM::StoreOp::create(b, ::cast(b, operand, fields[i]), field);
    }
    auto type =
        b.getFunctionType({pointer, b.getI64Type(), b.getI64Type()}, {});
    Value body = func::ConstantOp::create(b, type, thunk->getSymName());
    Value tasks =
        arith::IndexCastOp::create(b, b.getI64Type(), launch.getTasks());
    FlatSymbolRefAttr runtime = getRuntime();
    // A function value becomes a pointer only with func; until then a cast.
    func::CallOp::create(b, runtime, TypeRange(),
                         ValueRange{::cast(b, body, pointer), context, tasks});
    launch.erase();
    return success();
  }

  FlatSymbolRefAttr getRuntime() {
    StringRef name = "cq_parallel_for";
    if (!getOperation().lookupSymbol(name)) {
      OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
      auto pointer = LLVM::LLVMPointerType::get(&getContext());
      func::FuncOp::create(
          b, getOperation().getLoc(), name,
          b.getFunctionType({pointer, pointer, b.getI64Type()}, {}))
          .setPrivate();
    }
    return FlatSymbolRefAttr::get(&getContext(), name);
  }

  FailureOr<func::FuncOp> getThunk(LaunchOp launch,
                                   LLVM::LLVMStructType structure) {
    ModuleOp module = getOperation();
    auto kernel = module.lookupSymbol<func::FuncOp>(launch.getKernelAttr());
    if (!kernel)
      return launch.emitError("has no kernel @") << launch.getKernel();
    std::string name = (kernel.getSymName() + "_thunk").str();
    if (auto existing = module.lookupSymbol<func::FuncOp>(name))
      return existing;
    ++numThunks;
    ImplicitLocOpBuilder b(kernel.getLoc(), &getContext());
    b.setInsertionPointAfter(kernel);
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    auto thunk = func::FuncOp::create(
        b, name,
        b.getFunctionType({pointer, b.getI64Type(), b.getI64Type()}, {}));
    thunk.setPrivate();
    Block *body = thunk.addEntryBlock();
    b.setInsertionPointToStart(body);
    SmallVector<Value> arguments;
    for (auto [i, field] : llvm::enumerate(structure.getBody())) {
      Value address = LLVM::GEPOp::create(
          b, pointer, structure, body->getArgument(0),
          ArrayRef<LLVM::GEPArg>{0, static_cast<int32_t>(i)});
      Value value = LLVM::LoadOp::create(b, field, address);
      arguments.push_back(::cast(b, value, kernel.getArgumentTypes()[i]));
    }
    for (unsigned i : {1, 2})
      arguments.push_back(arith::IndexCastOp::create(b, b.getIndexType(),
                                                     body->getArgument(i)));
    func::CallOp::create(b, kernel, arguments);
    func::ReturnOp::create(b);
    return thunk;
  }
};
} // namespace
