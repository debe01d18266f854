//===- ArithRules.cpp - Derivatives of arith ops ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Reverse.h"
#include "ScalarRule.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::scalar;

static void pullBack(arith::AddFOp op, Step &s) {
  s.give(op.getLhs(), [&] { return s.d; });
  s.give(op.getRhs(), [&] { return s.d; });
}

static void pullBack(arith::SubFOp op, Step &s) {
  s.give(op.getLhs(), [&] { return s.d; });
  s.give(op.getRhs(), [&] { return s.neg(s.d); });
}

static void pullBack(arith::MulFOp op, Step &s) {
  s.give(op.getLhs(), [&] { return s.mul(s.d, op.getRhs()); });
  s.give(op.getRhs(), [&] { return s.mul(s.d, op.getLhs()); });
}

static void pullBack(arith::DivFOp op, Step &s) {
  Value quotient = s.div(s.d, op.getRhs());
  s.give(op.getLhs(), [&] { return quotient; });
  s.give(op.getRhs(), [&] { return s.neg(s.mul(quotient, op.getResult())); });
}

static void pullBack(arith::NegFOp op, Step &s) {
  s.give(op.getOperand(), [&] { return s.neg(s.d); });
}

/// `mask ? d : 0` to the first operand, the rest to the second.
static void choose(Value mask, Value first, Value second, Step &s) {
  Value zero = s.constant(s.d, 0);
  s.give(first, [&] { return arith::SelectOp::create(s.b, mask, s.d, zero); });
  s.give(second, [&] { return arith::SelectOp::create(s.b, mask, zero, s.d); });
}

/// Of equal operands the first one gets everything.
template <typename OpTy>
static void chooseByOrder(OpTy op, arith::CmpFPredicate predicate, Step &s) {
  Value mask = arith::CmpFOp::create(s.b, predicate, op.getLhs(), op.getRhs());
  choose(mask, op.getLhs(), op.getRhs(), s);
}
static void pullBack(arith::MaximumFOp op, Step &s) {
  chooseByOrder(op, arith::CmpFPredicate::OGE, s);
}
static void pullBack(arith::MaxNumFOp op, Step &s) {
  chooseByOrder(op, arith::CmpFPredicate::OGE, s);
}
static void pullBack(arith::MinimumFOp op, Step &s) {
  chooseByOrder(op, arith::CmpFPredicate::OLE, s);
}
static void pullBack(arith::MinNumFOp op, Step &s) {
  chooseByOrder(op, arith::CmpFPredicate::OLE, s);
}

static void pullBack(arith::SelectOp op, Step &s) {
  choose(op.getCondition(), op.getTrueValue(), op.getFalseValue(), s);
}

static void pullBack(arith::ExtFOp op, Step &s) {
  s.give(op.getIn(), [&] {
    return arith::TruncFOp::create(s.b, op.getIn().getType(), s.d);
  });
}

static void pullBack(arith::TruncFOp op, Step &s) {
  s.give(op.getIn(),
         [&] { return arith::ExtFOp::create(s.b, op.getIn().getType(), s.d); });
}

template <typename... Ops> static void attachAll(MLIRContext *context) {
  (attach<Ops, pullBack>(context), ...);
}

void mlir::cq::attachArithRules(MLIRContext *context) {
  attachAll<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp,
            arith::NegFOp, arith::MaximumFOp, arith::MaxNumFOp,
            arith::MinimumFOp, arith::MinNumFOp, arith::SelectOp, arith::ExtFOp,
            arith::TruncFOp>(context);
}
