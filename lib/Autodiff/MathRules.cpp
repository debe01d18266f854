//===- MathRules.cpp - Derivatives of math ops --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Reverse.h"
#include "ScalarRule.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::scalar;

// One overload an op: its derivative times the cotangent s.d. y is the result.

static Value derivative(math::ExpOp op, Value, Value y, Step &s) {
  return s.mul(s.d, y);
}
static Value derivative(math::Exp2Op op, Value, Value y, Step &s) {
  return s.mul(s.d, s.scale(y, std::log(2.0)));
}
static Value derivative(math::ExpM1Op op, Value, Value y, Step &s) {
  return s.mul(s.d, s.add(y, s.constant(y, 1)));
}
static Value derivative(math::LogOp op, Value x, Value, Step &s) {
  return s.div(s.d, x);
}
static Value derivative(math::Log2Op op, Value x, Value, Step &s) {
  return s.div(s.d, s.scale(x, std::log(2.0)));
}
static Value derivative(math::Log10Op op, Value x, Value, Step &s) {
  return s.div(s.d, s.scale(x, std::log(10.0)));
}
static Value derivative(math::Log1pOp op, Value x, Value, Step &s) {
  return s.div(s.d, s.add(x, s.constant(x, 1)));
}
static Value derivative(math::SqrtOp op, Value, Value y, Step &s) {
  return s.div(s.scale(s.d, 0.5), y);
}
/// −½ x^(−3/2) = −½ y³.
static Value derivative(math::RsqrtOp op, Value, Value y, Step &s) {
  return s.mul(s.scale(s.d, -0.5), s.mul(y, s.square(y)));
}
static Value derivative(math::TanhOp op, Value, Value y, Step &s) {
  return s.mul(s.d, s.sub(s.constant(y, 1), s.square(y)));
}
/// 2/√π · exp(−x²).
static Value derivative(math::ErfOp op, Value x, Value, Step &s) {
  Value bell = math::ExpOp::create(s.b, s.neg(s.square(x)));
  return s.mul(s.d, s.scale(bell, 2 / std::sqrt(std::acos(-1.0))));
}
static Value derivative(math::SinOp op, Value x, Value, Step &s) {
  return s.mul(s.d, math::CosOp::create(s.b, x));
}
static Value derivative(math::CosOp op, Value x, Value, Step &s) {
  return s.mul(s.d, s.neg(math::SinOp::create(s.b, x)));
}
static Value derivative(math::SinhOp op, Value x, Value, Step &s) {
  return s.mul(s.d, math::CoshOp::create(s.b, x));
}
static Value derivative(math::CoshOp op, Value x, Value, Step &s) {
  return s.mul(s.d, math::SinhOp::create(s.b, x));
}
static Value derivative(math::AtanOp op, Value x, Value, Step &s) {
  return s.div(s.d, s.add(s.constant(x, 1), s.square(x)));
}
/// 0 at 0.
static Value derivative(math::AbsFOp op, Value x, Value, Step &s) {
  Value zero = s.constant(x, 0);
  auto where = [&](arith::CmpFPredicate order, Value yes, Value no) -> Value {
    Value mask = arith::CmpFOp::create(s.b, order, x, zero);
    return arith::SelectOp::create(s.b, mask, yes, no);
  };
  Value below = where(arith::CmpFPredicate::OLT, s.neg(s.d), zero);
  return where(arith::CmpFPredicate::OGT, s.d, below);
}

template <typename OpTy> static void unary(OpTy op, Step &s) {
  s.give(op.getOperand(),
         [&] { return derivative(op, op.getOperand(), op.getResult(), s); });
}

/// x^p: p x^(p−1) to x, x^p log x to p.
static void pullBack(math::PowFOp op, Step &s) {
  Value x = op.getLhs(), p = op.getRhs();
  s.give(x, [&] {
    Value less = s.sub(p, s.constant(p, 1));
    Value power = math::PowFOp::create(s.b, x, less);
    return s.mul(s.d, s.mul(p, power));
  });
  s.give(p, [&] {
    Value log = math::LogOp::create(s.b, x);
    return s.mul(s.d, s.mul(op.getResult(), log));
  });
}

/// n x^(n−1).
static void pullBack(math::FPowIOp op, Step &s) {
  Value x = op.getLhs(), n = op.getRhs();
  s.give(x, [&] {
    Type type = n.getType();
    Value one = arith::ConstantOp::create(s.b, s.b.getOneAttr(type));
    Value less = arith::SubIOp::create(s.b, n, one);
    Value power = math::FPowIOp::create(s.b, x, less);
    Value factor = arith::SIToFPOp::create(s.b, x.getType(), n);
    return s.mul(s.d, s.mul(factor, power));
  });
}

static void pullBack(math::FmaOp op, Step &s) {
  s.give(op.getA(), [&] { return s.mul(s.d, op.getB()); });
  s.give(op.getB(), [&] { return s.mul(s.d, op.getA()); });
  s.give(op.getC(), [&] { return s.d; });
}

template <typename... Ops> static void attachUnary(MLIRContext *context) {
  (attach<Ops, unary<Ops>>(context), ...);
}

void mlir::cq::attachMathRules(MLIRContext *context) {
  attachUnary<math::ExpOp, math::Exp2Op, math::ExpM1Op, math::LogOp,
              math::Log2Op, math::Log10Op, math::Log1pOp, math::SqrtOp,
              math::RsqrtOp, math::TanhOp, math::ErfOp, math::SinOp,
              math::CosOp, math::SinhOp, math::CoshOp, math::AtanOp,
              math::AbsFOp>(context);
  attach<math::PowFOp, pullBack>(context);
  attach<math::FPowIOp, pullBack>(context);
  attach<math::FmaOp, pullBack>(context);
}
