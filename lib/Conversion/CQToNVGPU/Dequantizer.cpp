//===- Dequantizer.cpp - Codes to f16 or bf16 without conversions ---------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Dequantizer.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::nv;

Dequantizer::Dequantizer(Emitter &b, const Scheme &scheme, FloatKind compute)
    : b(b), scheme(scheme), type_(VectorType::get({2}, b.floatType(compute))) {
  bool half = compute == FloatKind::F16;
  mantissa = half ? 10 : 7;
  magic = 1 << mantissa;
  magicBits = half ? 0x64006400 : 0x43004300;
  offset =
      scheme.grid == Grid::HalfStep ? scheme.maxCode() / 2.0 : scheme.offset();
}

bool Dequantizer::holds(double value) const {
  bool lossy = false;
  APFloat number(value);
  number.convert(cast<FloatType>(type_.getElementType()).getFloatSemantics(),
                 APFloat::rmNearestTiesToEven, &lossy);
  return !lossy;
}

Value Dequantizer::shifted(Value word, unsigned by) {
  if (by == 0)
    return word;
  // Kept per word: fields that follow each other share a shift.
  Value &result = shifts[{word, by}];
  if (!result || result.getParentBlock() != b.getInsertionBlock())
    result = b.createOrFold<arith::ShRUIOp>(word, b.i32(by));
  return result;
}

Value Dequantizer::pattern(Value word, uint32_t mask) {
  Value field =
      arith::AndIOp::create(b, word, b.i32(static_cast<int32_t>(mask)));
  return arith::OrIOp::create(b, field, b.i32(static_cast<int32_t>(magicBits)));
}

Value Dequantizer::asPair(Value word) {
  Value one = vector::FromElementsOp::create(
      b, VectorType::get({1}, b.getI32Type()), word);
  return vector::BitCastOp::create(b, type_, one);
}

Value Dequantizer::multiplyAdd(Value a, double factor, double summand) {
  assert(holds(factor) && holds(summand) && "constants must be exact");
  // sm_80 has no plain bf16 addition, so a factor of 1 is written there too.
  if (factor == 1 && type_.getElementType().isF16())
    return arith::AddFOp::create(b, a, b.splat(type_, summand));
  return math::FmaOp::create(b, a, b.splat(type_, factor),
                             b.splat(type_, summand));
}

Origin Dequantizer::origin(Value zeros) {
  Origin origin;
  for (unsigned row = 0; row < 2; ++row) {
    Value zero = b.extract(zeros, row);
    // To the compute type the way codes get there.
    zero = arith::ExtUIOp::create(b, b.getI32Type(), zero);
    zero = arith::UIToFPOp::create(b, b.getF32Type(), zero);
    zero = arith::TruncFOp::create(b, type_.getElementType(), zero);
    origin.zeros[row] = vector::BroadcastOp::create(b, type_, zero);
  }
  return origin;
}

/// Bytes do not fit seven bits: two nibbles, joined by a multiply-add.
Value Dequantizer::wideBytes(Value word, unsigned at, Origin &origin,
                             unsigned row) {
  uint32_t mask = 0x000F000F;
  Value low = asPair(pattern(shifted(word, at), mask));
  Value high = asPair(pattern(shifted(word, at + 4), mask));
  Value sixteens = multiplyAdd(high, 16, -16 * magic - offset);
  Value units = multiplyAdd(low, 1, -magic);
  Value one = b.splat(type_, 1);
  Value number = math::FmaOp::create(b, units, one, sixteens);
  if (!origin.zeros[row])
    return number;
  return math::FmaOp::create(b, origin.zeros[row], b.splat(type_, -1), number);
}

Value Dequantizer::pair(ArrayRef<Value> words, unsigned pair, Origin &origin) {
  const FragmentChunk &chunk = FragmentChunk::get(scheme.bits);
  ArrayRef<FragmentField> fields = chunk.fields[pair];
  unsigned row = pair % 2;
  Value word;
  unsigned shift = 0; // of the field in the mantissa
  if (fields.size() == 1) {
    const FragmentField &field = fields.front();
    if (field.width > mantissa)
      return wideBytes(words[field.word], field.bit, origin, row);
    // Fields of a half in order: as many as the mantissa holds share a shift.
    unsigned perShift = mantissa / field.width;
    unsigned base = field.bit / field.width / perShift * perShift * field.width;
    shift = field.bit - base;
    uint32_t mask = ((1u << field.width) - 1) << shift;
    word = pattern(shifted(words[field.word], base), mask | mask << 16);
  } else {
    for (const FragmentField &field : fields) {
      uint32_t mask = ((1u << field.width) - 1) << field.codeBit;
      Value part = arith::AndIOp::create(
          b, shifted(words[field.word], field.bit - field.codeBit),
          b.i32(static_cast<int32_t>(mask | mask << 16)));
      word = word ? arith::OrIOp::create(b, word, part).getResult() : part;
    }
    word =
        arith::OrIOp::create(b, word, b.i32(static_cast<int32_t>(magicBits)));
  }
  Value number = asPair(word);
  double factor = 1.0 / (1 << shift), base = magic * factor;
  if (!origin.zeros[row]) {
    if (holds(base + offset))
      return multiplyAdd(number, factor, -base - offset);
    return multiplyAdd(multiplyAdd(number, factor, -base), 1, -offset);
  }
  // base + z is exact in f16 (below 2048), not in bf16.
  if (type_.getElementType().isF16()) {
    Value &summand = origin.offsets[2 * shift + row];
    if (!summand)
      summand =
          arith::SubFOp::create(b, b.splat(type_, -base), origin.zeros[row]);
    if (shift == 0)
      return arith::AddFOp::create(b, number, summand);
    return math::FmaOp::create(b, number, b.splat(type_, factor), summand);
  }
  number = multiplyAdd(number, factor, -base);
  return math::FmaOp::create(b, origin.zeros[row], b.splat(type_, -1), number);
}
