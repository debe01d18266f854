//===- Packing.cpp - Codes to bytes and back ------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"
#include "cq/Codec/Layout.h"
#include <algorithm>
#include <cstring>

using namespace mlir::cq;

//===----------------------------------------------------------------------===//
// linear
//===----------------------------------------------------------------------===//

// Eight codes are exactly `bits` bytes, least significant bit first.
template <unsigned bits>
static void packLinearRow(const uint8_t *codes, int64_t k, uint8_t *packed) {
  for (int64_t c = 0; c < k; c += 8) {
    int64_t count = std::min<int64_t>(8, k - c);
    uint64_t word = 0;
    for (int64_t i = 0; i < count; ++i)
      word |= static_cast<uint64_t>(codes[c + i] & ((1u << bits) - 1))
              << (i * bits);
    int64_t bytes = (count * bits + 7) / 8;
    for (int64_t i = 0; i < bytes; ++i)
      *packed++ = static_cast<uint8_t>(word >> (8 * i));
  }
}

template <unsigned bits>
static void unpackLinearRow(const uint8_t *packed, int64_t k, uint8_t *codes) {
  for (int64_t c = 0; c < k; c += 8) {
    int64_t count = std::min<int64_t>(8, k - c);
    int64_t bytes = (count * bits + 7) / 8;
    uint64_t word = 0;
    for (int64_t i = 0; i < bytes; ++i)
      word |= static_cast<uint64_t>(*packed++) << (8 * i);
    for (int64_t i = 0; i < count; ++i)
      codes[c + i] = (word >> (i * bits)) & ((1u << bits) - 1);
  }
}

static void packLinearRow(unsigned bits, const uint8_t *codes, int64_t k,
                          uint8_t *packed) {
  switch (bits) {
  case 2:
    return packLinearRow<2>(codes, k, packed);
  case 3:
    return packLinearRow<3>(codes, k, packed);
  case 4:
    return packLinearRow<4>(codes, k, packed);
  case 5:
    return packLinearRow<5>(codes, k, packed);
  case 6:
    return packLinearRow<6>(codes, k, packed);
  case 8:
    std::memcpy(packed, codes, k);
  }
}

static void unpackLinearRow(unsigned bits, const uint8_t *packed, int64_t k,
                            uint8_t *codes) {
  switch (bits) {
  case 2:
    return unpackLinearRow<2>(packed, k, codes);
  case 3:
    return unpackLinearRow<3>(packed, k, codes);
  case 4:
    return unpackLinearRow<4>(packed, k, codes);
  case 5:
    return unpackLinearRow<5>(packed, k, codes);
  case 6:
    return unpackLinearRow<6>(packed, k, codes);
  case 8:
    std::memcpy(codes, packed, k);
  }
}

//===----------------------------------------------------------------------===//
// panel16: both directions follow the table of PanelUnit
//===----------------------------------------------------------------------===//

// 64 bytes as 16-bit lanes: x86 has no byte shifts, and the masks of the table
// keep the lanes' halves apart.
using Lanes [[gnu::vector_size(64)]] = uint16_t;

static inline uint16_t bothBytes(unsigned byte) { return byte * 0x0101; }

static void packUnit(const PanelUnit &unit, const uint8_t *codes,
                     int64_t stride, int64_t rows, int64_t columns,
                     uint8_t *packed) {
  Lanes vectors[8] = {};
  for (auto [index, quad] : llvm::enumerate(unit.quads)) {
    int64_t column = static_cast<int64_t>(index) * 4;
    if (column >= columns)
      break;
    uint8_t bytes[64] = {};
    if (rows == 16 && column + 4 <= columns) {
      for (int64_t row = 0; row < 16; ++row)
        std::memcpy(bytes + 4 * row, codes + row * stride + column, 4);
    } else {
      for (int64_t row = 0; row < rows; ++row)
        std::memcpy(bytes + 4 * row, codes + row * stride + column,
                    std::min<int64_t>(4, columns - column));
    }
    Lanes operand;
    std::memcpy(&operand, bytes, 64);
    operand &= bothBytes((1u << unit.bits) - 1);
    operand <<= static_cast<uint16_t>(quad.shiftClass);
    for (const PanelTerm &term : quad.terms) {
      Lanes field = operand & bothBytes(term.mask);
      if (term.shift >= 0)
        field <<= static_cast<uint16_t>(term.shift);
      else
        field >>= static_cast<uint16_t>(-term.shift);
      vectors[term.vector] |= field;
    }
  }
  std::memcpy(packed, vectors, unit.vectors * 64);
}

static void unpackUnit(const PanelUnit &unit, const uint8_t *packed,
                       int64_t stride, int64_t rows, int64_t columns,
                       uint8_t *codes) {
  Lanes vectors[8];
  std::memcpy(vectors, packed, unit.vectors * 64);
  for (auto [index, quad] : llvm::enumerate(unit.quads)) {
    int64_t column = static_cast<int64_t>(index) * 4;
    if (column >= columns)
      break;
    Lanes operand = {};
    for (const PanelTerm &term : quad.terms) {
      Lanes field = vectors[term.vector];
      if (term.shift >= 0)
        field >>= static_cast<uint16_t>(term.shift);
      else
        field <<= static_cast<uint16_t>(-term.shift);
      operand |= field & bothBytes(term.mask);
    }
    operand >>= static_cast<uint16_t>(quad.shiftClass);
    operand &= bothBytes((1u << unit.bits) - 1);
    uint8_t bytes[64];
    std::memcpy(bytes, &operand, 64);
    if (rows == 16 && column + 4 <= columns) {
      for (int64_t row = 0; row < 16; ++row)
        std::memcpy(codes + row * stride + column, bytes + 4 * row, 4);
    } else {
      for (int64_t row = 0; row < rows; ++row)
        std::memcpy(codes + row * stride + column, bytes + 4 * row,
                    std::min<int64_t>(4, columns - column));
    }
  }
}

static void packPanel(unsigned bits, const uint8_t *codes, int64_t k,
                      int64_t rows, uint8_t *packed) {
  const PanelUnit &unit = PanelUnit::get(bits);
  for (int64_t column = 0; column < k; column += unit.columns()) {
    packUnit(unit, codes + column, k, rows,
             std::min(unit.columns(), k - column), packed);
    packed += unit.vectors * 64;
  }
}

static void unpackPanel(unsigned bits, const uint8_t *packed, int64_t k,
                        int64_t rows, uint8_t *codes) {
  const PanelUnit &unit = PanelUnit::get(bits);
  for (int64_t column = 0; column < k; column += unit.columns()) {
    unpackUnit(unit, packed, k, rows, std::min(unit.columns(), k - column),
               codes + column);
    packed += unit.vectors * 64;
  }
}

//===----------------------------------------------------------------------===//
// Segments
//===----------------------------------------------------------------------===//

/// Calls tile(segment bits, rows, first code, first byte) for every row
/// (linear) or panel of up to 16 rows, in the order in which they are stored.
static void forEachTile(
    const Layout &layout, int64_t k,
    llvm::function_ref<void(unsigned, int64_t, int64_t, int64_t)> tile) {
  int64_t code = 0, byte = 0;
  bool linear = layout.kind == LayoutKind::Linear;
  for (const RowSegment &segment : layout.segments) {
    int64_t tileRows = linear ? 1 : 16;
    int64_t tileBytes = linear ? layout.rowBytes(k, segment.bits)
                               : layout.panelBytes(k, segment.bits);
    for (int64_t row = 0; row < segment.rows; row += tileRows) {
      int64_t rows = std::min(tileRows, segment.rows - row);
      tile(segment.bits, rows, code, byte);
      code += rows * k;
      byte += tileBytes;
    }
  }
}

void Layout::pack(const uint8_t *codes, int64_t n, int64_t k,
                  uint8_t *packed) const {
  forEachTile(*this, k,
              [&](unsigned bits, int64_t rows, int64_t code, int64_t byte) {
                const uint8_t *from = codes + code;
                uint8_t *to = packed + byte;
                switch (kind) {
                case LayoutKind::Linear:
                  return packLinearRow(bits, from, k, to);
                case LayoutKind::Panel16:
                  return packPanel(bits, from, k, rows, to);
                case LayoutKind::MmaFragment:
                  return detail::packFragmentTile(bits, from, k, rows, to);
                }
              });
}

void Layout::unpack(const uint8_t *packed, int64_t n, int64_t k,
                    uint8_t *codes) const {
  forEachTile(*this, k,
              [&](unsigned bits, int64_t rows, int64_t code, int64_t byte) {
                const uint8_t *from = packed + byte;
                uint8_t *to = codes + code;
                switch (kind) {
                case LayoutKind::Linear:
                  return unpackLinearRow(bits, from, k, to);
                case LayoutKind::Panel16:
                  return unpackPanel(bits, from, k, rows, to);
                case LayoutKind::MmaFragment:
                  return detail::unpackFragmentTile(bits, from, k, rows, to);
                }
              });
}
