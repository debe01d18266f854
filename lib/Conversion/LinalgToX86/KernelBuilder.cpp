//===- KernelBuilder.cpp - Shorthand for emitting f32 kernels -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"
#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace mlir::cq;

MemRefType mlir::cq::getViewType(MLIRContext *context, bool unit) {
  constexpr int64_t dynamic = ShapedType::kDynamic;
  SmallVector<int64_t> strides(4, dynamic);
  if (unit)
    strides.back() = 1;
  return MemRefType::get(SmallVector<int64_t>(4, dynamic),
                         Float32Type::get(context),
                         StridedLayoutAttr::get(context, dynamic, strides));
}

KernelBuilder::KernelBuilder(ModuleOp module, StringRef name,
                             TypeRange arguments, unsigned lanes)
    : b(module.getLoc(), module.getContext()), lanes(lanes) {
  b.setInsertionPointToEnd(module.getBody());
  SmallVector<Type> types(arguments);
  types.append(2, b.getIndexType());
  function = func::FuncOp::create(b, name, b.getFunctionType(types, {}));
  function.setPrivate();
  // One copy: kernels are large and called from everywhere.
  function->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
  b.setInsertionPointToStart(function.addEntryBlock());
}

SmallVector<Value> KernelBuilder::loop(Value from, Value to, Value step,
                                       ValueRange sums, Body body) {
  auto loop = scf::ForOp::create(
      b, from, to, step, sums,
      [&](OpBuilder &inner, Location loc, Value iv, ValueRange args) {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPoint(inner.getInsertionBlock(),
                            inner.getInsertionPoint());
        SmallVector<Value> results = body(iv, args);
        scf::YieldOp::create(b, results);
      });
  return SmallVector<Value>(loop.getResults());
}

void KernelBuilder::loop(Value from, Value to, Value step,
                         llvm::function_ref<void(Value iv)> body) {
  loop(from, to, step, ValueRange(),
       [&](Value iv, ValueRange) -> SmallVector<Value> {
         body(iv);
         return {};
       });
}

void KernelBuilder::ifThen(Value condition, llvm::function_ref<void()> then,
                           llvm::function_ref<void()> otherwise) {
  auto branch = scf::IfOp::create(b, condition, static_cast<bool>(otherwise));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  then();
  if (otherwise) {
    b.setInsertionPointToStart(branch.elseBlock());
    otherwise();
  }
}

Value mlir::cq::callScratch(OpBuilder &b, Location loc, ModuleOp module,
                            StringRef symbol, Value count) {
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  if (!module.lookupSymbol(symbol)) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    func::FuncOp::create(b, module.getLoc(), symbol,
                         b.getFunctionType(b.getI64Type(), pointer))
        .setPrivate();
  }
  auto index = [&](int64_t v) -> Value {
    return arith::ConstantIndexOp::create(b, loc, v);
  };
  auto toI64 = [&](Value v) -> Value {
    return arith::IndexCastOp::create(b, loc, b.getI64Type(), v);
  };
  Value bytes = toI64(arith::MulIOp::create(b, loc, count, index(4)));
  Value address =
      func::CallOp::create(b, loc, symbol, TypeRange(pointer), bytes)
          .getResult(0);
  auto type = MemRefType::get({ShapedType::kDynamic}, b.getF32Type());
  LLVMTypeConverter converter(b.getContext());
  Value descriptor = MemRefDescriptor::pack(
      b, loc, converter, type,
      {address, address, toI64(index(0)), toI64(count), toI64(index(1))});
  return UnrealizedConversionCastOp::create(b, loc, type, descriptor)
      .getResult(0);
}
