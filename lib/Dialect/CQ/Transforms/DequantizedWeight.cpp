//===- DequantizedWeight.cpp - Weights decoded by upstream ops ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DequantizedWeight.h"
#include "DecodingChain.h"
#include "cq/Support/Diagnostics.h"
#include "mlir/Dialect/Quant/IR/Quant.h"
#include "mlir/Dialect/Quant/IR/QuantTypes.h"

using namespace mlir;
using namespace mlir::cq;

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
  auto integers =
      readCodes(storage.getInput(), quantized.isSigned(), symbols, archive);
  if (!integers)
    return integers.takeError();
  DequantizedWeight weight;
  weight.name = std::move(integers->name);
  weight.codes = std::move(integers->codes);
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
  return value.getDefiningOp<quant::DequantizeCastOp>() ||
         isDecodingChain(value);
}

llvm::Expected<DequantizedWeight>
cq::readDequantized(Value value, const SymbolTable &symbols,
                    const ParameterArchive *archive) {
  if (auto cast = value.getDefiningOp<quant::DequantizeCastOp>())
    return readCast(cast, symbols, archive);
  auto numbers = evaluateDecodingChain(value, symbols, archive);
  if (!numbers)
    return numbers.takeError();
  if (numbers->kind != DecodedNumbers::Kind::Level)
    return fail("it is not of the form scale · (code − zero)");
  DequantizedWeight weight;
  weight.name = std::move(numbers->name);
  weight.codes = std::move(numbers->codes);
  weight.zeros = std::move(numbers->zeros);
  weight.scales = std::move(numbers->scales);
  weight.scaleType = numbers->scaleType;
  return weight;
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
