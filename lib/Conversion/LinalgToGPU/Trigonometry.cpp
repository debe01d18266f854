//===- Trigonometry.cpp - Sine and cosine by arithmetic -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelWriter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::cq;

Value mlir::cq::emitSineOrCosine(OpBuilder &b, Location loc, Value x,
                                 bool sine) {
  Type type = b.getF64Type();
  auto constant = [&](double value) -> Value {
    return arith::ConstantOp::create(b, loc, b.getF64FloatAttr(value));
  };
  auto fma = [&](Value p, Value q, Value r) -> Value {
    return math::FmaOp::create(b, loc, p, q, r);
  };
  // x = quarter · π/2 + r, |r| ≤ π/4; π/2 in two parts, the first short enough
  // for exact products with quarters below 2^20.
  // 1.5 · 2^52 pushes the fraction out: rounding without a device library.
  Value magic = constant(0x1.8p+52);
  Value quarter = arith::SubFOp::create(
      b, loc, fma(x, constant(0x1.45f306dc9c883p-1), magic), magic);
  Value minus = arith::NegFOp::create(b, loc, quarter);
  Value r = fma(minus, constant(0x1.921fb544p+0), x);
  r = fma(minus, constant(0x1.0b4611a626331p-34), r);
  Value square = arith::MulFOp::create(b, loc, r, r);
  // Taylor's series: at π/4 what is left out is below 1e-13.
  auto series = [&](ArrayRef<double> coefficients) {
    Value sum = constant(coefficients.back());
    for (double coefficient : llvm::reverse(coefficients.drop_back()))
      sum = fma(sum, square, constant(coefficient));
    return sum;
  };
  double factorial[16] = {1};
  for (int i = 1; i < 16; ++i)
    factorial[i] = factorial[i - 1] * i;
  SmallVector<double> odd, even;
  for (int i = 0; i < 7; ++i) {
    double sign = i % 2 ? -1 : 1;
    odd.push_back(sign / factorial[2 * i + 1]);
    even.push_back(sign / factorial[2 * i]);
  }
  even.push_back(-1 / factorial[14]);
  Value sineOfR = arith::MulFOp::create(b, loc, series(odd), r);
  Value cosineOfR = series(even);
  // The quarter's last two bits say which function, and its sign.
  Type i32 = b.getI32Type();
  auto integer = [&](int32_t value) -> Value {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(value));
  };
  Value bits = arith::FPToSIOp::create(b, loc, i32, quarter);
  if (!sine)
    bits = arith::AddIOp::create(b, loc, bits, integer(1));
  auto bit = [&](int32_t mask) -> Value {
    return arith::CmpIOp::create(
        b, loc, arith::CmpIPredicate::ne,
        arith::AndIOp::create(b, loc, bits, integer(mask)), integer(0));
  };
  Value result = arith::SelectOp::create(b, loc, bit(1), cosineOfR, sineOfR);
  Value negative = arith::NegFOp::create(b, loc, type, result);
  return arith::SelectOp::create(b, loc, bit(2), negative, result);
}
