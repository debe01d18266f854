//===- DecodingLeaf.cpp - Constants that weights are decoded from
//----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DecodingChain.h"
#include "WeightEvaluation.h"
#include "cq/Support/Diagnostics.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/DialectResourceBlobManager.h"

using namespace mlir;
using namespace mlir::cq;

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

llvm::Expected<DecodedNumbers> cq::readCodes(Value value, bool isSigned,
                                             const SymbolTable &symbols,
                                             const ParameterArchive *archive) {
  auto numbers = locate(value, symbols, archive);
  if (!numbers)
    return numbers.takeError();
  auto type = cast<RankedTensorType>(value.getType());
  auto integers = readIntegers(*numbers, type, isSigned);
  if (!integers)
    return integers.takeError();
  DecodedNumbers result;
  result.bits = type.getElementTypeBitWidth();
  result.codes = std::move(*integers);
  result.name = std::move(numbers->name);
  return result;
}

llvm::Expected<DecodedNumbers> cq::readScales(Value value,
                                              const SymbolTable &symbols,
                                              const ParameterArchive *archive) {
  auto numbers = locate(value, symbols, archive);
  if (!numbers)
    return numbers.takeError();
  auto type = cast<RankedTensorType>(value.getType());
  Type element = type.getElementType();
  DecodedNumbers result;
  result.kind = DecodedNumbers::Kind::Float;
  if (element.isF16())
    result.scaleType = ScaleType::F16;
  else if (element.isBF16())
    result.scaleType = ScaleType::BF16;
  else if (!element.isF32())
    return fail("its scales are neither f16, bf16 nor f32");
  auto values = readFloats(*numbers);
  if (!values)
    return values.takeError();
  if (static_cast<int64_t>(values->size()) != type.getNumElements())
    return fail("its scales are not those of the tensor's shape");
  result.scales = std::move(*values);
  return result;
}
