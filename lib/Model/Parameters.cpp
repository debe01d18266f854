//===- Parameters.cpp - Element types of stored tensors -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Parameters.h"

using namespace mlir::cq;

namespace {
struct DTypeFacts {
  llvm::StringLiteral name;
  uint8_t elements; // of a block / 8, 0 for plain types
  uint8_t bytes;
};
} // namespace

// In the order of DType.
static constexpr DTypeFacts facts[] = {
    {"F32", 0, 4},   {"F16", 0, 2},   {"BF16", 0, 2},    {"F64", 0, 8},
    {"I8", 0, 1},    {"U8", 0, 1},    {"I16", 0, 2},     {"U16", 0, 2},
    {"I32", 0, 4},   {"I64", 0, 8},   {"BOOL", 0, 1},    {"Q8_0", 4, 34},
    {"Q4_0", 4, 18}, {"Q4_1", 4, 20}, {"Q4_K", 32, 144}, {"Q6_K", 32, 210}};

llvm::StringRef mlir::cq::stringifyDType(DType type) {
  return facts[unsigned(type)].name;
}

int64_t mlir::cq::blockElements(DType type) {
  unsigned eighths = facts[unsigned(type)].elements;
  return eighths == 0 ? 1 : eighths * 8;
}

int64_t mlir::cq::blockBytes(DType type) { return facts[unsigned(type)].bytes; }

int64_t ParameterInfo::numElements() const {
  int64_t product = 1;
  for (int64_t extent : shape)
    product *= extent;
  return product;
}

ParameterArchive::~ParameterArchive() = default;

std::optional<llvm::StringRef>
ParameterArchive::metadata(llvm::StringRef) const {
  return std::nullopt;
}
