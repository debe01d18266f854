//===- DynamicQuantize.cpp - Activations to int8 codes --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emitter.h"
#include "cq/Conversion/CQToX86/Kernels.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

DynamicQuantizeTypes DynamicQuantizeTypes::get(MLIRContext *context, int64_t m,
                                               int64_t k, int64_t group) {
  Builder b(context);
  int64_t groups = (k + group - 1) / group;
  return {MemRefType::get({m, k}, b.getF32Type()),
          MemRefType::get({m, k}, b.getI8Type()),
          MemRefType::get({m, groups}, b.getF32Type()),
          MemRefType::get({m, groups}, b.getI32Type())};
}

namespace {

constexpr int64_t kLanes = 16;

/// One activation group of one token.
class GroupQuantizer {
public:
  GroupQuantizer(Emitter &e, Value x, Value codes, Value scales, Value sums)
      : e(e), x(x), codes(codes), scales(scales), sums(sums) {}

  void emit(Value token, Value column, int64_t length, Value group);

private:
  Value loadPiece(Value token, Value column, int64_t length);
  Value larger(Value a, Value b);
  Value quantize(Value values, Value divisor);

  Emitter &e;
  Value x, codes, scales, sums;
};

} // namespace

/// 16 elements, 0 where there are fewer (0 has code 0 and moves no maximum).
Value GroupQuantizer::loadPiece(Value token, Value column, int64_t length) {
  if (length == kLanes)
    return e.loadVector(x, {token, column}, kLanes);
  VectorType type = e.vec(kLanes, e.getF32Type());
  Value mask = vector::CreateMaskOp::create(e, e.vec(kLanes, e.getI1Type()),
                                            ValueRange{e.index(length)});
  return vector::MaskedLoadOp::create(e, type, x, ValueRange{token, column},
                                      mask, e.constF32(0.0f, kLanes));
}

Value GroupQuantizer::larger(Value a, Value b) {
  Value less = arith::CmpFOp::create(e, arith::CmpFPredicate::OLT, a, b);
  return arith::SelectOp::create(e, less, b, a);
}

Value GroupQuantizer::quantize(Value values, Value divisor) {
  Value ratio = arith::DivFOp::create(e, values, divisor);
  Value rounded = LLVM::RoundEvenOp::create(e, ratio);
  // Compare and select: a NaN becomes −127 here instead of poison in the cast.
  Value low = e.constF32(-127.0f, kLanes), high = e.constF32(127.0f, kLanes);
  Value above =
      arith::CmpFOp::create(e, arith::CmpFPredicate::OGT, rounded, low);
  rounded = arith::SelectOp::create(e, above, rounded, low);
  Value below =
      arith::CmpFOp::create(e, arith::CmpFPredicate::OLT, rounded, high);
  rounded = arith::SelectOp::create(e, below, rounded, high);
  return arith::FPToSIOp::create(e, e.vec(kLanes, e.getI32Type()), rounded);
}

void GroupQuantizer::emit(Value token, Value column, int64_t length,
                          Value group) {
  SmallVector<Value> values;
  Value maximum = e.constF32(0.0f, kLanes);
  for (int64_t offset = 0; offset < length; offset += kLanes) {
    values.push_back(loadPiece(token, e.add(column, offset),
                               std::min(kLanes, length - offset)));
    maximum = larger(maximum, LLVM::FAbsOp::create(e, values.back()));
  }
  for (int64_t width = kLanes / 2; width >= 1; width /= 2)
    maximum =
        larger(e.slice(maximum, 0, width), e.slice(maximum, width, width));
  Value amax = e.extract(maximum, 0);
  Value scale = arith::DivFOp::create(e, amax, e.constF32(127.0f));
  e.store(scale, scales, {token, group});
  // Where s is 0 every |x| is below 2^-140: x / 1 rounds to the code 0 that the
  // definition asks for, without a division by zero.
  Value isZero = arith::CmpFOp::create(e, arith::CmpFPredicate::OEQ, scale,
                                       e.constF32(0.0f));
  Value divisor = e.splat(
      arith::SelectOp::create(e, isZero, e.constF32(1.0f), scale).getResult(),
      kLanes);
  Value sum = e.constI32(0, kLanes);
  for (auto [piece, value] : llvm::enumerate(values)) {
    int64_t offset = static_cast<int64_t>(piece) * kLanes;
    Value code = quantize(value, divisor);
    sum = arith::AddIOp::create(e, sum, code);
    Value bytes =
        arith::TruncIOp::create(e, e.vec(kLanes, e.getI8Type()), code);
    e.store(e.slice(bytes, 0, std::min(kLanes, length - offset)), codes,
            {token, e.add(column, offset)});
  }
  e.store(vector::ReductionOp::create(e, vector::CombiningKind::ADD, sum), sums,
          {token, group});
}

func::FuncOp mlir::cq::x86::buildDynamicQuantizeKernel(
    OpBuilder &builder, Location loc, StringRef name, int64_t k, int64_t group,
    const DynamicQuantizeTypes &types) {
  OpBuilder::InsertionGuard guard(builder);
  Type index = builder.getIndexType();
  auto func = func::FuncOp::create(
      builder, loc, name,
      builder.getFunctionType(
          {types.x, types.codes, types.scales, types.sums, index, index}, {}));
  Block *entry = func.addEntryBlock();
  Emitter e(loc, builder);
  e.setInsertionPointToStart(entry);
  GroupQuantizer quantizer(e, entry->getArgument(0), entry->getArgument(1),
                           entry->getArgument(2), entry->getArgument(3));
  e.loop(entry->getArgument(4), entry->getArgument(5), 1, [&](Value token) {
    e.pieces(k, group, {}, [&](Value column, int64_t length, ValueRange) {
      quantizer.emit(token, column, length, e.udiv(column, group));
      return SmallVector<Value>();
    });
  });
  func::ReturnOp::create(e);
  return func;
}
