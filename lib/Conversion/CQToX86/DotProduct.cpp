//===- DotProduct.cpp - Sums of u8 x s8 products on a vector level --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Emulated forms say in plain arithmetic what the instructions do on operands
// for which nothing saturates.
//
//===----------------------------------------------------------------------===//

#include "DotProduct.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include <limits>

using namespace mlir;
using namespace mlir::cq::x86;

static constexpr unsigned kMaxActivation = 127;
static constexpr unsigned kMaxPair = std::numeric_limits<int16_t>::max();

/// Sign-extends the element's `bits`-wide field that ends below bit `top`.
static Value signedField(Emitter &e, Value value, unsigned top, unsigned bits) {
  auto type = cast<VectorType>(value.getType());
  unsigned width = type.getElementTypeBitWidth();
  value = e.shift(value, static_cast<int>(top) - static_cast<int>(width));
  return arith::ShRSIOp::create(
      e, value, e.constInt(width, width - bits, type.getNumElements()));
}

Value DotProduct::dotQuad(Value total, Value operand, Value activation) {
  if (!isa.emulated)
    return e.intrinsic(isa.vectorBytes() == 64 ? "llvm.x86.avx512.vpdpbusd.512"
                                               : "llvm.x86.avx512.vpdpbusd.256",
                       total.getType(), {total, operand, activation});
  Value u = e.bitcast(operand, e.getI32Type());
  Value s = e.bitcast(activation, e.getI32Type());
  for (int byte = 0; byte < 4; ++byte) {
    Value product =
        arith::MulIOp::create(e, e.andMask(e.shift(u, 8 * byte), 0xFF),
                              signedField(e, s, 8 * (byte + 1), 8));
    total = arith::AddIOp::create(e, total, product);
  }
  return total;
}

Value DotProduct::pairProducts(Value operand, Value activation) {
  Type i16 = e.getI16Type();
  if (!isa.emulated)
    return e.intrinsic(
        isa.vectorBytes() == 64 ? "llvm.x86.avx512.pmaddubs.w.512"
                                : "llvm.x86.avx2.pmadd.ub.sw",
        e.vec(isa.vectorBytes() / 2, i16), {operand, activation});
  Value u = e.bitcast(operand, i16), s = e.bitcast(activation, i16);
  Value low =
      arith::MulIOp::create(e, e.andMask(u, 0xFF), signedField(e, s, 8, 8));
  Value high =
      arith::MulIOp::create(e, e.shift(u, 8), signedField(e, s, 16, 8));
  return arith::AddIOp::create(e, low, high);
}

Value DotProduct::widenPairs(Value pairs) {
  Type i32 = e.getI32Type();
  if (!isa.emulated)
    return e.intrinsic(isa.vectorBytes() == 64 ? "llvm.x86.avx512.pmaddw.d.512"
                                               : "llvm.x86.avx2.pmadd.wd",
                       e.vec(isa.lanes(), i32),
                       {pairs, e.constInt(16, 1, isa.vectorBytes() / 2)});
  Value wide = e.bitcast(pairs, i32);
  return arith::AddIOp::create(e, signedField(e, wide, 16, 16),
                               signedField(e, wide, 32, 16));
}

Operand DotProduct::prepare(Value bytes, unsigned max, bool centered) {
  if (!centered)
    return {bytes, nullptr, max};
  Value sign =
      arith::XOrIOp::create(e, bytes, e.constInt(8, 0x80, isa.vectorBytes()));
  // |−128| is 128 as an unsigned byte: two products with 127 still fit an
  // int16.
  Value negative =
      arith::SubIOp::create(e, e.constInt(8, 0, isa.vectorBytes()), sign);
  return {arith::MaxSIOp::create(e, sign, negative), sign, max};
}

Value DotProduct::withSign(Value activation, Value sign) {
  if (!isa.emulated)
    return e.intrinsic("llvm.x86.avx2.psign.b", activation.getType(),
                       {activation, sign});
  Value zero = e.constInt(8, 0, isa.vectorBytes());
  Value isNegative =
      arith::CmpIOp::create(e, arith::CmpIPredicate::slt, sign, zero);
  // Where the weight is 0 the product is 0 either way.
  return arith::SelectOp::create(
      e, isNegative, arith::SubIOp::create(e, zero, activation), activation);
}

void DotProduct::accumulate(Accumulator &acc, const Operand &operand,
                            Value activation) {
  if (isa.hasDotProduct()) {
    acc.total = dotQuad(acc.total, operand.bytes, activation);
    return;
  }
  unsigned bound = 2 * operand.max * kMaxActivation;
  assert(bound <= kMaxPair && "the operand would saturate vpmaddubsw");
  if (acc.pending && acc.pendingMax + bound > kMaxPair)
    finish(acc);
  if (operand.sign)
    activation = withSign(activation, operand.sign);
  Value products = pairProducts(operand.bytes, activation);
  acc.pending =
      acc.pending ? arith::AddIOp::create(e, acc.pending, products).getResult()
                  : products;
  acc.pendingMax += bound;
}

void DotProduct::finish(Accumulator &acc) {
  if (!acc.pending)
    return;
  acc.total = arith::AddIOp::create(e, acc.total, widenPairs(acc.pending));
  acc.pending = nullptr;
  acc.pendingMax = 0;
}

int64_t DotProduct::pairsPerSum(unsigned max) {
  return kMaxPair / (2 * max * kMaxActivation);
}

Value DotProduct::zeroPairs() {
  return e.constInt(16, 0, isa.vectorBytes() / 2);
}

Value DotProduct::addPairProducts(Value pairs, const Operand &operand,
                                  Value activation) {
  return arith::AddIOp::create(e, pairs,
                               pairProducts(operand.bytes, activation));
}
