//===- StockTypes.cpp - Quantized weights as ggml blocks ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every grid is w = s v with small integers v:
//   symmetric  s = S,   v = u - 2^(b-1)
//   affine     s = S,   v = u - z
//   half-step  s = S/2, v = 2 u - (2^b - 1)
// A type without minimum (Q4_0 ...) holds v where it lies in its range. A type
// with minimum (Q4_1: d q + m) holds q = v - lowest, with m = s lowest.
//

#include "cq/Model/StockTypes.h"
#include "../Codec/Half.h"
#include <cmath>
#include <cstring>

using namespace mlir::cq;

namespace {
/// The weights of one row as s v.
struct IntegerRow {
  std::vector<int16_t> values; ///< [k]
  std::vector<float> scales;   ///< [groups]
  int lowest = 0, highest = 0; ///< of the row's values and 0
  int64_t group = 0;           ///< columns of a scale
};

/// One way to write a row. `encode` is false where the row does not fit.
struct StockEncoder {
  DType type;
  bool (*encode)(const IntegerRow &row, uint8_t *out);
};
} // namespace

static IntegerRow integersOf(const QuantizedWeight &q, int64_t row) {
  Scheme scheme = q.schemeOf(row);
  IntegerRow result;
  result.group = scheme.groupLength(q.k);
  int64_t groups = scheme.numGroups(q.k);
  result.scales.assign(q.scales.begin() + row * groups,
                       q.scales.begin() + (row + 1) * groups);
  result.values.resize(q.k);
  bool half = scheme.grid == Grid::HalfStep;
  if (half)
    for (float &scale : result.scales)
      scale *= 0.5f;
  int lowest = 0, highest = 0;
  for (int64_t k = 0; k < q.k; ++k) {
    int u = q.codes[row * q.k + k];
    int v = half ? 2 * u - scheme.maxCode()
            : scheme.hasZeroPoints()
                ? u - q.zeros[row * groups + k / result.group]
                : u - scheme.offset();
    result.values[k] = int16_t(v);
    lowest = std::min(lowest, v);
    highest = std::max(highest, v);
  }
  result.lowest = lowest;
  result.highest = highest;
  return result;
}

static void storeHalf(uint8_t *out, float value) {
  uint16_t bits = detail::f32ToF16(value);
  out[0] = uint8_t(bits);
  out[1] = uint8_t(bits >> 8);
}
static float roundHalf(float value) {
  return detail::f16ToF32(detail::f32ToF16(value));
}
static bool fitsHalf(float value) { return std::abs(value) <= 65504.0f; }

/// Whether one scale covers each `block` columns.
static bool blocksFit(const IntegerRow &row, int64_t block) {
  int64_t k = int64_t(row.values.size());
  return k % block == 0 && (row.group % block == 0 || row.group >= k);
}
static float scaleAt(const IntegerRow &row, int64_t column) {
  return row.scales[column / row.group];
}

/// Nibbles of 32 weights: the first half low, the second high; fifth bits in a
/// word of 32.
static void storeNibbles(const int *codes, uint8_t *nibbles, uint8_t *fifth) {
  uint32_t high = 0;
  for (int j = 0; j < 16; ++j)
    nibbles[j] = uint8_t((codes[j] & 15) | (codes[j + 16] & 15) << 4);
  if (!fifth)
    return;
  for (int j = 0; j < 32; ++j)
    high |= uint32_t(codes[j] >> 4 & 1) << j;
  for (int i = 0; i < 4; ++i)
    fifth[i] = uint8_t(high >> (8 * i));
}

/// Q4_0, Q5_0: d (q - 2^(bits-1)).
template <int bits>
static bool encodeCentred(const IntegerRow &row, uint8_t *out) {
  constexpr int centre = 1 << (bits - 1);
  if (!blocksFit(row, 32) || row.lowest < -centre || row.highest >= centre)
    return false;
  for (size_t k = 0; k < row.values.size(); k += 32) {
    float d = scaleAt(row, k);
    if (!fitsHalf(d))
      return false;
    storeHalf(out, d);
    int codes[32];
    for (int j = 0; j < 32; ++j)
      codes[j] = row.values[k + j] + centre;
    constexpr int extra = bits == 5 ? 4 : 0;
    storeNibbles(codes, out + 2 + extra, extra ? out + 2 : nullptr);
    out += 18 + extra;
  }
  return true;
}

/// Q4_1, Q5_1: d q + m.
template <int bits>
static bool encodeMinimum(const IntegerRow &row, uint8_t *out) {
  if (!blocksFit(row, 32))
    return false;
  for (size_t k = 0; k < row.values.size(); k += 32) {
    // The lowest of the block, so that affine groups with distant zero points
    // do not hinder each other.
    auto [low, high] = std::minmax_element(row.values.begin() + k,
                                           row.values.begin() + k + 32);
    float d = scaleAt(row, k), m = d * float(*low);
    if (*high - *low >= 1 << bits || !fitsHalf(d) || !fitsHalf(m))
      return false;
    storeHalf(out, d);
    storeHalf(out + 2, m);
    int codes[32];
    for (int j = 0; j < 32; ++j)
      codes[j] = row.values[k + j] - *low;
    constexpr int extra = bits == 5 ? 4 : 0;
    storeNibbles(codes, out + 4 + extra, extra ? out + 4 : nullptr);
    out += 20 + extra;
  }
  return true;
}

static bool encodeQ8_0(const IntegerRow &row, uint8_t *out) {
  if (!blocksFit(row, 32) || row.lowest < -128 || row.highest > 127)
    return false;
  for (size_t k = 0; k < row.values.size(); k += 32, out += 34) {
    if (!fitsHalf(scaleAt(row, k)))
      return false;
    storeHalf(out, scaleAt(row, k));
    for (int j = 0; j < 32; ++j)
      out[2 + j] = uint8_t(row.values[k + j]);
  }
  return true;
}

/// Integer multiples of one f16 for the scales of 16 groups of 16 columns: the
/// largest magnitude gets `most`.
static bool superScales(const IntegerRow &row, size_t k, int most, float &d,
                        int *scales) {
  float largest = 0;
  for (int g = 0; g < 16; ++g)
    largest = std::max(largest, std::abs(scaleAt(row, k + 16 * g)));
  d = largest / float(most);
  if (!fitsHalf(d))
    return false;
  d = roundHalf(d);
  for (int g = 0; g < 16; ++g) {
    float s = d > 0 ? std::nearbyint(scaleAt(row, k + 16 * g) / d) : 0.0f;
    scales[g] = int(std::min(std::max(s, float(-most)), float(most)));
  }
  return true;
}

/// d (s - 32) (q - 4), s 6 bits.
static bool encodeQ3_K(const IntegerRow &row, uint8_t *out) {
  if (!blocksFit(row, 16) || row.values.size() % 256 || row.lowest < -4 ||
      row.highest > 3)
    return false;
  for (size_t k = 0; k < row.values.size(); k += 256, out += 110) {
    float d;
    int scales[16];
    if (!superScales(row, k, 31, d, scales))
      return false;
    std::memset(out, 0, 110);
    for (int i = 0; i < 256; ++i) {
      int q = row.values[k + i] + 4;
      out[i % 32] |= uint8_t((q >> 2 & 1) << (i / 32));
      out[32 + i / 128 * 32 + i % 32] |= uint8_t((q & 3) << (i / 32 % 4 * 2));
    }
    for (int g = 0; g < 16; ++g) {
      int s = scales[g] + 32;
      out[96 + g % 8] |= uint8_t((s & 15) << (g / 8 * 4));
      out[104 + g % 4] |= uint8_t((s >> 4) << (g / 4 * 2));
    }
    storeHalf(out + 108, d);
  }
  return true;
}

/// d s (q - 32), s i8.
static bool encodeQ6_K(const IntegerRow &row, uint8_t *out) {
  if (!blocksFit(row, 16) || row.values.size() % 256 || row.lowest < -32 ||
      row.highest > 31)
    return false;
  for (size_t k = 0; k < row.values.size(); k += 256, out += 210) {
    float d;
    int scales[16];
    if (!superScales(row, k, 127, d, scales))
      return false;
    std::memset(out, 0, 210);
    for (int i = 0; i < 256; ++i) {
      int q = row.values[k + i] + 32, quarter = i / 32 % 4, half = i / 128;
      out[64 * half + quarter % 2 * 32 + i % 32] |=
          uint8_t((q & 15) << (quarter / 2 * 4));
      out[128 + 32 * half + i % 32] |= uint8_t((q >> 4) << (2 * quarter));
    }
    for (int g = 0; g < 16; ++g)
      out[192 + g] = uint8_t(int8_t(scales[g]));
    storeHalf(out + 208, d);
  }
  return true;
}

/// d s q - m t, s and t 4 bits: |s| v with v shifted to start at 0; where the
/// scale is negative, codes are mirrored.
static bool encodeQ2_K(const IntegerRow &row, uint8_t *out) {
  if (!blocksFit(row, 16) || row.values.size() % 256)
    return false;
  int lowest = row.lowest, highest = row.highest;
  if (highest - lowest > 3)
    return false;
  for (size_t k = 0; k < row.values.size(); k += 256, out += 84) {
    float d, m, minima[16], largest = 0;
    int scales[16];
    if (!superScales(row, k, 15, d, scales))
      return false;
    for (int g = 0; g < 16; ++g) {
      float s = scaleAt(row, k + 16 * g);
      minima[g] = -s * float(s < 0 ? highest : lowest);
      largest = std::max(largest, minima[g]);
    }
    m = largest / 15;
    if (!fitsHalf(m))
      return false;
    m = roundHalf(m);
    std::memset(out, 0, 84);
    for (int g = 0; g < 16; ++g) {
      bool mirrored = scales[g] < 0;
      float t = m > 0 ? std::nearbyint(minima[g] / m) : 0.0f;
      int minimum = int(std::min(t, 15.0f));
      out[g] = uint8_t(std::abs(scales[g]) | minimum << 4);
      for (int i = 16 * g; i < 16 * g + 16; ++i) {
        int v = row.values[k + i];
        int q = mirrored ? highest - v : v - lowest;
        out[16 + i / 128 * 32 + i % 32] |= uint8_t(q << (i / 32 % 4 * 2));
      }
    }
    storeHalf(out + 80, d);
    storeHalf(out + 82, m);
  }
  return true;
}

// By bits per weight.
static constexpr StockEncoder encoders[] = {
    {DType::Q2_K, encodeQ2_K},       {DType::Q3_K, encodeQ3_K},
    {DType::Q4_0, encodeCentred<4>}, {DType::Q4_1, encodeMinimum<4>},
    {DType::Q5_0, encodeCentred<5>}, {DType::Q5_1, encodeMinimum<5>},
    {DType::Q6_K, encodeQ6_K},       {DType::Q8_0, encodeQ8_0}};

static double relativeError(llvm::ArrayRef<float> wanted,
                            const StockWeight &stock) {
  ParameterInfo info;
  info.type = stock.type;
  info.shape = {int64_t(wanted.size())};
  info.bytes = stock.bytes;
  std::vector<float> values(wanted.size());
  llvm::cantFail(ParameterArchive::readAsF32(info, values.data()));
  double difference = 0, square = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    double delta = double(values[i]) - double(wanted[i]);
    difference += delta * delta;
    square += double(wanted[i]) * double(wanted[i]);
  }
  return square > 0 ? std::sqrt(difference / square) : std::sqrt(difference);
}

/// Values rounded to Q8_0; nothing where a row is no whole number of blocks.
static std::optional<StockWeight> roundToQ8_0(llvm::ArrayRef<float> values,
                                              int64_t k) {
  if (k % 32)
    return std::nullopt;
  StockWeight stock;
  stock.type = DType::Q8_0;
  stock.bytes.resize(values.size() / 32 * 34);
  uint8_t *out = stock.bytes.data();
  for (size_t i = 0; i < values.size(); i += 32, out += 34) {
    float largest = 0;
    for (int j = 0; j < 32; ++j)
      largest = std::max(largest, std::abs(values[i + j]));
    if (!fitsHalf(largest / 127))
      return std::nullopt;
    float d = roundHalf(largest / 127);
    storeHalf(out, d);
    for (int j = 0; j < 32; ++j) {
      float q = d > 0 ? std::nearbyint(values[i + j] / d) : 0.0f;
      out[2 + j] = uint8_t(int8_t(std::min(std::max(q, -127.0f), 127.0f)));
    }
  }
  return stock;
}

static StockWeight asHalf(llvm::ArrayRef<float> values) {
  StockWeight stock;
  stock.type = DType::F16;
  stock.bytes.resize(2 * values.size());
  for (size_t i = 0; i < values.size(); ++i)
    storeHalf(&stock.bytes[2 * i], values[i]);
  return stock;
}

StockWeight mlir::cq::nearestStockType(const QuantizedWeight &weight,
                                       const CherryPositions *cherries,
                                       double tolerance, unsigned threads) {
  std::vector<float> values(weight.n * weight.k);
  dequantizeWeight(weight, cherries, values.data(), threads);
  std::optional<StockWeight> best;
  auto consider = [&](StockWeight stock) {
    stock.error = relativeError(values, stock);
    if (!best || stock.error < best->error)
      best = std::move(stock);
    return best->error <= tolerance;
  };
  bool precise = cherries && cherries->spec.form != CherryForm::None;
  if (!precise) {
    std::vector<IntegerRow> rows;
    rows.reserve(weight.n);
    for (int64_t row = 0; row < weight.n; ++row)
      rows.push_back(integersOf(weight, row));
    for (const StockEncoder &encoder : encoders) {
      StockWeight stock;
      stock.type = encoder.type;
      if (weight.k % blockElements(encoder.type))
        continue;
      int64_t size =
          weight.k / blockElements(encoder.type) * blockBytes(encoder.type);
      stock.bytes.resize(weight.n * size);
      bool fits = true;
      for (int64_t row = 0; row < weight.n && fits; ++row)
        fits = encoder.encode(rows[row],
                              stock.bytes.data() + weight.originOf(row) * size);
      if (fits && consider(std::move(stock)))
        return std::move(*best);
    }
  }
  if (auto stock = roundToQ8_0(values, weight.k))
    if (consider(std::move(*stock)))
      return std::move(*best);
  consider(asHalf(values));
  return std::move(*best);
}

StockWeight mlir::cq::exactStockType(llvm::ArrayRef<float> values) {
  auto keeps = [&](auto round) {
    return llvm::all_of(values, [&](float value) {
      float rounded = round(value);
      return std::memcmp(&rounded, &value, sizeof(float)) == 0;
    });
  };
  if (keeps(roundHalf))
    return asHalf(values);
  StockWeight stock;
  if (keeps([](float value) {
        return detail::bf16ToF32(detail::f32ToBF16(value));
      })) {
    stock.type = DType::BF16;
    stock.bytes.resize(2 * values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t bits = detail::f32ToBF16(values[i]);
      stock.bytes[2 * i] = uint8_t(bits);
      stock.bytes[2 * i + 1] = uint8_t(bits >> 8);
    }
    return stock;
  }
  stock.bytes.resize(4 * values.size());
  std::memcpy(stock.bytes.data(), values.data(), stock.bytes.size());
  return stock;
}
