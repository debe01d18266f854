//===- Unicode.cpp - Classes of code points for pre-tokenizers ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Unicode.h"
#include "llvm/ADT/STLExtras.h"
#include <array>

using namespace mlir::cq;

namespace {
struct Range {
  uint32_t first, last;
};
} // namespace

#include "UnicodeTables.inc"

/// The property White_Space.
static constexpr Range spaces[] = {
    {0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
    {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
    {0x205F, 0x205F}, {0x3000, 0x3000}};

template <size_t N>
static bool contains(const Range (&ranges)[N], uint32_t codePoint) {
  const Range *it = llvm::partition_point(
      ranges, [&](const Range &range) { return range.last < codePoint; });
  return it != std::end(ranges) && it->first <= codePoint;
}

static CharClass search(uint32_t codePoint) {
  if (contains(letters, codePoint))
    return CharClass::Letter;
  if (contains(numbers, codePoint))
    return CharClass::Number;
  if (contains(spaces, codePoint))
    return CharClass::Space;
  return CharClass::Other;
}

CharClass mlir::cq::classify(uint32_t codePoint) {
  // Nearly all text lies in the first 256 code points.
  static const std::array<CharClass, 256> latin = [] {
    std::array<CharClass, 256> table;
    for (uint32_t i = 0; i < 256; ++i)
      table[i] = search(i);
    return table;
  }();
  return codePoint < 256 ? latin[codePoint] : search(codePoint);
}

Char mlir::cq::charAt(llvm::StringRef text, size_t position) {
  Char c;
  if (position >= text.size())
    return c;
  auto byte = [&](size_t i) -> uint32_t {
    return position + i < text.size() ? uint8_t(text[position + i]) : 0;
  };
  auto follows = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  uint32_t first = byte(0);
  c.length = 1;
  c.codePoint = first;
  c.valid = first < 0x80;
  if (first >= 0xC2 && first < 0xE0 && follows(1)) {
    c = {(first & 0x1F) << 6 | (byte(1) & 0x3F), 2, true};
  } else if (first >= 0xE0 && first < 0xF0 && follows(1) && follows(2)) {
    uint32_t code =
        (first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    if (code >= 0x800 && (code < 0xD800 || code > 0xDFFF))
      c = {code, 3, true};
  } else if (first >= 0xF0 && first < 0xF5 && follows(1) && follows(2) &&
             follows(3)) {
    uint32_t code = (first & 0x07) << 18 | (byte(1) & 0x3F) << 12 |
                    (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    if (code >= 0x10000 && code <= 0x10FFFF)
      c = {code, 4, true};
  }
  c.kind = c.valid ? classify(c.codePoint) : CharClass::Other;
  return c;
}

void mlir::cq::appendUTF8(std::string &text, uint32_t code) {
  auto append = [&](uint32_t byte) { text += char(byte); };
  if (code < 0x80) {
    append(code);
  } else if (code < 0x800) {
    append(0xC0 | code >> 6);
    append(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    append(0xE0 | code >> 12);
    append(0x80 | (code >> 6 & 0x3F));
    append(0x80 | (code & 0x3F));
  } else {
    append(0xF0 | code >> 18);
    append(0x80 | (code >> 12 & 0x3F));
    append(0x80 | (code >> 6 & 0x3F));
    append(0x80 | (code & 0x3F));
  }
}

static bool standsForItself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

/// The bytes that do not stand for themselves, in order: 256 + index.
static const std::array<uint8_t, 68> &otherBytes() {
  static const std::array<uint8_t, 68> table = [] {
    std::array<uint8_t, 68> bytes;
    size_t count = 0;
    for (uint32_t byte = 0; byte < 256; ++byte)
      if (!standsForItself(byte))
        bytes[count++] = byte;
    return bytes;
  }();
  return table;
}

uint32_t mlir::cq::characterOfByte(uint8_t byte) {
  if (standsForItself(byte))
    return byte;
  return 256 + (llvm::lower_bound(otherBytes(), byte) - otherBytes().begin());
}

std::optional<uint8_t> mlir::cq::byteOfCharacter(uint32_t codePoint) {
  if (codePoint < 256)
    return standsForItself(codePoint) ? std::optional<uint8_t>(codePoint)
                                      : std::nullopt;
  if (codePoint - 256 < otherBytes().size())
    return otherBytes()[codePoint - 256];
  return std::nullopt;
}
