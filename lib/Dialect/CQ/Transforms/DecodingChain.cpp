//===- DecodingChain.cpp - What constants become on their way -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DecodingChain.h"
#include "cq/Support/Diagnostics.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::cq;
using Kind = DecodedNumbers::Kind;

/// Chains of front ends have some ten ops. Uses are counted, not ops: thirty
/// sums of a value with itself are a billion uses of the first.
constexpr unsigned kMaxUses = 256;

//===----------------------------------------------------------------------===//
// Which values
//===----------------------------------------------------------------------===//

/// Ops that leave the order of elements as it is.
static Value lookThrough(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(
            op))
      break;
    value = op->getOperand(0);
  }
  return value;
}

static linalg::LinalgOp getElementwise(Value value) {
  auto op = value.getDefiningOp<linalg::LinalgOp>();
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!op || !type || !type.hasStaticShape() || op->getNumResults() != 1 ||
      op.getNumParallelLoops() != op.getNumLoops() ||
      !op.hasPureTensorSemantics() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isPermutation() ||
      op.payloadUsesValueFromOperand(op.getDpsInitOperand(0)))
    return {};
  return op;
}

static bool isLeaf(Value value) {
  Operation *op = value.getDefiningOp();
  return isa_and_nonnull<arith::ConstantOp, ml_program::GlobalLoadOp,
                         ml_program::GlobalLoadConstOp>(op);
}

static bool walkChain(Value value, bool &converts, unsigned &uses) {
  value = lookThrough(value);
  if (++uses > kMaxUses)
    return false;
  if (isLeaf(value))
    return true;
  linalg::LinalgOp op = getElementwise(value);
  if (!op)
    return false;
  converts |= llvm::any_of(*op.getBlock(), [](Operation &inner) {
    return isa<arith::SIToFPOp, arith::UIToFPOp>(inner);
  });
  return llvm::all_of(op.getDpsInputs(), [&](Value input) {
    return walkChain(input, converts, uses);
  });
}

bool cq::isDecodingChain(Value value) {
  bool converts = false;
  unsigned uses = 0;
  return !isLeaf(value) && walkChain(value, converts, uses) && converts;
}

//===----------------------------------------------------------------------===//
// Numbers in a body
//===----------------------------------------------------------------------===//

static size_t sizeOf(const DecodedNumbers &numbers) {
  return numbers.kind == Kind::Float ? numbers.scales.size()
                                     : numbers.codes.size();
}

static int32_t extend(int32_t value, unsigned bits, bool isSigned) {
  if (bits >= 32)
    return value;
  uint32_t raised = uint32_t(value) << (32 - bits);
  return isSigned ? static_cast<int32_t>(raised) >> (32 - bits)
                  : static_cast<int32_t>(raised >> (32 - bits));
}

static void extendAll(DecodedNumbers &numbers, unsigned from, unsigned to,
                      bool isSigned) {
  for (int32_t &code : numbers.codes)
    code = extend(code, from, isSigned);
  numbers.bits = to;
}

/// A difference of integers as integers.
static void collapse(DecodedNumbers &numbers) {
  if (numbers.kind != Kind::Level || !numbers.scales.empty())
    return;
  for (auto [code, zero] : llvm::zip_equal(numbers.codes, numbers.zeros))
    code -= zero;
  numbers.zeros.clear();
  numbers.kind = Kind::Integer;
}

/// Integers on their way to levels: zero points 0.
static void makeLevels(DecodedNumbers &numbers) {
  if (numbers.kind != Kind::Integer)
    return;
  numbers.kind = Kind::Level;
  numbers.zeros.assign(numbers.codes.size(), 0);
}

static llvm::Error notUnderstood(Operation *op) {
  return fail("'" + op->getName().getStringRef() +
              "' in front of it is none of the ops that decode weights");
}

namespace {
/// The ops of a body over some elements at once.
class BodyEvaluator {
public:
  explicit BodyEvaluator(size_t count) : count(count) {}
  llvm::Error apply(Operation *op);
  llvm::DenseMap<Value, DecodedNumbers> env;
  /// Indices of each loop, for linalg.index.
  ArrayRef<std::vector<int32_t>> indices;

private:
  llvm::Expected<DecodedNumbers> get(Value value);
  llvm::Expected<DecodedNumbers> compute(Operation *op);
  llvm::Expected<DecodedNumbers> integer(Operation *op, DecodedNumbers a,
                                         DecodedNumbers b);
  llvm::Expected<DecodedNumbers> difference(DecodedNumbers a, DecodedNumbers b,
                                            int sign);
  llvm::Expected<DecodedNumbers> product(DecodedNumbers a, DecodedNumbers b);

  size_t count;
};
} // namespace

llvm::Expected<DecodedNumbers> BodyEvaluator::get(Value value) {
  if (auto it = env.find(value); it != env.end())
    return it->second;
  DecodedNumbers numbers;
  APInt integer;
  APFloat number(0.0f);
  if (matchPattern(value, m_ConstantInt(&integer))) {
    numbers.bits = std::min(32u, integer.getBitWidth());
    numbers.codes.assign(
        count,
        static_cast<int32_t>(
            integer.sextOrTrunc(64).extractBitsAsZExtValue(numbers.bits, 0)));
    return numbers;
  }
  if (matchPattern(value, m_ConstantFloat(&number))) {
    numbers.kind = Kind::Float;
    numbers.scales.assign(count, static_cast<float>(number.convertToDouble()));
    return numbers;
  }
  return fail("it is not decoded from constants or globals");
}

llvm::Expected<DecodedNumbers>
BodyEvaluator::integer(Operation *op, DecodedNumbers a, DecodedNumbers b) {
  collapse(a);
  collapse(b);
  if (a.kind != Kind::Integer || b.kind != Kind::Integer)
    return notUnderstood(op);
  for (auto [x, y] : llvm::zip_equal(a.codes, b.codes)) {
    uint32_t p = x, q = y, r = 0;
    bool shift = isa<arith::ShLIOp, arith::ShRUIOp, arith::ShRSIOp>(op);
    if (shift && q >= a.bits)
      return fail("a shift in front of it is by more bits than there are");
    if (isa<arith::DivUIOp, arith::RemUIOp>(op) && q == 0)
      return fail("something in front of it is divided by zero");
    if (isa<arith::AndIOp>(op))
      r = p & q;
    else if (isa<arith::OrIOp>(op))
      r = p | q;
    else if (isa<arith::XOrIOp>(op))
      r = p ^ q;
    else if (isa<arith::AddIOp>(op))
      r = p + q;
    else if (isa<arith::MulIOp>(op))
      r = p * q;
    else if (isa<arith::DivUIOp>(op))
      r = p / q;
    else if (isa<arith::RemUIOp>(op))
      r = p % q;
    else if (isa<arith::ShLIOp>(op))
      r = p << q;
    else if (isa<arith::ShRUIOp>(op))
      r = p >> q;
    else if (isa<arith::ShRSIOp>(op))
      r = extend(x, a.bits, true) >> q;
    else
      return notUnderstood(op);
    x = extend(static_cast<int32_t>(r), a.bits, false);
  }
  if (a.name.empty())
    a.name = std::move(b.name);
  return a;
}

/// a − b (or a + b): the second is a zero point, an integer by nature.
llvm::Expected<DecodedNumbers>
BodyEvaluator::difference(DecodedNumbers a, DecodedNumbers b, int sign) {
  if (a.kind == Kind::Float && sign > 0)
    std::swap(a, b);
  if (a.kind != Kind::Level || !a.scales.empty())
    return fail("something is subtracted from it after its scales");
  for (size_t i = 0; i < count; ++i) {
    double zero = 0;
    if (b.kind == Kind::Float)
      zero = b.scales[i];
    else if (b.scales.empty())
      zero = double(b.codes[i]) -
             (b.kind == Kind::Level ? double(b.zeros[i]) : 0.0);
    else
      return fail("something is subtracted from it after its scales");
    if (zero != std::trunc(zero) || std::abs(zero) > 65536)
      return fail("a zero point is no integer");
    a.zeros[i] -= sign * static_cast<int32_t>(zero);
  }
  return a;
}

llvm::Expected<DecodedNumbers> BodyEvaluator::product(DecodedNumbers a,
                                                      DecodedNumbers b) {
  if (b.kind == Kind::Level)
    std::swap(a, b);
  if (b.kind != Kind::Float)
    return fail("its numbers are multiplied by each other");
  if (a.kind == Kind::Level) {
    if (!a.scales.empty())
      return fail("it has two scales one after the other");
    a.scales = std::move(b.scales);
    a.scaleType = b.scaleType;
    return a;
  }
  for (auto [x, y] : llvm::zip_equal(a.scales, b.scales))
    x *= y;
  a.scaleType = ScaleType::F32;
  return a;
}

llvm::Expected<DecodedNumbers> BodyEvaluator::compute(Operation *op) {
  if (auto index = dyn_cast<linalg::IndexOp>(op)) {
    DecodedNumbers numbers;
    numbers.codes = indices[index.getDim()];
    return numbers;
  }
  if (op->getNumOperands() == 0 || op->getNumOperands() > 2)
    return notUnderstood(op);
  auto a = get(op->getOperand(0));
  if (!a)
    return a;
  Type type = op->getResult(0).getType();
  unsigned bits = type.isIntOrFloat() ? type.getIntOrFloatBitWidth() : 32;
  bool isInteger = a->kind == Kind::Integer;
  if (op->getNumOperands() == 1) {
    if (isa<arith::ExtFOp, arith::TruncFOp>(op) && !isInteger)
      return a;
    if (isa<arith::ExtSIOp, arith::ExtUIOp, arith::TruncIOp, arith::IndexCastOp,
            arith::IndexCastUIOp>(op)) {
      if (isa<arith::ExtSIOp>(op) && a->kind == Kind::Level)
        return a;
      collapse(*a);
      bool isSigned = isa<arith::ExtSIOp, arith::IndexCastOp>(op);
      bool narrows = isa<arith::TruncIOp>(op);
      if (a->kind != Kind::Integer)
        return notUnderstood(op);
      extendAll(*a, narrows ? bits : a->bits, std::min(bits, 32u), isSigned);
      // Zero-extended again, in the new width.
      extendAll(*a, a->bits, a->bits, false);
      return a;
    }
    if (isa<arith::SIToFPOp, arith::UIToFPOp>(op)) {
      if (isInteger)
        extendAll(*a, a->bits, 32, isa<arith::SIToFPOp>(op));
      makeLevels(*a);
      for (auto [code, zero] : llvm::zip(a->codes, a->zeros))
        if (isa<arith::UIToFPOp>(op) && code < zero)
          return fail("a negative difference in front of it is read as "
                      "unsigned");
      return a->kind == Kind::Level
                 ? std::move(a)
                 : llvm::Expected<DecodedNumbers>(notUnderstood(op));
    }
    return notUnderstood(op);
  }
  auto b = get(op->getOperand(1));
  if (!b)
    return b;
  if (isa<arith::SubIOp>(op)) {
    if (!isInteger || b->kind != Kind::Integer)
      return notUnderstood(op);
    // Kept apart: which of them is the code decides about the grid.
    extendAll(*a, a->bits, 32, true);
    extendAll(*b, b->bits, 32, true);
    makeLevels(*a);
    a->zeros = std::move(b->codes);
    for (auto [code, zero] : llvm::zip_equal(a->codes, a->zeros))
      if (extend(code - zero, bits, true) != int64_t(code) - zero)
        return fail("a difference in front of it overflows");
    return a;
  }
  if (isa<arith::SubFOp>(op))
    return difference(std::move(*a), std::move(*b), -1);
  if (isa<arith::AddFOp>(op))
    return difference(std::move(*a), std::move(*b), 1);
  if (isa<arith::MulFOp>(op))
    return product(std::move(*a), std::move(*b));
  return integer(op, std::move(*a), std::move(*b));
}

llvm::Error BodyEvaluator::apply(Operation *op) {
  if (op->hasTrait<OpTrait::ConstantLike>())
    return llvm::Error::success(); // `get` looks at it
  if (op->getNumResults() != 1)
    return notUnderstood(op);
  auto result = compute(op);
  if (!result)
    return result.takeError();
  env[op->getResult(0)] = std::move(*result);
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

/// What an affine expression is for one element.
static int64_t valueOf(AffineExpr expr, ArrayRef<std::vector<int32_t>> indices,
                       size_t at) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return indices[dim.getPosition()][at];
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue();
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return -1;
  int64_t a = valueOf(binary.getLHS(), indices, at),
          b = valueOf(binary.getRHS(), indices, at);
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return a + b;
  case AffineExprKind::Mul:
    return a * b;
  case AffineExprKind::FloorDiv:
    return b > 0 ? llvm::divideFloorSigned(a, b) : -1;
  case AffineExprKind::CeilDiv:
    return b > 0 ? llvm::divideCeilSigned(a, b) : -1;
  case AffineExprKind::Mod:
    return b > 0 ? llvm::mod(a, b) : -1;
  default:
    return -1;
  }
}

/// The elements of `from` that `map` reads at these indices.
static llvm::Expected<DecodedNumbers>
gather(const DecodedNumbers &from, AffineMap map, RankedTensorType type,
       ArrayRef<std::vector<int32_t>> indices, size_t count) {
  DecodedNumbers to;
  to.kind = from.kind;
  to.bits = from.bits;
  to.scaleType = from.scaleType;
  to.name = from.name;
  for (size_t i = 0; i < count; ++i) {
    int64_t place = 0;
    for (auto [expr, size] :
         llvm::zip_equal(map.getResults(), type.getShape())) {
      int64_t index = valueOf(expr, indices, i);
      if (index < 0 || index >= size)
        return fail("its operands are read outside of their shapes");
      place = place * size + index;
    }
    if (!from.codes.empty())
      to.codes.push_back(from.codes[place]);
    if (!from.zeros.empty())
      to.zeros.push_back(from.zeros[place]);
    if (!from.scales.empty())
      to.scales.push_back(from.scales[place]);
  }
  return to;
}

static void append(DecodedNumbers &to, DecodedNumbers &&from) {
  if (sizeOf(to) == 0) {
    to = std::move(from);
    return;
  }
  to.codes.insert(to.codes.end(), from.codes.begin(), from.codes.end());
  to.zeros.insert(to.zeros.end(), from.zeros.begin(), from.zeros.end());
  to.scales.insert(to.scales.end(), from.scales.begin(), from.scales.end());
}

namespace {
class ChainEvaluator {
public:
  ChainEvaluator(const SymbolTable &symbols, const ParameterArchive *archive)
      : symbols(symbols), archive(archive) {}
  llvm::Expected<DecodedNumbers> evaluate(Value value);

private:
  llvm::Expected<DecodedNumbers> evaluate(linalg::LinalgOp op);
  unsigned uses = 0;
  const SymbolTable &symbols;
  const ParameterArchive *archive;
};
} // namespace

llvm::Expected<DecodedNumbers> ChainEvaluator::evaluate(linalg::LinalgOp op) {
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  std::vector<DecodedNumbers> inputs;
  for (Value input : op.getDpsInputs()) {
    auto numbers = evaluate(input);
    if (!numbers)
      return numbers.takeError();
    inputs.push_back(std::move(*numbers));
  }
  AffineMap out = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  DecodedNumbers result;
  // In pieces: a body has several values, a weight millions of elements.
  constexpr int64_t step = 1 << 16;
  SmallVector<int64_t> position(type.getRank(), 0);
  for (int64_t begin = 0; begin < type.getNumElements(); begin += step) {
    size_t count = std::min(step, type.getNumElements() - begin);
    SmallVector<std::vector<int32_t>> indices(type.getRank());
    for (size_t i = 0; i < count; ++i) {
      for (int64_t d = 0; d < type.getRank(); ++d)
        indices[out.getDimPosition(d)].push_back(
            static_cast<int32_t>(position[d]));
      for (int64_t d = type.getRank() - 1;
           d >= 0 && ++position[d] == type.getDimSize(d); --d)
        position[d] = 0;
    }
    BodyEvaluator body(count);
    body.indices = indices;
    for (auto [operand, numbers] :
         llvm::zip_equal(op.getDpsInputOperands(), inputs)) {
      auto piece = gather(numbers, op.getMatchingIndexingMap(operand),
                          cast<RankedTensorType>(operand->get().getType()),
                          indices, count);
      if (!piece)
        return piece.takeError();
      body.env[op.getMatchingBlockArgument(operand)] = std::move(*piece);
    }
    for (Operation &inner : op.getBlock()->without_terminator())
      if (llvm::Error error = body.apply(&inner))
        return std::move(error);
    auto yielded = body.env.find(op.getBlock()->getTerminator()->getOperand(0));
    if (yielded == body.env.end())
      return fail("it is not decoded from constants or globals");
    append(result, std::move(yielded->second));
  }
  return result;
}

llvm::Expected<DecodedNumbers> ChainEvaluator::evaluate(Value value) {
  value = lookThrough(value);
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || !type.hasStaticShape() || type.getNumElements() == 0 ||
      type.getNumElements() > INT32_MAX)
    return fail("it is decoded from something without a fixed shape");
  if (isLeaf(value))
    return isa<FloatType>(type.getElementType())
               ? readScales(value, symbols, archive)
               : readCodes(value, /*isSigned=*/false, symbols, archive);
  linalg::LinalgOp op = getElementwise(value);
  if (!op || ++uses > kMaxUses)
    return fail("it is not decoded from constants or globals");
  return evaluate(op);
}

llvm::Expected<DecodedNumbers>
cq::evaluateDecodingChain(Value value, const SymbolTable &symbols,
                          const ParameterArchive *archive) {
  auto numbers = ChainEvaluator(symbols, archive).evaluate(value);
  if (numbers && numbers->kind == Kind::Level && numbers->scales.empty())
    numbers->scales.assign(numbers->codes.size(), 1.0f);
  return numbers;
}
