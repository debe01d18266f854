//===- CQToLLVM.cpp - cq ops to calls of the runtime -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/CQToLLVM/CQToLLVM.h"
#include "PointerType.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
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
    SmallVector<ObserveOp> observations;
    getOperation().walk([&](Operation *op) {
      if (auto launch = dyn_cast<LaunchOp>(op))
        launches.push_back(launch);
      else if (auto observe = dyn_cast<ObserveOp>(op))
        observations.push_back(observe);
    });
    LLVMTypeConverter converter(&getContext());
    for (LaunchOp launch : launches)
      if (failed(lower(launch, converter)))
        return signalPassFailure();
    for (ObserveOp observe : observations)
      if (failed(lower(observe)))
        return signalPassFailure();
  }

  LogicalResult lower(LaunchOp launch, LLVMTypeConverter &converter) {
    ImplicitLocOpBuilder b(launch.getLoc(), launch);
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    SmallVector<Type> fields;
    for (Value operand : launch.getArgs()) {
      Type field = isPointer(operand.getType())
                       ? pointer
                       : converter.convertType(operand.getType());
      if (!field)
        return launch.emitError() << "operand of type " << operand.getType()
                                  << " cannot be passed to a kernel";
      fields.push_back(field);
    }
    auto structure = LLVM::LLVMStructType::getLiteral(&getContext(), fields);
    FailureOr<func::FuncOp> thunk = getThunk(launch, structure, converter);
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
      Value stored;
      if (isPointer(operand.getType()))
        stored =
            MemRefDescriptor(
                ::cast(b, operand, converter.convertType(operand.getType())))
                .alignedPtr(b, b.getLoc());
      else
        stored = ::cast(b, operand, fields[i]);
      LLVM::StoreOp::create(b, stored, field);
    }
    auto type =
        b.getFunctionType({pointer, b.getI64Type(), b.getI64Type()}, {});
    Value body = func::ConstantOp::create(b, type, thunk->getSymName());
    Value tasks =
        arith::IndexCastOp::create(b, b.getI64Type(), launch.getTasks());
    for (Value operand : launch.getArgs())
      if (isCodePlane(operand.getType())) {
        int64_t bytes = cast<MemRefType>(operand.getType()).getNumElements();
        FlatSymbolRefAttr reads =
            getRuntime("cq_reads", {pointer, b.getI64Type()});
        Value count = LLVM::ConstantOp::create(b, b.getI64Type(),
                                               b.getI64IntegerAttr(bytes));
        func::CallOp::create(b, reads, TypeRange(),
                             ValueRange{getAddress(b, operand), count});
      }
    FlatSymbolRefAttr runtime =
        getRuntime("cq_parallel_for", {pointer, pointer, b.getI64Type()});
    // A function value becomes a pointer only with func; until then a cast.
    func::CallOp::create(b, runtime, TypeRange(),
                         ValueRange{::cast(b, body, pointer), context, tasks});
    launch.erase();
    return success();
  }

  /// Codes of weights are the only rows of bytes that are so long; tasks read
  /// them in their order.
  static bool isCodePlane(Type type) {
    auto memref = dyn_cast<MemRefType>(type);
    return memref && memref.getRank() == 1 && memref.hasStaticShape() &&
           memref.getLayout().isIdentity() &&
           memref.getElementType().isInteger(8) &&
           memref.getNumElements() >= 16 * 1024;
  }

  /// Addresses and sizes of the operands go into two arrays on the stack.
  LogicalResult lower(ObserveOp observe) {
    ImplicitLocOpBuilder b(observe.getLoc(), observe);
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    Type i64 = b.getI64Type();
    int64_t count = static_cast<int64_t>(observe.getValues().size());
    auto function = observe->getParentOfType<FunctionOpInterface>();
    b.setInsertionPointToStart(&function.getFunctionBody().front());
    auto allocate = [&](Type type, int64_t entries) -> Value {
      return LLVM::AllocaOp::create(
          b, pointer, type,
          LLVM::ConstantOp::create(b, i64, b.getI64IntegerAttr(entries)));
    };
    Value addresses = allocate(pointer, count),
          sizes = allocate(i64, 2 * count);
    b.setInsertionPoint(observe);
    auto store = [&](Value value, Value array, Type type, int64_t entry) {
      LLVM::StoreOp::create(
          b, value,
          LLVM::GEPOp::create(b, pointer, type, array,
                              LLVM::GEPArg(static_cast<int32_t>(entry))));
    };
    auto toI64 = [&](Value index) -> Value {
      return arith::IndexCastOp::create(b, i64, index);
    };
    for (auto [i, operand] : llvm::enumerate(observe.getValues())) {
      auto type = dyn_cast<MemRefType>(operand.getType());
      if (!type)
        return observe.emitError("is on tensors; bufferize it first");
      Value rows = arith::ConstantIndexOp::create(b, 1), columns;
      for (int64_t d = 0; d < type.getRank(); ++d) {
        Value size = type.isDynamicDim(d)
                         ? memref::DimOp::create(b, operand, d).getResult()
                         : arith::ConstantIndexOp::create(b, type.getDimSize(d))
                               .getResult();
        if (d + 1 == type.getRank())
          columns = size;
        else
          rows = arith::MulIOp::create(b, rows, size);
      }
      store(getAddress(b, operand), addresses, pointer, i);
      store(toI64(rows), sizes, i64, 2 * i);
      store(toI64(columns), sizes, i64, 2 * i + 1);
    }
    Value number = arith::ConstantOp::create(b, observe.getOffsetAttr());
    if (Value base = observe.getBase())
      number = arith::AddIOp::create(b, toI64(base), number);
    FlatSymbolRefAttr runtime =
        getRuntime("cq_observe", {i64, i64, pointer, pointer});
    func::CallOp::create(
        b, runtime, TypeRange(),
        ValueRange{number,
                   arith::ConstantOp::create(b, b.getI64IntegerAttr(count)),
                   addresses, sizes});
    observe.erase();
    return success();
  }

  /// The address of the first element.
  static Value getAddress(ImplicitLocOpBuilder &b, Value memref) {
    auto type = cast<MemRefType>(memref.getType());
    auto pointer = LLVM::LLVMPointerType::get(b.getContext());
    Value aligned =
        memref::ExtractAlignedPointerAsIndexOp::create(b, memref).getResult();
    Value bytes = arith::IndexCastOp::create(b, b.getI64Type(), aligned);
    SmallVector<int64_t> strides;
    int64_t offset;
    if (failed(type.getStridesAndOffset(strides, offset)) || offset != 0) {
      auto metadata = memref::ExtractStridedMetadataOp::create(b, memref);
      Value first =
          arith::IndexCastOp::create(b, b.getI64Type(), metadata.getOffset());
      Value size = arith::ConstantOp::create(b, b.getI64IntegerAttr(4));
      bytes = arith::AddIOp::create(b, bytes,
                                    arith::MulIOp::create(b, first, size));
    }
    return LLVM::IntToPtrOp::create(b, pointer, bytes);
  }

  FlatSymbolRefAttr getRuntime(StringRef name, ArrayRef<Type> arguments) {
    if (!getOperation().lookupSymbol(name)) {
      OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
      func::FuncOp::create(b, getOperation().getLoc(), name,
                           b.getFunctionType(arguments, {}))
          .setPrivate();
    }
    return FlatSymbolRefAttr::get(&getContext(), name);
  }

  FailureOr<func::FuncOp> getThunk(LaunchOp launch,
                                   LLVM::LLVMStructType structure,
                                   LLVMTypeConverter &converter) {
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
      Type type = kernel.getArgumentTypes()[i];
      if (isPointer(type))
        value = MemRefDescriptor::fromStaticShape(
            b, b.getLoc(), converter, cast<MemRefType>(type), value);
      arguments.push_back(::cast(b, value, type));
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
