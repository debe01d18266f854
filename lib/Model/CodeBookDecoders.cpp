//===- CodeBookDecoders.cpp - ggml's IQ1, IQ2 and IQ3 to f32 --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Eight (IQ1, IQ2) or four (IQ3) weights are a point of a code book; signs of
// IQ2 and IQ3 are stored apart. Blocks of 256 weights; d: f16 of the block; s:
// scale of 16 or 32 weights; p: the point's coordinate.
//
//            bytes  points  scale of a group       weight
//   IQ2_XXS   66      256   d (s + 1/2) / 4        +- scale p
//   IQ2_XS    74      512   d (s + 1/2) / 4        +- scale p
//   IQ2_S     82     1024   d (s + 1/2) / 4        +- scale p
//   IQ3_XXS   98      256   d (s + 1/2) / 2        +- scale p
//   IQ3_S    110      512   d (2 s + 1)            +- scale p
//   IQ1_S     50     2048   d (2 s + 1)            scale (p +- 1/8)
//   IQ1_M     56     2048   d (2 s + 1)            scale (p +- 1/8)
//

#include "BlockDecoders.h"
#include "llvm/ADT/bit.h"

using namespace mlir::cq;

#include "GGMLCodeBooks.inc"

// Values of a coordinate, by its index in the code book (ggml-common.h).
static constexpr float iq2Values[4] = {8, 25, 43, 0};
static constexpr float iq3xxsValues[8] = {4, 12, 20, 28, 36, 44, 52, 62};
static constexpr float iq3sValues[8] = {1, 3, 5, 7, 9, 11, 13, 15};

/// Eight weights of IQ2: bit j of `signs` set means minus.
static void pointOf8(uint16_t point, unsigned signs, float scale, float *out) {
  for (int j = 0; j < 8; ++j) {
    float value = scale * iq2Values[point >> (2 * j) & 3];
    out[j] = signs >> j & 1 ? -value : value;
  }
}

/// Four weights of IQ3.
static void pointOf4(uint16_t point, const float *values, unsigned signs,
                     float scale, float *out) {
  for (int j = 0; j < 4; ++j) {
    float value = scale * values[point >> (3 * j) & 7];
    out[j] = signs >> j & 1 ? -value : value;
  }
}

/// Seven stored signs; the eighth makes the number of minus signs even.
static unsigned evenSigns(unsigned seven) {
  seven &= 127;
  return seven | unsigned(llvm::popcount(seven) & 1) << 7;
}

static float nibble(const uint8_t *bytes, int index) {
  return float(bytes[index / 2] >> (index % 2 * 4) & 15);
}

/// d; for 32 weights four points and a word of 4 x 7 signs and the scale.
static void decodeIQ2_XXS(const uint8_t *block, float *out) {
  float d = loadF16(block);
  for (int group = 0; group < 8; ++group) {
    const uint8_t *points = block + 2 + 8 * group;
    uint32_t word = loadLittle<uint32_t>(points + 4);
    float scale = d * (0.5f + float(word >> 28)) * 0.25f;
    for (int i = 0; i < 4; ++i)
      pointOf8(iq2xxsBook[points[i]], evenSigns(word >> (7 * i)), scale,
               out + 32 * group + 8 * i);
  }
}

/// d; 32 words of 9 bits of point and 7 signs; 16 scales.
static void decodeIQ2_XS(const uint8_t *block, float *out) {
  float d = loadF16(block);
  for (int i = 0; i < 32; ++i) {
    uint16_t word = loadLittle<uint16_t>(block + 2 + 2 * i);
    float scale = d * (0.5f + nibble(block + 66, i / 2)) * 0.25f;
    pointOf8(iq2xsBook[word & 511], evenSigns(word >> 9), scale, out + 8 * i);
  }
}

/// d; 32 bytes of points, 32 of signs, 8 of the points' high bits; 16 scales.
static void decodeIQ2_S(const uint8_t *block, float *out) {
  float d = loadF16(block);
  const uint8_t *points = block + 2, *signs = block + 34, *high = block + 66;
  for (int i = 0; i < 32; ++i) {
    int point = points[i] | (high[i / 4] >> (i % 4 * 2) & 3) << 8;
    float scale = d * (0.5f + nibble(block + 74, i / 2)) * 0.25f;
    pointOf8(iq2sBook[point], signs[i], scale, out + 8 * i);
  }
}

/// d; 64 points; 8 words of 4 x 7 signs and the scale of 32 weights.
static void decodeIQ3_XXS(const uint8_t *block, float *out) {
  float d = loadF16(block);
  const uint8_t *points = block + 2;
  for (int i = 0; i < 64; ++i) {
    uint32_t word = loadLittle<uint32_t>(block + 66 + i / 8 * 4);
    float scale = d * (0.5f + float(word >> 28)) * 0.5f;
    unsigned signs = evenSigns(word >> (i / 2 % 4 * 7)) >> (i % 2 * 4);
    pointOf4(iq3xxsBook[points[i]], iq3xxsValues, signs, scale, out + 4 * i);
  }
}

/// d; 64 points, 8 bytes of their ninth bits; 32 bytes of signs; 8 scales.
static void decodeIQ3_S(const uint8_t *block, float *out) {
  float d = loadF16(block);
  const uint8_t *points = block + 2, *high = block + 66, *signs = block + 74;
  for (int i = 0; i < 64; ++i) {
    int point = points[i] | (high[i / 8] >> (i % 8) & 1) << 8;
    float scale = d * (1.0f + 2.0f * nibble(block + 106, i / 8));
    pointOf4(iq3sBook[point], iq3sValues, signs[i / 2] >> (i % 2 * 4), scale,
             out + 4 * i);
  }
}

/// Eight weights of IQ1: coordinates -1, 0, 1, shifted by an eighth.
static void shiftedPoint(uint16_t point, bool down, float scale, float *out) {
  float delta = down ? -0.125f : 0.125f;
  for (int j = 0; j < 8; ++j)
    out[j] = scale * (float(int(point >> (2 * j) & 3) - 1) + delta);
}

/// d; 32 points; for 32 weights 4 x 3 high bits, the scale, the shift's sign.
static void decodeIQ1_S(const uint8_t *block, float *out) {
  float d = loadF16(block);
  const uint8_t *points = block + 2;
  for (int group = 0; group < 8; ++group) {
    uint16_t word = loadLittle<uint16_t>(block + 34 + 2 * group);
    float scale = d * float(2 * (word >> 12 & 7) + 1);
    for (int i = 4 * group; i < 4 * group + 4; ++i) {
      int point = points[i] | (word >> (i % 4 * 3) & 7) << 8;
      shiftedPoint(iq1Book[point], word & 0x8000, scale, out + 8 * i);
    }
  }
}

/// 32 points; for each a nibble of 3 high bits and the shift's sign; 4 words of
/// 4 x 3 bits of scales (for 16 weights) and four bits of d.
static void decodeIQ1_M(const uint8_t *block, float *out) {
  const uint8_t *points = block, *high = block + 32;
  uint16_t words[4], half = 0;
  for (int i = 0; i < 4; ++i) {
    words[i] = loadLittle<uint16_t>(block + 48 + 2 * i);
    half |= uint16_t((words[i] & 0xf000) >> (12 - 4 * i));
  }
  float d = halfToFloat(half);
  for (int i = 0; i < 32; ++i) {
    float scale = d * float(2 * (words[i / 8] >> (i / 2 % 4 * 3) & 7) + 1);
    int bits = high[i / 2] >> (i % 2 * 4) & 15;
    shiftedPoint(iq1Book[points[i] | (bits & 7) << 8], bits & 8, scale,
                 out + 8 * i);
  }
}

BlockDecoder mlir::cq::codeBookDecoder(DType type) {
  switch (type) {
  case DType::IQ2_XXS:
    return decodeIQ2_XXS;
  case DType::IQ2_XS:
    return decodeIQ2_XS;
  case DType::IQ2_S:
    return decodeIQ2_S;
  case DType::IQ3_XXS:
    return decodeIQ3_XXS;
  case DType::IQ3_S:
    return decodeIQ3_S;
  case DType::IQ1_S:
    return decodeIQ1_S;
  case DType::IQ1_M:
    return decodeIQ1_M;
  default:
    return nullptr;
  }
}
