//===- Emitter.cpp - A builder with the few shapes kernels are made of ----===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::cq::x86;

Value Emitter::index(int64_t value) {
  return arith::ConstantIndexOp::create(*this, value);
}
Value Emitter::add(Value a, Value b) {
  return createOrFold<arith::AddIOp>(a, b);
}
Value Emitter::sub(Value a, Value b) {
  return createOrFold<arith::SubIOp>(a, b);
}
Value Emitter::mul(Value a, Value b) {
  return createOrFold<arith::MulIOp>(a, b);
}
Value Emitter::udiv(Value a, int64_t b) {
  return createOrFold<arith::DivUIOp>(a, index(b));
}
Value Emitter::urem(Value a, int64_t b) {
  return createOrFold<arith::RemUIOp>(a, index(b));
}
Value Emitter::min(Value a, Value b) {
  return createOrFold<arith::MinSIOp>(a, b);
}
Value Emitter::max(Value a, Value b) {
  return createOrFold<arith::MaxSIOp>(a, b);
}

Value Emitter::constInt(unsigned bits, int64_t value, int64_t lanes) {
  Type type = getIntegerType(bits);
  auto element = IntegerAttr::get(
      type, APInt(bits, static_cast<uint64_t>(value), /*isSigned=*/false,
                  /*implicitTrunc=*/true));
  if (lanes == 0)
    return arith::ConstantOp::create(*this, element);
  return arith::ConstantOp::create(
      *this, DenseElementsAttr::get(vec(lanes, type), element));
}
Value Emitter::constI32(int64_t value, int64_t lanes) {
  return constInt(32, value, lanes);
}
Value Emitter::constF32(float value, int64_t lanes) {
  auto element = getF32FloatAttr(value);
  if (lanes == 0)
    return arith::ConstantOp::create(*this, element);
  return arith::ConstantOp::create(
      *this, DenseElementsAttr::get(vec(lanes, getF32Type()), element));
}

Value Emitter::splat(Value scalar, int64_t lanes) {
  return vector::BroadcastOp::create(*this, vec(lanes, scalar.getType()),
                                     scalar);
}

Value Emitter::bitcast(Value vector, Type element) {
  auto type = cast<VectorType>(vector.getType());
  int64_t bits = type.getNumElements() * type.getElementTypeBitWidth();
  auto target = vec(bits / element.getIntOrFloatBitWidth(), element);
  return target == type ? vector
                        : vector::BitCastOp::create(*this, target, vector);
}

Value Emitter::load(Value memref, ValueRange indices) {
  return memref::LoadOp::create(*this, memref, indices);
}
Value Emitter::loadVector(Value memref, ValueRange indices, int64_t lanes) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  return vector::LoadOp::create(*this, vec(lanes, element), memref, indices);
}
void Emitter::prefetch(Value memref, ValueRange indices, bool forWrite) {
  memref::PrefetchOp::create(*this, memref, indices, forWrite,
                             /*localityHint=*/3, /*isDataCache=*/true);
}
void Emitter::store(Value value, Value memref, ValueRange indices) {
  if (isa<VectorType>(value.getType()))
    vector::StoreOp::create(*this, value, memref, indices);
  else
    memref::StoreOp::create(*this, value, memref, indices);
}

Value Emitter::broadcastQuad(Value memref, ValueRange indices, int64_t lanes) {
  // Through one i32, so that it becomes a broadcast from memory.
  Value word =
      extract(bitcast(loadVector(memref, indices, 4), getI32Type()), 0);
  return bitcast(splat(word, lanes), getI8Type());
}

static std::pair<Type, int64_t> elementAndLanes(Value value) {
  if (auto type = dyn_cast<VectorType>(value.getType()))
    return {type.getElementType(), type.getNumElements()};
  return {value.getType(), 0};
}

Value Emitter::shift(Value value, int amount) {
  if (amount == 0)
    return value;
  auto [element, lanes] = elementAndLanes(value);
  Value by = constInt(element.getIntOrFloatBitWidth(), std::abs(amount), lanes);
  if (amount > 0)
    return arith::ShRUIOp::create(*this, value, by);
  return arith::ShLIOp::create(*this, value, by);
}

Value Emitter::andMask(Value value, int64_t mask) {
  auto [element, lanes] = elementAndLanes(value);
  return arith::AndIOp::create(
      *this, value, constInt(element.getIntOrFloatBitWidth(), mask, lanes));
}

Value Emitter::intrinsic(StringRef name, Type result, ValueRange args) {
  return LLVM::CallIntrinsicOp::create(*this, result, getStringAttr(name), args)
      .getResult(0);
}

void Emitter::intrinsic(StringRef name, ValueRange args) {
  LLVM::CallIntrinsicOp::create(*this, getStringAttr(name), args);
}

Value Emitter::address(Value memref, ValueRange indices) {
  auto metadata = memref::ExtractStridedMetadataOp::create(*this, memref);
  Value element = getValueOrCreateConstantIndexOp(
      *this, getLoc(), metadata.getConstifiedMixedOffset());
  for (auto [index, stride] :
       llvm::zip_equal(indices, metadata.getConstifiedMixedStrides()))
    element = add(element, mul(index, getValueOrCreateConstantIndexOp(
                                          *this, getLoc(), stride)));
  Type i64 = getI64Type();
  auto toI64 = [&](Value value) {
    return arith::IndexCastOp::create(*this, i64, value).getResult();
  };
  Type pointer = LLVM::LLVMPointerType::get(getContext());
  Value base = LLVM::IntToPtrOp::create(
      *this, pointer,
      toI64(memref::ExtractAlignedPointerAsIndexOp::create(*this, memref)));
  return LLVM::GEPOp::create(
      *this, pointer, cast<MemRefType>(memref.getType()).getElementType(), base,
      toI64(element));
}

Value Emitter::toF32(Value value) {
  auto [element, count] = elementAndLanes(value);
  if (element.isF32())
    return value;
  int64_t lanes = count; // C++17 lambdas cannot capture a structured binding
  auto like = [&](Type type) { return lanes ? Type(vec(lanes, type)) : type; };
  if (element.isBF16()) {
    // The upper half of an f32: no instruction set is needed for that.
    Value bits =
        lanes
            ? bitcast(value, getI16Type())
            : arith::BitcastOp::create(*this, getI16Type(), value).getResult();
    Value wide =
        shift(arith::ExtUIOp::create(*this, like(getI32Type()), bits), -16);
    return lanes ? bitcast(wide, getF32Type())
                 : arith::BitcastOp::create(*this, getF32Type(), wide)
                       .getResult();
  }
  return arith::ExtFOp::create(*this, like(getF32Type()), value);
}

Value Emitter::zextI32(Value value) {
  auto [element, lanes] = elementAndLanes(value);
  if (element.isInteger(32))
    return value;
  Type type = lanes ? Type(vec(lanes, getI32Type())) : getI32Type();
  return arith::ExtUIOp::create(*this, type, value);
}

Value Emitter::fromElements(ArrayRef<Value> elements) {
  return vector::FromElementsOp::create(
      *this, vec(elements.size(), elements.front().getType()), elements);
}

Value Emitter::extract(Value vector, int64_t position) {
  return vector::ExtractOp::create(*this, vector, ArrayRef<int64_t>{position});
}

Value Emitter::slice(Value vector, int64_t offset, int64_t lanes) {
  if (cast<VectorType>(vector.getType()).getNumElements() == lanes)
    return vector;
  return vector::ExtractStridedSliceOp::create(
      *this, vector, ArrayRef<int64_t>{offset}, ArrayRef<int64_t>{lanes},
      ArrayRef<int64_t>{1});
}

SmallVector<Value> Emitter::loop(Value lower, Value upper, int64_t step,
                                 ValueRange inits, Body body) {
  auto op = scf::ForOp::create(*this, lower, upper, index(step), inits);
  OpBuilder::InsertionGuard guard(*this);
  Block *block = op.getBody();
  // Without iter_args the builder has put the terminator in already.
  if (inits.empty())
    setInsertionPoint(block->getTerminator());
  else
    setInsertionPointToEnd(block);
  SmallVector<Value> yielded =
      body(op.getInductionVar(), op.getRegionIterArgs());
  if (!inits.empty())
    scf::YieldOp::create(*this, yielded);
  return SmallVector<Value>(op.getResults());
}

void Emitter::loop(Value lower, Value upper, int64_t step,
                   llvm::function_ref<void(Value)> body) {
  loop(lower, upper, step, ValueRange(), [&](Value iv, ValueRange) {
    body(iv);
    return SmallVector<Value>();
  });
}

void Emitter::ifThen(Value condition, llvm::function_ref<void()> then,
                     llvm::function_ref<void()> otherwise) {
  auto op =
      scf::IfOp::create(*this, condition, /*withElseRegion=*/bool(otherwise));
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(op.thenBlock());
  then();
  if (otherwise) {
    setInsertionPointToStart(op.elseBlock());
    otherwise();
  }
}

SmallVector<Value> Emitter::pieces(int64_t total, int64_t step,
                                   ValueRange inits, PieceBody body) {
  SmallVector<Value> carried(inits);
  int64_t whole = total / step * step;
  if (whole > step)
    carried = loop(
        index(0), index(whole), step, carried,
        [&](Value start, ValueRange args) { return body(start, step, args); });
  else if (whole == step)
    carried = body(index(0), step, carried);
  if (total > whole)
    carried = body(index(whole), total - whole, carried);
  return carried;
}

func::FuncOp mlir::cq::x86::createKernelFunction(
    OpBuilder &builder, Location loc, StringRef name,
    ArrayRef<std::pair<MemRefType, Value *>> slots, Value &begin, Value &end) {
  SmallVector<Type> argTypes;
  for (auto &[type, slot] : slots)
    if (type)
      argTypes.push_back(type);
  argTypes.append(2, builder.getIndexType());
  auto func = func::FuncOp::create(builder, loc, name,
                                   builder.getFunctionType(argTypes, {}));
  Block *entry = func.addEntryBlock();
  unsigned next = 0;
  for (auto &[type, slot] : slots)
    if (type)
      *slot = entry->getArgument(next++);
  begin = entry->getArgument(next);
  end = entry->getArgument(next + 1);
  return func;
}
