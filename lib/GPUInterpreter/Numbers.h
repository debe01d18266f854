//===- Numbers.h - Small floats as bit patterns -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Registers of the interpreter hold bit patterns. Conversions are integer
// arithmetic, round to nearest even, and keep subnormal numbers, as NVIDIA's
// conversions and arithmetic without .ftz do.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_GPUINTERPRETER_NUMBERS_H
#define CQ_LIB_GPUINTERPRETER_NUMBERS_H

#include "llvm/ADT/bit.h"
#include <cmath>
#include <cstdint>

namespace mlir::cq::gpusim {

enum class FloatKind : uint8_t { F16, BF16, F32, F64 };

/// `value` rounded once to a format of `mantissa` explicit bits and `exponent`
/// exponent bits (IEEE: the highest exponent is infinity and NaN).
inline uint64_t roundToFormat(double value, unsigned mantissa,
                              unsigned exponent) {
  uint64_t bits = llvm::bit_cast<uint64_t>(value);
  uint64_t sign = bits >> 63 << (mantissa + exponent);
  uint64_t infinity = ((uint64_t(1) << exponent) - 1) << mantissa;
  int e = static_cast<int>(bits >> 52 & 0x7ff);
  uint64_t m = bits & ((uint64_t(1) << 52) - 1);
  if (e == 0x7ff)
    return sign | infinity | (m ? uint64_t(1) << (mantissa - 1) : 0);
  if (e == 0) // zero, or a double far below every format's half step
    return sign;
  m |= uint64_t(1) << 52;
  int target = e - 1023 + (1 << (exponent - 1)) - 1;
  // Bits to drop; a subnormal result drops more.
  int drop = 52 - static_cast<int>(mantissa) + (target < 1 ? 1 - target : 0);
  if (drop > 54)
    return sign;
  uint64_t kept = m >> drop, rest = m & ((uint64_t(1) << drop) - 1);
  uint64_t half = uint64_t(1) << (drop - 1);
  if (rest > half || (rest == half && (kept & 1)))
    ++kept;
  // A carry out of the mantissa moves into the exponent by itself.
  uint64_t result =
      target < 1 ? kept : (uint64_t(target - 1) << mantissa) + kept;
  return sign | (result >= infinity ? infinity : result);
}

inline double decodeFloat(uint64_t bits, FloatKind kind) {
  switch (kind) {
  case FloatKind::F16: {
    unsigned e = bits >> 10 & 31, m = bits & 1023;
    double magnitude;
    if (e == 31)
      magnitude = m ? std::nan("") : INFINITY;
    else
      magnitude = e == 0 ? m * 0x1p-24
                         : llvm::bit_cast<double>(uint64_t(e + 1008) << 52 |
                                                  uint64_t(m) << 42);
    return bits & 0x8000 ? -magnitude : magnitude;
  }
  case FloatKind::BF16:
    return llvm::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  case FloatKind::F32:
    return llvm::bit_cast<float>(static_cast<uint32_t>(bits));
  case FloatKind::F64:
    return llvm::bit_cast<double>(bits);
  }
  return 0;
}

inline uint64_t encodeFloat(double value, FloatKind kind) {
  switch (kind) {
  case FloatKind::F16:
    return roundToFormat(value, 10, 5);
  case FloatKind::BF16:
    return roundToFormat(value, 7, 8);
  case FloatKind::F32:
    return llvm::bit_cast<uint32_t>(static_cast<float>(value));
  case FloatKind::F64:
    return llvm::bit_cast<uint64_t>(value);
  }
  return 0;
}

inline unsigned floatWidth(FloatKind kind) {
  return kind == FloatKind::F64 ? 64 : kind == FloatKind::F32 ? 32 : 16;
}

/// a · b + c rounded once. For the small formats the product is exact in a
/// double, and the sum, rounded to odd, rounds to the format as the exact sum.
inline uint64_t fusedMultiplyAdd(uint64_t a, uint64_t b, uint64_t c,
                                 FloatKind kind) {
  double x = decodeFloat(a, kind), y = decodeFloat(b, kind),
         z = decodeFloat(c, kind);
  if (kind == FloatKind::F64)
    return encodeFloat(std::fma(x, y, z), kind);
  if (kind == FloatKind::F32)
    return llvm::bit_cast<uint32_t>(std::fma(
        static_cast<float>(x), static_cast<float>(y), static_cast<float>(z)));
  double p = x * y, s = p + z;
  if (std::isfinite(s)) {
    double back = s - p, error = (p - (s - back)) + (z - back);
    uint64_t bits = llvm::bit_cast<uint64_t>(s);
    if (error != 0 && !(bits & 1)) {
      bool up = (error > 0) == (s > 0);
      s = llvm::bit_cast<double>(up ? bits + 1 : bits - 1);
    }
  }
  return encodeFloat(s, kind);
}

inline uint64_t lowBits(unsigned width) {
  return width >= 64 ? ~uint64_t(0) : (uint64_t(1) << width) - 1;
}
inline int64_t signExtend(uint64_t bits, unsigned width) {
  return static_cast<int64_t>(bits << (64 - width)) >> (64 - width);
}

} // namespace mlir::cq::gpusim

#endif // CQ_LIB_GPUINTERPRETER_NUMBERS_H
