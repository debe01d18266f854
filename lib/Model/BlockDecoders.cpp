//===- BlockDecoders.cpp - ggml block types to f32 ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Block types whose weights are numbers times a scale. d, m: f16 of a block; q:
// code; s, t: scale and minimum of a group inside the block.
//
//          weights bytes  value
//   Q4_0     32     18    d (q - 8)
//   Q4_1     32     20    d q + m
//   Q5_0     32     22    d (q - 16)
//   Q5_1     32     24    d q + m
//   Q8_0     32     34    d q                   q i8
//   Q2_K    256     84    (d s) q - (m t)       s, t 4 bits for 16 weights
//   Q3_K    256    110    (d (s - 32)) (q - 4)  s 6 bits for 16 weights
//   Q4_K    256    144    (d s) q - (m t)       s, t 6 bits for 32 weights
//   Q5_K    256    176    the same, q 5 bits
//   Q6_K    256    210    (d s) (q - 32)        s i8 for 16 weights
//   Q8_K    256    292    d q                   d f32; 16 i16 sums follow
//   TQ1_0   256     54    d (q - 1)             five ternary digits a byte
//   TQ2_0   256     66    d (q - 1)
//   IQ4_NL   32     18    d v[q]                v: a table of 16 values
//   IQ4_XS  256    136    (d (s - 32)) v[q]     s 6 bits for 32 weights
//   MXFP4    32     17    2^(e - 128) v[q]      v: doubled E2M1 values
//   NVFP4    64     36    s / 2 v[q]            s unsigned E4M3 for 16 weights
//

#include "BlockDecoders.h"

using namespace mlir::cq;

/// The first half of a block's weights lies in low nibbles, the second in high.
template <int size, typename Value>
static void splitNibbles(const uint8_t *codes, float *out, Value value) {
  for (int j = 0; j < size / 2; ++j) {
    out[j] = value(j, codes[j] & 15);
    out[j + size / 2] = value(j + size / 2, codes[j] >> 4);
  }
}

static void decodeQ4_0(const uint8_t *block, float *out) {
  float d = loadF16(block);
  splitNibbles<32>(block + 2, out,
                   [d](int, int q) { return d * float(q - 8); });
}

static void decodeQ4_1(const uint8_t *block, float *out) {
  float d = loadF16(block), m = loadF16(block + 2);
  splitNibbles<32>(block + 4, out,
                   [d, m](int, int q) { return d * float(q) + m; });
}

static void decodeQ5_0(const uint8_t *block, float *out) {
  float d = loadF16(block);
  uint32_t high = loadLittle<uint32_t>(block + 2);
  splitNibbles<32>(block + 6, out, [d, high](int j, int q) {
    return d * float((q | int(high >> j & 1) << 4) - 16);
  });
}

static void decodeQ5_1(const uint8_t *block, float *out) {
  float d = loadF16(block), m = loadF16(block + 2);
  uint32_t high = loadLittle<uint32_t>(block + 4);
  splitNibbles<32>(block + 8, out, [d, m, high](int j, int q) {
    return d * float(q | int(high >> j & 1) << 4) + m;
  });
}

static void decodeQ8_0(const uint8_t *block, float *out) {
  float d = loadF16(block);
  for (int j = 0; j < 32; ++j)
    out[j] = d * float(int8_t(block[2 + j]));
}

static void decodeQ8_K(const uint8_t *block, float *out) {
  float d = llvm::bit_cast<float>(loadLittle<uint32_t>(block));
  for (int j = 0; j < 256; ++j)
    out[j] = d * float(int8_t(block[4 + j]));
}

/// Weight i of 256 with 2 bits a weight: 32 bytes hold 128 weights, 32 at each
/// pair of bits.
static inline int bitPair(const uint8_t *codes, int i) {
  return codes[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

/// 16 scale bytes (low nibble: scale, high: minimum), 64 bytes of codes, d, m.
static void decodeQ2_K(const uint8_t *block, float *out) {
  float d = loadF16(block + 80), m = loadF16(block + 82);
  for (int group = 0; group < 16; ++group) {
    float s = d * float(block[group] & 15), t = m * float(block[group] >> 4);
    for (int i = 16 * group; i < 16 * group + 16; ++i)
      out[i] = s * float(bitPair(block + 16, i)) - t;
  }
}

/// 32 bytes of third bits (clear: subtract 4), 64 bytes of codes, 12 bytes of
/// 6-bit scales, d.
static void decodeQ3_K(const uint8_t *block, float *out) {
  const uint8_t *scales = block + 96;
  float d = loadF16(block + 108);
  for (int group = 0; group < 16; ++group) {
    int low = scales[group % 8] >> (group / 8 * 4) & 15;
    int high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    float s = d * float((low | high << 4) - 32);
    for (int i = 16 * group; i < 16 * group + 16; ++i) {
      int third = block[i % 32] >> (i / 32) & 1;
      out[i] = s * float(bitPair(block + 32, i) - (third ? 0 : 4));
    }
  }
}

/// The 6-bit scale and minimum of a group of Q4_K and Q5_K: 12 bytes.
static void scaleAndMinimum(const uint8_t *pairs, int group, float &scale,
                            float &minimum) {
  if (group < 4) {
    scale = float(pairs[group] & 63);
    minimum = float(pairs[group + 4] & 63);
    return;
  }
  // Low four bits together in bytes 8..11, high two bits in 0..7.
  scale = float((pairs[group + 4] & 15) | (pairs[group - 4] >> 6) << 4);
  minimum = float((pairs[group + 4] >> 4) | (pairs[group] >> 6) << 4);
}

/// d, m; pairs; for Q5_K 32 bytes of fifth bits; 128 bytes of nibbles: 32 bytes
/// hold group 2i in the low and group 2i + 1 in the high nibbles.
template <bool five> static void decodeQ45_K(const uint8_t *block, float *out) {
  float d = loadF16(block), m = loadF16(block + 2);
  const uint8_t *fifth = block + 16, *codes = block + (five ? 48 : 16);
  for (int group = 0; group < 8; ++group) {
    float scale, minimum;
    scaleAndMinimum(block + 4, group, scale, minimum);
    float s = d * scale, t = m * minimum;
    const uint8_t *bytes = codes + group / 2 * 32;
    unsigned shift = group % 2 * 4;
    for (int j = 0; j < 32; ++j) {
      int q = bytes[j] >> shift & 15;
      if (five)
        q |= (fifth[j] >> group & 1) << 4;
      out[group * 32 + j] = s * float(q) - t;
    }
  }
}

/// 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 i8 scales, d. Each
/// half of 128 weights takes 64 and 32 bytes: weights 0-31 and 64-95 share the
/// first 32 bytes of nibbles, 32-63 and 96-127 the second.
static void decodeQ6_K(const uint8_t *block, float *out) {
  float d = loadF16(block + 208);
  for (int half = 0; half < 2; ++half) {
    const uint8_t *low = block + 64 * half, *high = block + 128 + 32 * half;
    const uint8_t *scales = block + 192 + 8 * half;
    float *result = out + 128 * half;
    for (int quarter = 0; quarter < 4; ++quarter)
      for (int j = 0; j < 32; ++j) {
        int nibble = (low[quarter % 2 * 32 + j] >> (quarter / 2 * 4)) & 15;
        int code = nibble | ((high[j] >> (2 * quarter)) & 3) << 4;
        float s = d * float(int8_t(scales[2 * quarter + j / 16]));
        result[32 * quarter + j] = s * float(code - 32);
      }
  }
}

/// `bytes` bytes hold `digits` ternary digits each: digit i of all bytes, then
/// digit i + 1. A byte is the number 0.digits in base 3, times 256, rounded up;
/// multiplying it by 3 modulo 256 drops the first digit.
static float *ternaryDigits(const uint8_t *codes, int bytes, int digits,
                            float d, float *out) {
  for (int digit = 0, power = 1; digit < digits; ++digit, power *= 3)
    for (int j = 0; j < bytes; ++j) {
      int rest = (codes[j] * power) & 255;
      *out++ = d * float((rest * 3 >> 8) - 1);
    }
  return out;
}

static void decodeTQ1_0(const uint8_t *block, float *out) {
  float d = loadF16(block + 52);
  out = ternaryDigits(block, 32, 5, d, out);
  out = ternaryDigits(block + 32, 16, 5, d, out);
  ternaryDigits(block + 48, 4, 4, d, out);
}

static void decodeTQ2_0(const uint8_t *block, float *out) {
  float d = loadF16(block + 64);
  for (int i = 0; i < 256; ++i)
    out[i] = d * float(bitPair(block, i) - 1);
}

/// The levels of IQ4: a constant of the format (ggml-common.h, kvalues_iq4nl).
static constexpr int8_t nonlinear[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void decodeIQ4_NL(const uint8_t *block, float *out) {
  float d = loadF16(block);
  splitNibbles<32>(block + 2, out,
                   [d](int, int q) { return d * float(nonlinear[q]); });
}

/// d, 16 high bit pairs of the scales, 8 low nibbles, 128 bytes of nibbles.
static void decodeIQ4_XS(const uint8_t *block, float *out) {
  float d = loadF16(block);
  uint16_t high = loadLittle<uint16_t>(block + 2);
  for (int group = 0; group < 8; ++group) {
    int scale = (block[4 + group / 2] >> (group % 2 * 4) & 15) |
                (high >> (2 * group) & 3) << 4;
    float s = d * float(scale - 32);
    splitNibbles<32>(block + 8 + 16 * group, out + 32 * group,
                     [s](int, int q) { return s * float(nonlinear[q]); });
  }
}

/// Twice the values of E2M1 (OCP Microscaling Formats 1.0, section 5.3.3).
static constexpr int8_t doubledE2M1[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                           0, -1, -2, -3, -4, -6, -8, -12};

static void decodeMXFP4(const uint8_t *block, float *out) {
  // 2^(e - 128): half of E8M0, because the values are doubled.
  uint32_t e = block[0];
  float d = llvm::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
  splitNibbles<32>(block + 1, out,
                   [d](int, int q) { return d * float(doubledE2M1[q]); });
}

/// Half of an E4M3 without sign; 0x7f (NaN) is 0.
static float halfOfE4M3(uint8_t bits) {
  if (bits == 0x7f)
    return 0;
  uint32_t exponent = bits >> 3 & 15, mantissa = bits & 7;
  if (exponent == 0)
    return float(mantissa) * 0x1p-10f;
  return llvm::bit_cast<float>((exponent + 127 - 8) << 23 | mantissa << 20);
}

static void decodeNVFP4(const uint8_t *block, float *out) {
  for (int group = 0; group < 4; ++group) {
    float d = halfOfE4M3(block[group]);
    splitNibbles<16>(block + 4 + 8 * group, out + 16 * group,
                     [d](int, int q) { return d * float(doubledE2M1[q]); });
  }
}

BlockDecoder mlir::cq::blockDecoder(DType type) {
  switch (type) {
  case DType::Q4_0:
    return decodeQ4_0;
  case DType::Q4_1:
    return decodeQ4_1;
  case DType::Q5_0:
    return decodeQ5_0;
  case DType::Q5_1:
    return decodeQ5_1;
  case DType::Q8_0:
    return decodeQ8_0;
  case DType::Q2_K:
    return decodeQ2_K;
  case DType::Q3_K:
    return decodeQ3_K;
  case DType::Q4_K:
    return decodeQ45_K<false>;
  case DType::Q5_K:
    return decodeQ45_K<true>;
  case DType::Q6_K:
    return decodeQ6_K;
  case DType::Q8_K:
    return decodeQ8_K;
  case DType::TQ1_0:
    return decodeTQ1_0;
  case DType::TQ2_0:
    return decodeTQ2_0;
  case DType::IQ4_NL:
    return decodeIQ4_NL;
  case DType::IQ4_XS:
    return decodeIQ4_XS;
  case DType::MXFP4:
    return decodeMXFP4;
  case DType::NVFP4:
    return decodeNVFP4;
  default:
    return codeBookDecoder(type);
  }
}
