//===- ParameterTable.cpp - Addresses of a module's parameters ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/ParameterTable.h"
#include "llvm/ADT/StringExtras.h"
#include <cstdlib>

using namespace mlir::cq;

void ParameterTable::Free::operator()(void *memory) const { std::free(memory); }

/// The element type of a plain stored type, as MLIR prints it; "" for ggml
/// blocks. Signedness is no part of MLIR's integers.
static llvm::StringRef getElementType(DType type) {
  switch (type) {
  case DType::F32:
    return "f32";
  case DType::F16:
    return "f16";
  case DType::BF16:
    return "bf16";
  case DType::F64:
    return "f64";
  case DType::I8:
  case DType::U8:
    return "i8";
  case DType::I16:
  case DType::U16:
    return "i16";
  case DType::I32:
    return "i32";
  case DType::I64:
    return "i64";
  case DType::Bool:
    return "i1";
  default:
    return "";
  }
}

static std::string printShape(llvm::ArrayRef<int64_t> shape) {
  std::string text = "[";
  llvm::raw_string_ostream os(text);
  llvm::interleaveComma(shape, os);
  os << "]";
  return text;
}

llvm::Expected<ParameterTable>
ParameterTable::bind(const ModuleInterface &interface,
                     const ParameterArchive &archive, unsigned threads) {
  ParameterTable table;
  auto refuse = [&](const ParameterSlot &slot, const llvm::Twine &why) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(),
                                   "parameter '" + slot.name + "' of '" +
                                       archive.path() + "' " + why);
  };
  for (const ParameterSlot &slot : interface.parameters) {
    const ParameterInfo *info = archive.find(slot.name);
    if (!info)
      return refuse(
          slot, "is missing; give the archive that the module was made from");
    if (llvm::ArrayRef<int64_t>(info->shape) !=
        llvm::ArrayRef<int64_t>(slot.type.shape))
      return refuse(slot, "has shape " + printShape(info->shape) +
                              ", the module needs " +
                              printShape(slot.type.shape));
    int64_t bytes = slot.type.numBytes();
    uint64_t alignment = std::max<int64_t>(
        1, bytes / std::max<int64_t>(1, slot.type.numElements()));
    if (getElementType(info->type) == slot.type.elementType &&
        reinterpret_cast<uintptr_t>(info->bytes.data()) % alignment == 0) {
      if (static_cast<int64_t>(info->bytes.size()) != bytes)
        return refuse(slot, "has " + llvm::Twine(info->bytes.size()) +
                                " bytes, the module needs " +
                                llvm::Twine(bytes));
      table.pointers.push_back(const_cast<uint8_t *>(info->bytes.data()));
      continue;
    }
    if (slot.type.elementType != "f32" &&
        getElementType(info->type) != slot.type.elementType)
      return refuse(slot, "is stored as " + stringifyDType(info->type) +
                              ", the module needs " + slot.type.elementType);
    void *memory =
        std::aligned_alloc(64, static_cast<size_t>((bytes + 63) / 64 * 64));
    if (!memory)
      return refuse(slot, "needs " + llvm::Twine(bytes) + " bytes of memory");
    table.decoded.emplace_back(memory);
    table.decodedBytes += bytes;
    table.pointers.push_back(memory);
    if (slot.type.elementType != "f32") {
      std::memcpy(memory, info->bytes.data(), info->bytes.size());
      continue;
    }
    if (llvm::Error error = ParameterArchive::readAsF32(
            *info, static_cast<float *>(memory), threads))
      return error;
  }
  return table;
}
