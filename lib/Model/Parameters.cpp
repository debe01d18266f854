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
  uint16_t elements; // of a block
  uint16_t bytes;
};
} // namespace

// In the order of DType.
static constexpr DTypeFacts facts[] = {
    {"F32", 1, 4},        {"F16", 1, 2},       {"BF16", 1, 2},
    {"F64", 1, 8},        {"I8", 1, 1},        {"U8", 1, 1},
    {"I16", 1, 2},        {"U16", 1, 2},       {"I32", 1, 4},
    {"I64", 1, 8},        {"BOOL", 1, 1},      {"Q4_0", 32, 18},
    {"Q4_1", 32, 20},     {"Q5_0", 32, 22},    {"Q5_1", 32, 24},
    {"Q8_0", 32, 34},     {"Q2_K", 256, 84},   {"Q3_K", 256, 110},
    {"Q4_K", 256, 144},   {"Q5_K", 256, 176},  {"Q6_K", 256, 210},
    {"Q8_K", 256, 292},   {"IQ1_S", 256, 50},  {"IQ1_M", 256, 56},
    {"IQ2_XXS", 256, 66}, {"IQ2_XS", 256, 74}, {"IQ2_S", 256, 82},
    {"IQ3_XXS", 256, 98}, {"IQ3_S", 256, 110}, {"IQ4_NL", 32, 18},
    {"IQ4_XS", 256, 136}, {"TQ1_0", 256, 54},  {"TQ2_0", 256, 66},
    {"MXFP4", 32, 17},    {"NVFP4", 64, 36}};
static_assert(std::size(facts) == unsigned(DType::NVFP4) + 1);

llvm::StringRef mlir::cq::stringifyDType(DType type) {
  return facts[unsigned(type)].name;
}

int64_t mlir::cq::blockElements(DType type) {
  return facts[unsigned(type)].elements;
}

int64_t mlir::cq::blockBytes(DType type) { return facts[unsigned(type)].bytes; }

int64_t ParameterInfo::numElements() const {
  int64_t product = 1;
  for (int64_t extent : shape)
    product *= extent;
  return product;
}

ParameterArchive::~ParameterArchive() = default;
PackedReader::~PackedReader() = default;
ParameterWriter::~ParameterWriter() = default;

void ParameterArchive::declare(llvm::StringRef, DType,
                               llvm::ArrayRef<int64_t>) {}

std::optional<llvm::StringRef>
ParameterArchive::metadata(llvm::StringRef) const {
  return std::nullopt;
}
