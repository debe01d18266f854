//===- BlockDecoders.h - ggml block types to f32 ---------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The ggml block types, decoded as PyPI's `gguf` package does: all sums and
// products are rounded to f32 one by one, so that every machine computes the
// same weights.
//

#ifndef CQ_LIB_MODEL_BLOCKDECODERS_H
#define CQ_LIB_MODEL_BLOCKDECODERS_H

#include "cq/Model/Parameters.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/Endian.h"

namespace mlir::cq {

/// Decodes one block of `blockBytes` bytes into `blockElements` values.
using BlockDecoder = void (*)(const uint8_t *block, float *out);

/// Null for plain types.
BlockDecoder blockDecoder(DType type);
/// Of the types whose weights are points of a code book (IQ1 … IQ3).
BlockDecoder codeBookDecoder(DType type);

/// Loads tolerate any address: safetensors promises no alignment.
template <typename T> T loadLittle(const uint8_t *bytes) {
  return llvm::support::endian::read<T, llvm::endianness::little>(bytes);
}

/// IEEE half to float without branches, so that loops over it vectorize on any
/// x86 (F16C is not assumed).
inline float halfToFloat(uint16_t half) {
  uint32_t magnitude = half & 0x7fffu;
  uint32_t sign = uint32_t(half & 0x8000u) << 16;
  uint32_t normal = (magnitude << 13) + ((127 - 15) << 23);
  uint32_t special = normal | 0x7f800000u; // infinity and NaN
  uint32_t subnormal =
      llvm::bit_cast<uint32_t>(float(int32_t(magnitude)) * 0x1p-24f);
  uint32_t bits = magnitude >= 0x7c00u   ? special
                  : magnitude >= 0x0400u ? normal
                                         : subnormal;
  return llvm::bit_cast<float>(bits | sign);
}
inline float loadF16(const uint8_t *bytes) {
  return halfToFloat(loadLittle<uint16_t>(bytes));
}

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_BLOCKDECODERS_H
