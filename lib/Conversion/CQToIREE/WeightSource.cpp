//===- WeightSource.cpp - The bytes behind the planes of an op ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightSource.h"
#include "cq/Support/Diagnostics.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::toiree;

ml_program::GlobalOp WeightSource::globalOf(Value value) const {
  Operation *op = value.getDefiningOp();
  SymbolRefAttr name;
  if (auto load = dyn_cast_if_present<ml_program::GlobalLoadOp>(op))
    name = load.getGlobal();
  else if (auto load = dyn_cast_if_present<ml_program::GlobalLoadConstOp>(op))
    name = load.getGlobal();
  else
    return {};
  auto global = symbols.lookup<ml_program::GlobalOp>(name.getLeafReference());
  return global && !global.getIsMutable() ? global : ml_program::GlobalOp();
}

static Attribute constantOf(Value value) {
  auto constant = value.getDefiningOp<arith::ConstantOp>();
  return constant ? Attribute(constant.getValue()) : Attribute();
}

std::string WeightSource::nameOf(Value codes) const {
  StringRef name;
  if (ml_program::GlobalOp global = globalOf(codes))
    name = global.getSymName();
  else if (auto resource = dyn_cast_if_present<DenseResourceElementsAttr>(
               constantOf(codes)))
    name = resource.getRawHandle().getKey();
  name.consume_back(":codes");
  return name.str();
}

const void *WeightSource::identityOf(Value value) const {
  if (ml_program::GlobalOp global = globalOf(value))
    return global.getOperation();
  return constantOf(value).getAsOpaquePointer();
}

llvm::Expected<std::vector<uint8_t>> toiree::rawBytes(ElementsAttr elements) {
  auto type = cast<ShapedType>(elements.getType());
  unsigned bits = type.getElementTypeBitWidth();
  if (bits % 8 != 0)
    return fail("constants of " + std::to_string(bits) +
                " bits an element have no bytes of their own");
  size_t size = static_cast<size_t>(type.getNumElements()) * (bits / 8);
  ArrayRef<char> raw;
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(elements)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob || blob->getData().size() < size)
      return fail("resource '" + resource.getRawHandle().getKey().str() +
                  "' is missing or too short; the module lost its end");
    raw = blob->getData();
  } else if (auto dense = dyn_cast<DenseElementsAttr>(elements)) {
    raw = dense.getRawData();
  } else {
    return fail("a constant is neither dense nor a resource");
  }
  std::vector<uint8_t> bytes(size);
  // A splat holds one element.
  size_t step = raw.size() < size ? bits / 8 : size;
  for (size_t at = 0; at < size; at += step)
    std::copy_n(raw.begin(), step, bytes.begin() + at);
  return bytes;
}

llvm::Error WeightSource::bytesOf(Value value,
                                  std::vector<uint8_t> &bytes) const {
  if (!value)
    return llvm::Error::success();
  auto elements = dyn_cast_if_present<ElementsAttr>(constantOf(value));
  if (ml_program::GlobalOp global = globalOf(value)) {
    elements = dyn_cast_if_present<ElementsAttr>(global.getValueAttr());
    if (!elements) {
      std::string name = global.getSymName().str();
      if (!archive)
        return fail("plane '" + name +
                    "' lies in an archive; give parameters=FILE");
      const ParameterInfo *info = archive->find(name);
      if (!info)
        return fail("plane '" + name + "' is not in " + archive->path().str() +
                    "; give the archive this module was quantized into");
      bytes.assign(info->bytes.begin(), info->bytes.end());
      return llvm::Error::success();
    }
  }
  if (!elements)
    return fail("a plane is neither a constant nor a global; inline the "
                "functions it goes through, or run cq-materialize-parameters");
  llvm::Expected<std::vector<uint8_t>> raw = rawBytes(elements);
  if (!raw)
    return raw.takeError();
  bytes = std::move(*raw);
  return llvm::Error::success();
}

llvm::Expected<QuantizedWeight>
WeightSource::read(const PlaneOperands &planes, PackedWeight &packed,
                   CherryPositions &positions) const {
  std::pair<Value, std::vector<uint8_t> *> all[] = {
      {planes.codes, &packed.codes},
      {planes.scales, &packed.scales},
      {planes.zeros, &packed.zeros},
      {planes.cherryColumns, &packed.cherryColumns},
      {planes.cherryDeltas, &packed.cherryDeltas},
      {planes.rowOrder, &packed.rowOrder}};
  for (auto [value, bytes] : all)
    if (llvm::Error error = bytesOf(value, *bytes))
      return std::move(error);
  return unpackWeight(packed, &positions);
}
