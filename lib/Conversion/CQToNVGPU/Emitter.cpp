//===- Emitter.cpp - Short names for the ops of kernels -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitter.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::nv;

std::optional<int64_t> Emitter::known(Value value) {
  APInt constant;
  if (matchPattern(value, m_ConstantInt(&constant)))
    return constant.getSExtValue();
  return std::nullopt;
}

Value Emitter::index(int64_t value) {
  return arith::ConstantIndexOp::create(*this, value);
}
Value Emitter::i32(int64_t value) {
  return arith::ConstantIntOp::create(*this, value, 32);
}
Value Emitter::f32(double value) {
  return arith::ConstantOp::create(*this, getF32FloatAttr(value));
}
Value Emitter::splat(VectorType type, double value) {
  return arith::ConstantOp::create(
      *this,
      DenseElementsAttr::get(type, getFloatAttr(type.getElementType(), value)));
}

Value Emitter::add(Value a, Value b) {
  return createOrFold<arith::AddIOp>(a, b);
}
Value Emitter::sub(Value a, Value b) {
  return createOrFold<arith::SubIOp>(a, b);
}
Value Emitter::mul(Value a, int64_t b) {
  return createOrFold<arith::MulIOp>(a, index(b));
}
Value Emitter::div(Value a, int64_t b) {
  return createOrFold<arith::DivUIOp>(a, index(b));
}
Value Emitter::rem(Value a, int64_t b) {
  return createOrFold<arith::RemUIOp>(a, index(b));
}
Value Emitter::min(Value a, Value b) {
  return createOrFold<arith::MinUIOp>(a, b);
}
Value Emitter::xorBits(Value a, Value b) {
  return createOrFold<arith::XOrIOp>(a, b);
}
Value Emitter::less(Value a, Value b) {
  return createOrFold<arith::CmpIOp>(arith::CmpIPredicate::ult, a, b);
}
Value Emitter::both(Value a, Value b) {
  return createOrFold<arith::AndIOp>(a, b);
}

void Emitter::when(Value condition, llvm::function_ref<void()> body) {
  when(condition, {}, [&] {
    body();
    return SmallVector<Value>();
  });
}

SmallVector<Value>
Emitter::when(Value condition, ArrayRef<Value> otherwise,
              llvm::function_ref<SmallVector<Value>()> body) {
  if (std::optional<int64_t> constant = known(condition))
    return *constant ? body() : SmallVector<Value>(otherwise);
  SmallVector<Type> types = llvm::to_vector(ValueRange(otherwise).getTypes());
  auto op = scf::IfOp::create(*this, types, condition,
                              /*withElseRegion=*/!types.empty());
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(op.thenBlock());
  SmallVector<Value> results = body();
  if (types.empty())
    return {};
  scf::YieldOp::create(*this, results);
  setInsertionPointToStart(op.elseBlock());
  scf::YieldOp::create(*this, otherwise);
  return llvm::to_vector_of<Value>(op.getResults());
}

SmallVector<Value>
Emitter::loop(Value from, Value to, Value step, ArrayRef<Value> carried,
              llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto op = scf::ForOp::create(*this, from, to, step, carried);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(op.getBody());
  SmallVector<Value> next = body(op.getInductionVar(), op.getRegionIterArgs());
  if (!carried.empty())
    scf::YieldOp::create(*this, next);
  return llvm::to_vector_of<Value>(op.getResults());
}

Value Emitter::load(Value memref, ValueRange at, int64_t count) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  auto type = VectorType::get({count}, element);
  auto op = vector::LoadOp::create(*this, type, memref, at);
  op.setAlignment(count * element.getIntOrFloatBitWidth() / 8);
  return op;
}

void Emitter::store(Value vector, Value memref, ValueRange at) {
  auto type = cast<VectorType>(vector.getType());
  auto op = vector::StoreOp::create(*this, vector, memref, at);
  op.setAlignment(type.getNumElements() * type.getElementTypeBitWidth() / 8);
}

Value Emitter::pairOf(Value vector, int64_t at) {
  return vector::ShuffleOp::create(*this, vector, vector,
                                   ArrayRef<int64_t>{at, at + 1});
}

Value Emitter::convert(Value value, Type element) {
  Type type = element;
  if (auto vector = dyn_cast<VectorType>(value.getType()))
    type = vector.clone(element);
  unsigned from = getElementTypeOrSelf(value.getType()).getIntOrFloatBitWidth();
  if (value.getType() == type)
    return value;
  if (from > element.getIntOrFloatBitWidth())
    return arith::TruncFOp::create(*this, type, value);
  if (from < element.getIntOrFloatBitWidth())
    return arith::ExtFOp::create(*this, type, value);
  // f16 ↔ bf16: only f32 holds both.
  return convert(convert(value, getF32Type()), element);
}
