//===- DequantizedWeight.cpp - Weights decoded by upstream ops ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DequantizedWeight.h"
#include "WeightEvaluation.h"
#include "cq/Support/Diagnostics.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Quant/IR/Quant.h"
#include "mlir/Dialect/Quant/IR/QuantTypes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::cq;

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

namespace {
/// A constant, or a tensor of the archive.
struct Numbers {
  ElementsAttr elements;
  const ParameterInfo *info = nullptr;
  std::string name;
};
} // namespace

static llvm::Expected<Numbers> locate(Value value, const SymbolTable &symbols,
                                      const ParameterArchive *archive) {
  Numbers numbers;
  if (auto constant = value.getDefiningOp<arith::ConstantOp>()) {
    numbers.elements = dyn_cast<ElementsAttr>(constant.getValue());
    if (auto resource =
            dyn_cast<DenseResourceElementsAttr>(constant.getValue()))
      numbers.name = resource.getRawHandle().getKey().str();
  } else if (ml_program::GlobalOp global = getGlobal(value, symbols)) {
    numbers.name = global.getSymName().str();
    numbers.elements = dyn_cast_if_present<ElementsAttr>(global.getValueAttr());
    if (!numbers.elements) {
      numbers.info = archive ? archive->find(numbers.name) : nullptr;
      if (!numbers.info)
        return fail("tensor " + quoted(numbers.name) +
                    (archive ? " is not in " + archive->path().str()
                             : " lies in an archive; give parameters=FILE"));
      auto type = dyn_cast<RankedTensorType>(value.getType());
      if (!type || !type.hasStaticShape())
        return fail("tensor " + quoted(numbers.name) + " has no fixed shape");
    }
  }
  if (!numbers.elements && !numbers.info)
    return fail("it is not decoded from constants or globals");
  return numbers;
}

/// Integers of `bits` bits in memory, whole bytes each or packed.
static llvm::Expected<std::vector<int32_t>>
fromBytes(ArrayRef<uint8_t> bytes, int64_t count, unsigned bits, bool packed) {
  int64_t size = packed ? (count * bits + 7) / 8 : count * ((bits + 7) / 8);
  if (static_cast<int64_t>(bytes.size()) != size)
    return fail("its codes have " + std::to_string(bytes.size()) +
                " bytes instead of " + std::to_string(size));
  std::vector<int32_t> values(count);
  for (int64_t i = 0; i < count; ++i) {
    uint32_t value = 0;
    if (packed)
      value = bytes[i * bits / 8] >> (i * bits % 8);
    else
      for (unsigned byte = 0; byte < (bits + 7) / 8; ++byte)
        value |= uint32_t(bytes[i * ((bits + 7) / 8) + byte]) << (8 * byte);
    values[i] = static_cast<int32_t>(
        bits == 32 ? value : value & ((uint32_t(1) << bits) - 1));
  }
  return values;
}

static int32_t signExtend(int32_t value, unsigned bits) {
  return bits >= 32 ? value
                    : static_cast<int32_t>(uint32_t(value) << (32 - bits)) >>
                          (32 - bits);
}

static llvm::Expected<std::vector<int32_t>>
readIntegers(const Numbers &numbers, RankedTensorType type, bool isSigned) {
  unsigned bits = type.getElementTypeBitWidth();
  if (bits > 32 || bits == 1)
    return fail("its codes are integers of " + std::to_string(bits) + " bits");
  llvm::Expected<std::vector<int32_t>> values = std::vector<int32_t>();
  if (numbers.info) {
    values = fromBytes(numbers.info->bytes, type.getNumElements(), bits,
                       bits == 2 || bits == 4);
  } else if (auto resource =
                 dyn_cast<DenseResourceElementsAttr>(numbers.elements)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob)
      return fail("resource " + quoted(numbers.name) + " is missing");
    ArrayRef<char> raw = blob->getData();
    values =
        fromBytes({reinterpret_cast<const uint8_t *>(raw.data()), raw.size()},
                  type.getNumElements(), bits, false);
  } else if (auto dense = dyn_cast<DenseIntElementsAttr>(numbers.elements)) {
    values->reserve(type.getNumElements());
    for (const APInt &value : dense.getValues<APInt>())
      values->push_back(static_cast<int32_t>(value.getZExtValue()));
  } else {
    return fail("its codes are neither dense nor a resource");
  }
  if (values && isSigned)
    for (int32_t &value : *values)
      value = signExtend(value, bits);
  return values;
}

static llvm::Expected<std::vector<float>> readFloats(const Numbers &numbers) {
  if (!numbers.info)
    return readElements(numbers.elements);
  std::vector<float> values(numbers.info->numElements());
  if (llvm::Error error =
          ParameterArchive::readAsF32(*numbers.info, values.data(), 0))
    return std::move(error);
  return values;
}

static std::optional<ScaleType> scaleTypeOf(Type type) {
  if (type.isF16())
    return ScaleType::F16;
  if (type.isBF16())
    return ScaleType::BF16;
  if (type.isF32())
    return ScaleType::F32;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// linalg.generic
//===----------------------------------------------------------------------===//

namespace {
/// sign · input + offset, the input being a block argument (or nothing).
struct Term {
  std::optional<unsigned> input;
  int64_t offset = 0;
  bool isSigned = true;
};

/// scale · (code − zero), found in the body of a generic.
struct Formula {
  unsigned code = 0, scale = 0;
  bool codeSigned = true, zeroSigned = true, hasScale = false;
  std::optional<unsigned> zero;
  int64_t offset = 0; ///< subtracted as well
};
} // namespace

/// A value that is an input, widened or converted.
static std::optional<Term> matchTerm(Value value) {
  Term term;
  while (Operation *op = value.getDefiningOp()) {
    APInt integer;
    APFloat number(0.0f);
    if (matchPattern(value, m_ConstantInt(&integer))) {
      term.offset = integer.getSExtValue();
      return term;
    }
    if (matchPattern(value, m_ConstantFloat(&number))) {
      double exact = number.convertToDouble();
      if (exact != std::trunc(exact) || std::abs(exact) > 65536)
        return std::nullopt;
      term.offset = static_cast<int64_t>(exact);
      return term;
    }
    if (isa<arith::ExtUIOp, arith::UIToFPOp>(op))
      term.isSigned = false;
    else if (!isa<arith::ExtSIOp, arith::SIToFPOp, arith::ExtFOp,
                  arith::TruncFOp>(op))
      return std::nullopt;
    value = op->getOperand(0);
  }
  term.input = cast<BlockArgument>(value).getArgNumber();
  return term;
}

/// code − zero, in any order of widening and subtraction.
static bool matchDifference(Value value, Formula &formula) {
  // Conversions of the difference itself.
  while (value.getDefiningOp<arith::SIToFPOp>() ||
         value.getDefiningOp<arith::ExtFOp>() ||
         value.getDefiningOp<arith::ExtSIOp>()) {
    Operation *below = value.getDefiningOp()->getOperand(0).getDefiningOp();
    if (!isa_and_nonnull<arith::SubIOp, arith::SubFOp, arith::AddIOp,
                         arith::SIToFPOp, arith::ExtFOp, arith::ExtSIOp>(below))
      break;
    value = value.getDefiningOp()->getOperand(0);
  }
  Operation *op = value.getDefiningOp();
  bool difference = isa_and_nonnull<arith::SubIOp, arith::SubFOp>(op);
  bool sum = isa_and_nonnull<arith::AddIOp, arith::AddFOp>(op);
  std::optional<Term> code =
      matchTerm(difference || sum ? op->getOperand(0) : value);
  if (!code || !code->input)
    return false;
  formula.code = *code->input;
  formula.codeSigned = code->isSigned;
  if (!difference && !sum)
    return true;
  std::optional<Term> zero = matchTerm(op->getOperand(1));
  if (!zero || (sum && zero->input))
    return false;
  formula.zero = zero->input;
  formula.zeroSigned = zero->isSigned;
  formula.offset = sum ? -zero->offset : zero->offset;
  return true;
}

static std::optional<Formula> matchFormula(linalg::GenericOp op) {
  Value result = op.getBody()->getTerminator()->getOperand(0);
  while (result.getDefiningOp<arith::TruncFOp>() ||
         result.getDefiningOp<arith::ExtFOp>())
    result = result.getDefiningOp()->getOperand(0);
  auto product = result.getDefiningOp<arith::MulFOp>();
  if (!product)
    return std::nullopt;
  for (bool swapped : {false, true}) {
    Formula formula;
    std::optional<Term> scale =
        matchTerm(swapped ? product.getLhs() : product.getRhs());
    if (!scale || !scale->input || *scale->input >= op.getNumDpsInputs() ||
        !isa<FloatType>(
            getElementTypeOrSelf(op.getInputs()[*scale->input].getType())))
      continue;
    formula.scale = *scale->input;
    if (!matchDifference(swapped ? product.getRhs() : product.getLhs(),
                         formula))
      continue;
    unsigned inputs = op.getNumDpsInputs();
    if (formula.code < inputs && (!formula.zero || *formula.zero < inputs) &&
        isa<IntegerType>(
            getElementTypeOrSelf(op.getInputs()[formula.code].getType())))
      return formula;
  }
  return std::nullopt;
}

/// For each element of a result of shape `shape`, the place in an input that
/// `map` reads. Fails where the map is no projection.
static FailureOr<std::vector<int64_t>>
placesOf(AffineMap map, ArrayRef<int64_t> shape, RankedTensorType input) {
  SmallVector<int64_t> strides(shape.size(), 0);
  int64_t stride = 1;
  for (int64_t i = map.getNumResults() - 1; i >= 0; --i) {
    AffineExpr expr = map.getResult(i);
    if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
      if (input.getDimSize(i) != shape[dim.getPosition()])
        return failure();
      strides[dim.getPosition()] += stride;
    } else if (auto value = dyn_cast<AffineConstantExpr>(expr);
               !value || value.getValue() != 0) {
      return failure();
    }
    stride *= input.getDimSize(i);
  }
  std::vector<int64_t> places;
  SmallVector<int64_t> index(shape.size(), 0);
  int64_t count = 1, place = 0;
  for (int64_t size : shape)
    count *= size;
  places.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    places.push_back(place);
    for (int64_t d = shape.size() - 1; d >= 0; --d) {
      place += strides[d];
      if (++index[d] < shape[d])
        break;
      place -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return places;
}

template <typename T>
static std::vector<T> spread(const std::vector<T> &values,
                             const std::vector<int64_t> &places) {
  std::vector<T> result;
  result.reserve(places.size());
  for (int64_t place : places)
    result.push_back(values[place]);
  return result;
}

static llvm::Expected<DequantizedWeight>
readGeneric(linalg::GenericOp op, const SymbolTable &symbols,
            const ParameterArchive *archive) {
  std::optional<Formula> formula = matchFormula(op);
  auto type = cast<RankedTensorType>(op.getResult(0).getType());
  if (!formula || !type.hasStaticShape() ||
      op.getNumParallelLoops() != op.getNumLoops() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return fail("it is not of the form scale · (code − zero)");
  DequantizedWeight weight;
  auto read = [&](unsigned number, bool isSigned, auto &into) -> llvm::Error {
    Value input = op.getInputs()[number];
    auto inputType = cast<RankedTensorType>(input.getType());
    auto numbers = locate(input, symbols, archive);
    if (!numbers)
      return numbers.takeError();
    FailureOr<std::vector<int64_t>> places =
        placesOf(op.getMatchingIndexingMap(op.getDpsInputOperand(number)),
                 type.getShape(), inputType);
    if (failed(places))
      return fail("its operands are not read by plain indices");
    using Vector = std::decay_t<decltype(into)>;
    if constexpr (std::is_same_v<Vector, std::vector<float>>) {
      auto values = readFloats(*numbers);
      if (!values)
        return values.takeError();
      if (static_cast<int64_t>(values->size()) != inputType.getNumElements())
        return fail("its scales are not those of the tensor's shape");
      into = spread(*values, *places);
    } else {
      auto values = readIntegers(*numbers, inputType, isSigned);
      if (!values)
        return values.takeError();
      into = spread(*values, *places);
      if (number == formula->code)
        weight.name = numbers->name;
    }
    return llvm::Error::success();
  };
  if (llvm::Error error =
          read(formula->code, formula->codeSigned, weight.codes))
    return std::move(error);
  if (llvm::Error error = read(formula->scale, true, weight.scales))
    return std::move(error);
  if (formula->zero) {
    Value zero = op.getInputs()[*formula->zero];
    if (isa<FloatType>(getElementTypeOrSelf(zero.getType()))) {
      std::vector<float> zeros;
      if (llvm::Error error = read(*formula->zero, true, zeros))
        return std::move(error);
      for (float value : zeros) {
        if (value != std::trunc(value) || std::abs(value) > 65536)
          return fail("a zero point is no integer");
        weight.zeros.push_back(static_cast<int32_t>(value));
      }
    } else if (llvm::Error error =
                   read(*formula->zero, formula->zeroSigned, weight.zeros)) {
      return std::move(error);
    }
  } else {
    weight.zeros.assign(weight.codes.size(),
                        static_cast<int32_t>(formula->offset));
  }
  auto scaleType = scaleTypeOf(
      getElementTypeOrSelf(op.getInputs()[formula->scale].getType()));
  if (!scaleType)
    return fail("its scales are neither f16, bf16 nor f32");
  weight.scaleType = *scaleType;
  return weight;
}

//===----------------------------------------------------------------------===//
// quant.dcast
//===----------------------------------------------------------------------===//

static llvm::Expected<DequantizedWeight>
readCast(quant::DequantizeCastOp op, const SymbolTable &symbols,
         const ParameterArchive *archive) {
  auto storage = op.getInput().getDefiningOp<quant::StorageCastOp>();
  auto type = dyn_cast<RankedTensorType>(op.getResult().getType());
  if (!storage || !type || !type.hasStaticShape())
    return fail("its integers are not there: quant.scast of them is expected");
  auto quantized =
      cast<quant::QuantizedType>(getElementTypeOrSelf(op.getInput().getType()));
  auto numbers = locate(storage.getInput(), symbols, archive);
  if (!numbers)
    return numbers.takeError();
  auto integers = readIntegers(
      *numbers, cast<RankedTensorType>(storage.getInput().getType()),
      quantized.isSigned());
  if (!integers)
    return integers.takeError();
  DequantizedWeight weight;
  weight.name = numbers->name;
  weight.codes = std::move(*integers);
  auto scaleType = scaleTypeOf(quantized.getExpressedType());
  weight.scaleType = scaleType.value_or(ScaleType::F32);
  size_t count = weight.codes.size();
  if (auto uniform = dyn_cast<quant::UniformQuantizedType>(quantized)) {
    weight.scales.assign(count, static_cast<float>(uniform.getScale()));
    weight.zeros.assign(count, static_cast<int32_t>(uniform.getZeroPoint()));
    return weight;
  }
  // Where in the type's tables an element looks, dimension by dimension.
  SmallVector<int64_t> blocks(type.getShape());
  std::vector<float> scales;
  std::vector<int32_t> zeros;
  if (auto axis = dyn_cast<quant::UniformQuantizedPerAxisType>(quantized)) {
    if (axis.getQuantizedDimension() >= type.getRank())
      return fail("its axis is none of the tensor's");
    blocks[axis.getQuantizedDimension()] = 1;
    for (double scale : axis.getScales())
      scales.push_back(static_cast<float>(scale));
    for (int64_t zero : axis.getZeroPoints())
      zeros.push_back(static_cast<int32_t>(zero));
  } else if (auto sub =
                 dyn_cast<quant::UniformQuantizedSubChannelType>(quantized)) {
    for (auto [dim, size] :
         llvm::zip_equal(sub.getQuantizedDimensions(), sub.getBlockSizes())) {
      if (dim >= type.getRank() || size <= 0)
        return fail("its blocks are none of the tensor's");
      blocks[dim] = size;
    }
    for (const APFloat &scale : sub.getScales().getValues<APFloat>()) {
      bool lost = false;
      APFloat single = scale;
      single.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven,
                     &lost);
      scales.push_back(single.convertToFloat());
    }
    for (const APInt &zero : sub.getZeroPoints().getValues<APInt>())
      zeros.push_back(static_cast<int32_t>(zero.getSExtValue()));
  } else {
    return fail("its quantized type is not a uniform one");
  }
  SmallVector<int64_t> index(type.getRank(), 0);
  for (size_t i = 0; i < count; ++i) {
    size_t place = 0;
    for (int64_t d = 0; d < type.getRank(); ++d)
      place = place * llvm::divideCeil(type.getDimSize(d), blocks[d]) +
              index[d] / blocks[d];
    if (place >= scales.size() || place >= zeros.size())
      return fail("its type has too few scales");
    weight.scales.push_back(scales[place]);
    weight.zeros.push_back(zeros[place]);
    for (int64_t d = type.getRank() - 1; d >= 0; --d) {
      if (++index[d] < type.getDimSize(d))
        break;
      index[d] = 0;
    }
  }
  return weight;
}

bool cq::isDequantization(Value value) {
  if (auto generic = value.getDefiningOp<linalg::GenericOp>())
    return generic->getNumResults() == 1 && generic.hasPureTensorSemantics() &&
           isa<RankedTensorType>(value.getType()) &&
           matchFormula(generic).has_value();
  return value.getDefiningOp<quant::DequantizeCastOp>() != nullptr;
}

llvm::Expected<DequantizedWeight>
cq::readDequantized(Value value, const SymbolTable &symbols,
                    const ParameterArchive *archive) {
  if (auto generic = value.getDefiningOp<linalg::GenericOp>())
    return readGeneric(generic, symbols, archive);
  return readCast(value.getDefiningOp<quant::DequantizeCastOp>(), symbols,
                  archive);
}

//===----------------------------------------------------------------------===//
// To a scheme
//===----------------------------------------------------------------------===//

llvm::Expected<QuantizedWeight>
cq::makeQuantized(const DequantizedWeight &weight, int64_t n, int64_t k,
                  bool transposed) {
  if (static_cast<int64_t>(weight.codes.size()) != n * k)
    return fail("its codes are not those of a matrix");
  auto at = [&](int64_t row, int64_t column) {
    return transposed ? column * n + row : row * k + column;
  };
  // The longest group over which nothing changes.
  auto constantOver = [&](int64_t length) {
    for (int64_t row = 0; row < n; ++row)
      for (int64_t column = 0; column < k; ++column) {
        int64_t here = at(row, column),
                first = at(row, column - column % length);
        if (std::memcmp(&weight.scales[here], &weight.scales[first], 4) != 0 ||
            weight.zeros[here] != weight.zeros[first])
          return false;
      }
    return true;
  };
  QuantizedWeight q;
  q.n = n;
  q.k = k;
  q.scheme.scaleType = weight.scaleType;
  bool found = false;
  for (int64_t group : {0, 128, 64, 32})
    if (!found && constantOver(group == 0 ? k : group)) {
      q.scheme.group = group;
      found = true;
    }
  if (!found)
    return fail("its groups are not of 32, 64 or 128 columns or the whole row");

  // Without zero points where levels are those of the symmetric grid.
  int64_t lowest = INT32_MAX, highest = INT32_MIN, smallest = INT32_MAX,
          largest = INT32_MIN;
  for (size_t i = 0; i < weight.codes.size(); ++i) {
    int64_t level = int64_t(weight.codes[i]) - weight.zeros[i];
    lowest = std::min(lowest, level);
    highest = std::max(highest, level);
    for (int64_t value : {weight.codes[i], weight.zeros[i]}) {
      smallest = std::min(smallest, value);
      largest = std::max(largest, value);
    }
  }
  q.scheme.bits = 0;
  for (unsigned bits : {2, 3, 4, 5, 6, 8}) {
    if (q.scheme.bits != 0)
      break;
    int64_t half = 1 << (bits - 1);
    int64_t least = bits > 4 ? 1 - half : -half;
    if (lowest >= least && highest < half) {
      q.scheme.bits = bits;
      q.scheme.grid = Grid::Symmetric;
    } else if (largest - smallest < 2 * half) {
      q.scheme.bits = bits;
      q.scheme.grid = Grid::Affine;
    }
  }
  if (q.scheme.bits == 0)
    return fail("its codes or zero points need more than 8 bits");
  bool affine = q.scheme.grid == Grid::Affine;
  // Signed codes and zero points move up together.
  int64_t shift = affine ? std::min<int64_t>(smallest, 0) : 0;
  if (affine && largest - shift >= int64_t(1) << q.scheme.bits)
    shift = smallest;
  int64_t length = q.scheme.groupLength(k);
  for (int64_t row = 0; row < n; ++row)
    for (int64_t column = 0; column < k; ++column) {
      int64_t i = at(row, column);
      int64_t code = affine ? weight.codes[i] - shift
                            : int64_t(weight.codes[i]) - weight.zeros[i] +
                                  (1 << (q.scheme.bits - 1));
      q.codes.push_back(static_cast<uint8_t>(code));
      if (column % length != 0)
        continue;
      if (!std::isfinite(weight.scales[i]))
        return fail("a scale is not finite");
      q.scales.push_back(weight.scales[i]);
      if (affine)
        q.zeros.push_back(static_cast<uint8_t>(weight.zeros[i] - shift));
    }
  return q;
}
