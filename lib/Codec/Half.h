//===- Half.h - Sixteen-bit floats ------------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Conversions with integer arithmetic, so that they give the same bits whether
// or not the processor has F16C. All round to nearest even.

#ifndef CQ_LIB_CODEC_HALF_H
#define CQ_LIB_CODEC_HALF_H

#include "cq/Codec/Scheme.h"
#include <cmath>
#include <cstring>

namespace mlir::cq::detail {

inline uint32_t bitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
inline float floatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline uint16_t f32ToF16(float value) {
  uint32_t bits = bitsOf(value);
  uint32_t sign = (bits >> 16) & 0x8000;
  uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) // 2^16 and above, Inf, NaN
    return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  // Below 2^-14 the spacing of f16 is 2^-24, that of f32 in [0.5, 1): the sum
  // rounds for us.
  if (magnitude < 0x38800000)
    return sign | (bitsOf(floatOf(magnitude) + 0.5f) - 0x3f000000);
  magnitude += 0xfff + ((magnitude >> 13) & 1);
  return sign | ((magnitude - 0x38000000) >> 13);
}

inline float f16ToF32(uint16_t half) {
  uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  uint32_t exponent = (half >> 10) & 0x1f, mantissa = half & 0x3ff;
  if (exponent == 0)
    return floatOf(sign | bitsOf(static_cast<float>(mantissa) * 0x1p-24f));
  if (exponent == 31)
    return floatOf(sign | 0x7f800000 | mantissa << 13);
  return floatOf(sign | (exponent + 112) << 23 | mantissa << 13);
}

inline uint16_t f32ToBF16(float value) {
  uint32_t bits = bitsOf(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return (bits >> 16) | 0x40;
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

inline float bf16ToF32(uint16_t half) {
  return floatOf(static_cast<uint32_t>(half) << 16);
}

/// The value that a scale plane of `type` gives back for `scale`. Subnormal f32
/// and bf16 results become +0, so that no processor mode (FTZ, DAZ) can change
/// a model; so does −0. Subnormal f16 scales stay: their f32 value is normal.
inline float roundScale(float scale, ScaleType type) {
  if (type == ScaleType::F16)
    scale = f16ToF32(f32ToF16(scale));
  else if (type == ScaleType::BF16)
    scale = bf16ToF32(f32ToBF16(scale));
  return std::fabs(scale) < 0x1p-126f ? 0.0f : scale;
}

inline bool isFinite(float value) {
  return (bitsOf(value) & 0x7f800000) != 0x7f800000;
}

} // namespace mlir::cq::detail

#endif // CQ_LIB_CODEC_HALF_H
