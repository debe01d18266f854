//===- ArithOps.cpp - arith and math --------------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Translator.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cstring>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::gpusim;

/// A rule for an operation whose result elements each come from the operand
/// elements of the same number and lane. `make` looks at the operation and
/// gives the function, or null with an error.
template <typename Function>
static Action elementwise(Slot out, ArrayRef<Slot> in, Function function) {
  SmallVector<Slot, 3> operands(in);
  return [=](Warp &warp) {
    for (uint32_t e = 0; e != out.count; ++e) {
      uint64_t *result = warp.lanes(out.index + e);
      const uint64_t *a = warp.lanes(operands[0].index + e);
      const uint64_t *b =
          operands.size() > 1 ? warp.lanes(operands[1].index + e) : a;
      for (unsigned lane = 0; lane != kLanes; ++lane)
        result[lane] = function(a[lane], b[lane]);
    }
    return Outcome::Next;
  };
}

namespace {
struct Operands {
  Slot out;
  SmallVector<Slot> in;
  unsigned bits; ///< of the first operand
};
} // namespace

static FailureOr<Operands> operandsOf(Operation *op, Translator &t) {
  FailureOr<Slot> out = t.slot(op->getResult(0));
  FailureOr<SmallVector<Slot>> in = t.slots(op->getOperands());
  if (failed(out) || failed(in))
    return failure();
  return Operands{*out, std::move(*in),
                  elementBits(op->getOperand(0).getType())};
}

template <typename Function>
static void addInteger(Translator &translator, StringRef name,
                       Function function) {
  translator.add(name,
                 [function](Operation *op, Translator &t) -> FailureOr<Action> {
                   FailureOr<Operands> operands = operandsOf(op, t);
                   if (failed(operands))
                     return failure();
                   unsigned bits = operands->bits;
                   uint64_t mask = lowBits(bits);
                   return elementwise(operands->out, operands->in,
                                      [=](uint64_t a, uint64_t b) {
                                        return function(a, b, bits) & mask;
                                      });
                 });
}

/// Division and shifts: operands with no defined result are errors in active
/// lanes.
template <typename Function>
static void addPartial(Translator &translator, StringRef name,
                       Function function, bool shift) {
  translator.add(name, [=](Operation *op, Translator &t) -> FailureOr<Action> {
    FailureOr<Operands> operands = operandsOf(op, t);
    if (failed(operands))
      return failure();
    unsigned bits = operands->bits;
    return Action([=, o = *operands](Warp &warp) {
      for (uint32_t e = 0; e != o.out.count; ++e)
        for (unsigned lane = 0; lane != kLanes; ++lane) {
          uint64_t a = warp.lanes(o.in[0].index + e)[lane],
                   b = warp.lanes(o.in[1].index + e)[lane];
          if (!warp.active(lane))
            continue;
          if (shift ? b >= bits : b == 0)
            return warp.fail(lane, shift ? "shift by " + Twine(b) + " of a " +
                                               Twine(bits) + "-bit value"
                                         : Twine("division by zero"));
          warp.lanes(o.out.index + e)[lane] =
              function(a, b, bits) & lowBits(bits);
        }
      return Outcome::Next;
    });
  });
}

/// A float operation computed in double and rounded to the type: exact for
/// +, −, ·, / and square roots of f16, bf16 and f32 (53 ≥ 2 · 24 + 2 bits).
template <typename Function>
static void addFloat(Translator &translator, StringRef name,
                     Function function) {
  translator.add(
      name, [function](Operation *op, Translator &t) -> FailureOr<Action> {
        FailureOr<Operands> operands = operandsOf(op, t);
        std::optional<FloatKind> kind = floatKind(op->getOperand(0).getType());
        if (failed(operands))
          return failure();
        if (!kind)
          return op->emitError()
                 << "the interpreter knows f16, bf16, f32 and f64";
        FloatKind k = *kind;
        if (k == FloatKind::F32)
          return elementwise(
              operands->out, operands->in,
              [=](uint64_t a, uint64_t b) -> uint64_t {
                return llvm::bit_cast<uint32_t>(static_cast<float>(
                    function(double(llvm::bit_cast<float>(uint32_t(a))),
                             double(llvm::bit_cast<float>(uint32_t(b))))));
              });
        return elementwise(
            operands->out, operands->in, [=](uint64_t a, uint64_t b) {
              return encodeFloat(function(decodeFloat(a, k), decodeFloat(b, k)),
                                 k);
            });
      });
}

template <typename Function>
static void addConversion(Translator &translator, StringRef name,
                          Function function) {
  translator.add(
      name, [function](Operation *op, Translator &t) -> FailureOr<Action> {
        FailureOr<Operands> operands = operandsOf(op, t);
        if (failed(operands))
          return failure();
        unsigned from = operands->bits,
                 to = elementBits(op->getResult(0).getType());
        FloatKind
            fromKind =
                floatKind(op->getOperand(0).getType()).value_or(FloatKind::F64),
            toKind =
                floatKind(op->getResult(0).getType()).value_or(FloatKind::F64);
        for (Type type :
             {op->getOperand(0).getType(), op->getResult(0).getType()})
          if (isa<FloatType>(getElementTypeOrSelf(type)) && !floatKind(type))
            return op->emitError()
                   << "the interpreter knows f16, bf16, f32 and f64";
        return elementwise(
            operands->out, operands->in, [=](uint64_t a, uint64_t) {
              return function(a, from, to, fromKind, toKind) & lowBits(to);
            });
      });
}

static FailureOr<Action> translateConstant(Operation *op, Translator &t) {
  FailureOr<Slot> out = t.slot(op->getResult(0));
  if (failed(out))
    return failure();
  Attribute value = cast<arith::ConstantOp>(op).getValue();
  auto bitsOf = [](Attribute attribute) {
    if (auto number = dyn_cast<FloatAttr>(attribute))
      return number.getValue().bitcastToAPInt().getZExtValue();
    return cast<IntegerAttr>(attribute).getValue().getZExtValue();
  };
  if (auto dense = dyn_cast<DenseElementsAttr>(value)) {
    uint32_t index = out->index;
    for (Attribute element : dense.getValues<Attribute>())
      t.preset(index++, bitsOf(element));
  } else if (isa<FloatAttr, IntegerAttr>(value)) {
    t.preset(out->index, bitsOf(value));
  } else {
    return op->emitError() << "the interpreter does not know this constant";
  }
  return Action();
}

template <typename Compare>
static Action compare(const Operands &o, unsigned bits, Compare test) {
  return elementwise(o.out, o.in, [=](uint64_t a, uint64_t b) -> uint64_t {
    return test(a, b, signExtend(a, bits), signExtend(b, bits));
  });
}

static FailureOr<Action> translateCmpI(Operation *op, Translator &t) {
  FailureOr<Operands> o = operandsOf(op, t);
  if (failed(o))
    return failure();
  unsigned bits = o->bits;
  using P = arith::CmpIPredicate;
  switch (cast<arith::CmpIOp>(op).getPredicate()) {
  case P::eq:
    return compare(*o, bits, [](auto a, auto b, auto, auto) { return a == b; });
  case P::ne:
    return compare(*o, bits, [](auto a, auto b, auto, auto) { return a != b; });
  case P::slt:
    return compare(*o, bits, [](auto, auto, auto a, auto b) { return a < b; });
  case P::sle:
    return compare(*o, bits, [](auto, auto, auto a, auto b) { return a <= b; });
  case P::sgt:
    return compare(*o, bits, [](auto, auto, auto a, auto b) { return a > b; });
  case P::sge:
    return compare(*o, bits, [](auto, auto, auto a, auto b) { return a >= b; });
  case P::ult:
    return compare(*o, bits, [](auto a, auto b, auto, auto) { return a < b; });
  case P::ule:
    return compare(*o, bits, [](auto a, auto b, auto, auto) { return a <= b; });
  case P::ugt:
    return compare(*o, bits, [](auto a, auto b, auto, auto) { return a > b; });
  case P::uge:
    return compare(*o, bits, [](auto a, auto b, auto, auto) { return a >= b; });
  }
  return failure();
}

static FailureOr<Action> translateCmpF(Operation *op, Translator &t) {
  FailureOr<Operands> o = operandsOf(op, t);
  std::optional<FloatKind> kind = floatKind(op->getOperand(0).getType());
  if (failed(o))
    return failure();
  if (!kind)
    return op->emitError() << "the interpreter knows f16, bf16, f32 and f64";
  // As bits: equal 1, greater 2, less 4, unordered 8. MLIR numbers the
  // predicates so, but for `uno`, which comes after the other unordered ones.
  using P = arith::CmpFPredicate;
  P number = cast<arith::CmpFOp>(op).getPredicate();
  unsigned predicate = static_cast<unsigned>(number);
  if (number == P::UNO)
    predicate = 8;
  else if (number != P::AlwaysTrue && predicate >= 8)
    ++predicate;
  return elementwise(
      o->out, o->in,
      [predicate, k = *kind](uint64_t a, uint64_t b) -> uint64_t {
        double x = decodeFloat(a, k), y = decodeFloat(b, k);
        unsigned relation = x == y ? 1 : x > y ? 2 : x < y ? 4 : 8;
        return (predicate & relation) != 0;
      });
}

static FailureOr<Action> translateSelect(Operation *op, Translator &t) {
  FailureOr<Operands> operands = operandsOf(op, t);
  if (failed(operands))
    return failure();
  return Action([o = *operands](Warp &warp) {
    for (uint32_t e = 0; e != o.out.count; ++e) {
      // A scalar condition chooses whole vectors and memrefs.
      const uint64_t *condition =
          warp.lanes(o.in[0].index + (o.in[0].count == 1 ? 0 : e));
      const uint64_t *yes = warp.lanes(o.in[1].index + e),
                     *no = warp.lanes(o.in[2].index + e);
      uint64_t *result = warp.lanes(o.out.index + e);
      for (unsigned lane = 0; lane != kLanes; ++lane)
        result[lane] = condition[lane] & 1 ? yes[lane] : no[lane];
    }
    return Outcome::Next;
  });
}

static FailureOr<Action> translateFma(Operation *op, Translator &t) {
  FailureOr<Operands> operands = operandsOf(op, t);
  std::optional<FloatKind> kind = floatKind(op->getOperand(0).getType());
  if (failed(operands))
    return failure();
  if (!kind)
    return op->emitError() << "the interpreter knows f16, bf16, f32 and f64";
  return Action([o = *operands, k = *kind](Warp &warp) {
    for (uint32_t e = 0; e != o.out.count; ++e)
      for (unsigned lane = 0; lane != kLanes; ++lane)
        warp.lanes(o.out.index + e)[lane] =
            fusedMultiplyAdd(warp.lanes(o.in[0].index + e)[lane],
                             warp.lanes(o.in[1].index + e)[lane],
                             warp.lanes(o.in[2].index + e)[lane], k);
    return Outcome::Next;
  });
}

/// mul{s,u}i_extended and addui_extended: low part and the rest.
static FailureOr<Action> translateExtended(Operation *op, Translator &t) {
  FailureOr<Operands> operands = operandsOf(op, t);
  FailureOr<Slot> high = t.slot(op->getResult(1));
  if (failed(operands) || failed(high))
    return failure();
  bool sum = isa<arith::AddUIExtendedOp>(op),
       isSigned = isa<arith::MulSIExtendedOp>(op);
  return Action([=, o = *operands, high = *high](Warp &warp) {
    for (uint32_t e = 0; e != o.out.count; ++e)
      for (unsigned lane = 0; lane != kLanes; ++lane) {
        uint64_t a = warp.lanes(o.in[0].index + e)[lane],
                 b = warp.lanes(o.in[1].index + e)[lane];
        unsigned __int128 wide;
        if (sum)
          wide = static_cast<unsigned __int128>(a) + b;
        else if (isSigned)
          wide = static_cast<unsigned __int128>(
              static_cast<__int128>(signExtend(a, o.bits)) *
              signExtend(b, o.bits));
        else
          wide = static_cast<unsigned __int128>(a) * b;
        warp.lanes(o.out.index + e)[lane] =
            static_cast<uint64_t>(wide) & lowBits(o.bits);
        warp.lanes(high.index + e)[lane] =
            static_cast<uint64_t>(wide >> o.bits) & lowBits(sum ? 1 : o.bits);
      }
    return Outcome::Next;
  });
}

static double minimum(double a, double b, bool ignoreNaN, bool maximum) {
  if (std::isnan(a) || std::isnan(b))
    return !ignoreNaN ? std::nan("") : std::isnan(a) ? b : a;
  if (a == b) // zeros of different signs
    return std::signbit(a) != maximum ? a : b;
  return (a < b) != maximum ? a : b;
}

static void addIntegerRules(Translator &t) {
  using U = uint64_t;
  addInteger(t, "arith.addi", [](U a, U b, unsigned) { return a + b; });
  addInteger(t, "arith.subi", [](U a, U b, unsigned) { return a - b; });
  addInteger(t, "arith.muli", [](U a, U b, unsigned) { return a * b; });
  addInteger(t, "arith.andi", [](U a, U b, unsigned) { return a & b; });
  addInteger(t, "arith.ori", [](U a, U b, unsigned) { return a | b; });
  addInteger(t, "arith.xori", [](U a, U b, unsigned) { return a ^ b; });
  addInteger(t, "arith.maxui",
             [](U a, U b, unsigned) { return std::max(a, b); });
  addInteger(t, "arith.minui",
             [](U a, U b, unsigned) { return std::min(a, b); });
  addInteger(t, "arith.maxsi", [](U a, U b, unsigned w) {
    return signExtend(a, w) > signExtend(b, w) ? a : b;
  });
  addInteger(t, "arith.minsi", [](U a, U b, unsigned w) {
    return signExtend(a, w) < signExtend(b, w) ? a : b;
  });
  addPartial(t, "arith.shli", [](U a, U b, unsigned) { return a << b; }, true);
  addPartial(t, "arith.shrui", [](U a, U b, unsigned) { return a >> b; }, true);
  addPartial(
      t, "arith.shrsi",
      [](U a, U b, unsigned w) { return U(signExtend(a, w) >> b); }, true);
  addPartial(t, "arith.divui", [](U a, U b, unsigned) { return a / b; }, false);
  addPartial(t, "arith.remui", [](U a, U b, unsigned) { return a % b; }, false);
  addPartial(
      t, "arith.ceildivui",
      [](U a, U b, unsigned) { return a / b + (a % b != 0); }, false);
  // INT_MIN / −1 wraps, which 128-bit division gives without a trap.
  auto quotient = [](int direction) {
    return [direction](U a, U b, unsigned w) {
      __int128 x = signExtend(a, w), y = signExtend(b, w), q = x / y;
      bool inexact = x % y != 0, negative = (x < 0) != (y < 0);
      if (inexact && direction < 0 && negative)
        --q;
      if (inexact && direction > 0 && !negative)
        ++q;
      return static_cast<U>(q);
    };
  };
  addPartial(t, "arith.divsi", quotient(0), false);
  addPartial(t, "arith.floordivsi", quotient(-1), false);
  addPartial(t, "arith.ceildivsi", quotient(1), false);
  addPartial(
      t, "arith.remsi",
      [](U a, U b, unsigned w) {
        return U(static_cast<__int128>(signExtend(a, w)) % signExtend(b, w));
      },
      false);
  addInteger(t, "math.ctpop",
             [](U a, U, unsigned) { return U(llvm::popcount(a)); });
  addInteger(t, "math.ctlz", [](U a, U, unsigned w) {
    return U(llvm::countl_zero(a)) - (64 - w);
  });
  addInteger(t, "math.cttz", [](U a, U, unsigned w) {
    return std::min<U>(llvm::countr_zero(a), w);
  });
  addInteger(t, "math.absi", [](U a, U, unsigned w) {
    return signExtend(a, w) < 0 ? U(0) - a : a;
  });
  t.addAll(translateExtended, "arith.addui_extended", "arith.mului_extended",
           "arith.mulsi_extended");
  t.add("arith.cmpi", translateCmpI);
}

static void addConversionRules(Translator &t) {
  using U = uint64_t;
  using K = FloatKind;
  auto zero = [](U a, unsigned, unsigned, K, K) { return a; };
  auto sign = [](U a, unsigned from, unsigned, K, K) {
    return U(signExtend(a, from));
  };
  for (StringRef name :
       {"arith.extui", "arith.trunci", "arith.bitcast", "arith.index_castui"})
    addConversion(t, name, zero);
  for (StringRef name : {"arith.extsi", "arith.index_cast"})
    addConversion(t, name, sign);
  for (StringRef name : {"arith.extf", "arith.truncf"})
    addConversion(t, name, [](U a, unsigned, unsigned, K from, K to) {
      return encodeFloat(decodeFloat(a, from), to);
    });
  addConversion(
      t, "arith.sitofp", [](U a, unsigned from, unsigned, K, K to) -> U {
        int64_t v = signExtend(a, from);
        return to == K::F32 ? llvm::bit_cast<uint32_t>(static_cast<float>(v))
                            : encodeFloat(static_cast<double>(v), to);
      });
  addConversion(t, "arith.uitofp", [](U a, unsigned, unsigned, K, K to) -> U {
    return to == K::F32 ? llvm::bit_cast<uint32_t>(static_cast<float>(a))
                        : encodeFloat(static_cast<double>(a), to);
  });
  // Saturating, as NVIDIA's conversions are; NaN gives 0.
  addConversion(t, "arith.fptosi", [](U a, unsigned, unsigned to, K from, K) {
    double v = std::trunc(decodeFloat(a, from)), top = std::ldexp(1.0, to - 1);
    if (std::isnan(v))
      return U(0);
    return v >= top   ? lowBits(to - 1)
           : v < -top ? U(1) << (to - 1)
                      : U(static_cast<int64_t>(v));
  });
  addConversion(t, "arith.fptoui", [](U a, unsigned, unsigned to, K from, K) {
    double v = std::trunc(decodeFloat(a, from)), top = std::ldexp(1.0, to);
    if (!(v > 0))
      return U(0);
    return v >= top ? lowBits(to) : U(v);
  });
}

void gpusim::addArithRules(Translator &t) {
  addIntegerRules(t);
  addConversionRules(t);
  t.add("arith.constant", translateConstant);
  t.add("arith.cmpf", translateCmpF);
  t.add("arith.select", translateSelect);
  addFloat(t, "arith.addf", [](double a, double b) { return a + b; });
  addFloat(t, "arith.subf", [](double a, double b) { return a - b; });
  addFloat(t, "arith.mulf", [](double a, double b) { return a * b; });
  addFloat(t, "arith.divf", [](double a, double b) { return a / b; });
  addFloat(t, "arith.remf", [](double a, double b) { return std::fmod(a, b); });
  addFloat(t, "arith.negf", [](double a, double) { return -a; });
  addFloat(t, "arith.maximumf",
           [](double a, double b) { return minimum(a, b, false, true); });
  addFloat(t, "arith.minimumf",
           [](double a, double b) { return minimum(a, b, false, false); });
  addFloat(t, "arith.maxnumf",
           [](double a, double b) { return minimum(a, b, true, true); });
  addFloat(t, "arith.minnumf",
           [](double a, double b) { return minimum(a, b, true, false); });
}

void gpusim::addMathRules(Translator &t) {
  t.addAll(translateFma, "math.fma", "vector.fma");
  addFloat(t, "math.absf", [](double a, double) { return std::fabs(a); });
  addFloat(t, "math.sqrt", [](double a, double) { return std::sqrt(a); });
  addFloat(t, "math.rsqrt", [](double a, double) { return 1 / std::sqrt(a); });
  addFloat(t, "math.exp", [](double a, double) { return std::exp(a); });
  addFloat(t, "math.exp2", [](double a, double) { return std::exp2(a); });
  addFloat(t, "math.log", [](double a, double) { return std::log(a); });
  addFloat(t, "math.log2", [](double a, double) { return std::log2(a); });
  addFloat(t, "math.tanh", [](double a, double) { return std::tanh(a); });
  addFloat(t, "math.erf", [](double a, double) { return std::erf(a); });
  addFloat(t, "math.sin", [](double a, double) { return std::sin(a); });
  addFloat(t, "math.cos", [](double a, double) { return std::cos(a); });
  addFloat(t, "math.powf", [](double a, double b) { return std::pow(a, b); });
  addFloat(t, "math.floor", [](double a, double) { return std::floor(a); });
  addFloat(t, "math.ceil", [](double a, double) { return std::ceil(a); });
  addFloat(t, "math.trunc", [](double a, double) { return std::trunc(a); });
  addFloat(t, "math.roundeven",
           [](double a, double) { return std::nearbyint(a); });
  addFloat(t, "math.copysign",
           [](double a, double b) { return std::copysign(a, b); });
}
