//===- Dequantize.cpp - Stored tensors to f32 -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The ggml block types. d, m: f16 of a block; q: code. All sums and products
// are rounded to f32 one by one, so that every machine computes the same
// weights.
//
//   Q8_0  32 weights, 34 bytes   w = d q              q i8
//   Q4_0  32 weights, 18 bytes   w = d (q − 8)        weight j: low nibble of
//   byte Q4_1  32 weights, 20 bytes   w = d q + m          j, weight j + 16:
//   high nibble Q4_K  256 weights, 144 bytes w = (d s) q − (dmin m), s and m 6
//   bits for 32 Q6_K  256 weights, 210 bytes w = (d s) (q − 32),  s i8 for 16
//   weights
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Parameters.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/ThreadPool.h"
#include <cstring>

using namespace mlir::cq;

// Loads tolerate any address: safetensors promises no alignment.
template <typename T> static T load(const uint8_t *bytes) {
  return llvm::support::endian::read<T, llvm::endianness::little>(bytes);
}
static float loadF32(const uint8_t *bytes) {
  return llvm::bit_cast<float>(load<uint32_t>(bytes));
}

/// IEEE half to float without branches, so that loops over it vectorize on any
/// x86 (F16C is not assumed).
static inline float halfToFloat(uint16_t half) {
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
static float loadF16(const uint8_t *bytes) {
  return halfToFloat(load<uint16_t>(bytes));
}

static void decodeQ8_0(const uint8_t *block, float *out) {
  float d = loadF16(block);
  for (int j = 0; j < 32; ++j)
    out[j] = d * float(int8_t(block[2 + j]));
}

static void decodeQ4_0(const uint8_t *block, float *out) {
  float d = loadF16(block);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * float(int(block[2 + j] & 15) - 8);
    out[j + 16] = d * float(int(block[2 + j] >> 4) - 8);
  }
}

static void decodeQ4_1(const uint8_t *block, float *out) {
  float d = loadF16(block), m = loadF16(block + 2);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * float(block[4 + j] & 15) + m;
    out[j + 16] = d * float(block[4 + j] >> 4) + m;
  }
}

/// d, dmin; 12 bytes of 6-bit pairs; 128 bytes of nibbles: 32 bytes hold group
/// 2i in the low and group 2i + 1 in the high nibbles.
static void decodeQ4_K(const uint8_t *block, float *out) {
  float d = loadF16(block), dmin = loadF16(block + 2);
  const uint8_t *pairs = block + 4, *codes = block + 16;
  for (int group = 0; group < 8; ++group) {
    unsigned scale, minimum;
    if (group < 4) {
      scale = pairs[group] & 63;
      minimum = pairs[group + 4] & 63;
    } else { // low four bits together in bytes 8..11, high two bits in 0..7
      scale = (pairs[group + 4] & 15) | (pairs[group - 4] >> 6) << 4;
      minimum = (pairs[group + 4] >> 4) | (pairs[group] >> 6) << 4;
    }
    float s = d * float(scale), m = dmin * float(minimum);
    const uint8_t *bytes = codes + group / 2 * 32;
    unsigned shift = group % 2 * 4;
    for (int j = 0; j < 32; ++j)
      out[group * 32 + j] = s * float((bytes[j] >> shift) & 15) - m;
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

/// Decodes elements [begin, begin + count), whole blocks.
static void decode(DType type, const uint8_t *bytes, float *out,
                   int64_t count) {
  auto each = [&](auto convert) {
    for (int64_t i = 0; i < count; ++i)
      out[i] = convert(i);
  };
  auto blocks = [&](auto decodeBlock) {
    int64_t elements = blockElements(type), size = blockBytes(type);
    for (int64_t i = 0; i < count / elements; ++i)
      decodeBlock(bytes + i * size, out + i * elements);
  };
  switch (type) {
  case DType::F32:
    return each([&](int64_t i) { return loadF32(bytes + 4 * i); });
  case DType::F16:
    return each([&](int64_t i) { return loadF16(bytes + 2 * i); });
  case DType::BF16:
    return each([&](int64_t i) {
      return llvm::bit_cast<float>(uint32_t(load<uint16_t>(bytes + 2 * i))
                                   << 16);
    });
  case DType::F64:
    return each([&](int64_t i) {
      return float(llvm::bit_cast<double>(load<uint64_t>(bytes + 8 * i)));
    });
  case DType::I8:
    return each([&](int64_t i) { return float(int8_t(bytes[i])); });
  case DType::U8:
    return each([&](int64_t i) { return float(bytes[i]); });
  case DType::Bool:
    return each([&](int64_t i) { return bytes[i] ? 1.0f : 0.0f; });
  case DType::I16:
    return each([&](int64_t i) { return float(load<int16_t>(bytes + 2 * i)); });
  case DType::U16:
    return each(
        [&](int64_t i) { return float(load<uint16_t>(bytes + 2 * i)); });
  case DType::I32:
    return each([&](int64_t i) { return float(load<int32_t>(bytes + 4 * i)); });
  case DType::I64:
    return each([&](int64_t i) { return float(load<int64_t>(bytes + 8 * i)); });
  case DType::Q8_0:
    return blocks(decodeQ8_0);
  case DType::Q4_0:
    return blocks(decodeQ4_0);
  case DType::Q4_1:
    return blocks(decodeQ4_1);
  case DType::Q4_K:
    return blocks(decodeQ4_K);
  case DType::Q6_K:
    return blocks(decodeQ6_K);
  }
}

llvm::Error ParameterArchive::readAsF32(const ParameterInfo &info, float *out,
                                        unsigned threads) {
  // The readers checked this; views made by hand may not fit.
  std::optional<int64_t> count = checkedElements(info.shape);
  int64_t elements = blockElements(info.type), size = blockBytes(info.type);
  if (!count || *count % elements != 0 ||
      uint64_t(*count / elements) > info.bytes.size() / size)
    return fail("tensor " + quoted(info.name) + " holds " +
                llvm::Twine(info.bytes.size()) +
                " bytes, too few for its shape " + printShape(info.shape));

  // Pieces of 256K elements: large enough to hide the cost of a task.
  constexpr int64_t piece = 1 << 18;
  auto decodePiece = [&](int64_t begin) {
    decode(info.type, info.bytes.data() + begin / elements * size, out + begin,
           std::min(piece, *count - begin));
  };
  if (threads == 1 || *count <= piece) {
    for (int64_t begin = 0; begin < *count; begin += piece)
      decodePiece(begin);
    return llvm::Error::success();
  }
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(threads));
  for (int64_t begin = 0; begin < *count; begin += piece)
    pool.async(decodePiece, begin);
  pool.wait();
  return llvm::Error::success();
}
