//===- Unicode.h - Classes of code points for pre-tokenizers ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_UNICODE_H
#define CQ_LIB_MODEL_UNICODE_H

#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <optional>
#include <string>

namespace mlir::cq {

/// What the patterns of pre-tokenizers distinguish: \p{L}, \p{N}, \s, the rest.
enum class CharClass : uint8_t { Letter, Number, Space, Other };
CharClass classify(uint32_t codePoint);

/// One UTF-8 sequence. A byte that begins no valid sequence is a character of
/// its own (class Other), so that any bytes can be tokenized.
struct Char {
  uint32_t codePoint = 0;
  uint8_t length = 0; ///< bytes; 0 at the end of the text
  bool valid = false;
  CharClass kind = CharClass::Other;
};
Char charAt(llvm::StringRef text, size_t position);

/// Appends the UTF-8 form of a code point.
void appendUTF8(std::string &text, uint32_t codePoint);

/// The alphabet of byte-level BPE: every byte has a printable character (the
/// byte itself where it is printable Latin-1, else 256 and up, in order).
uint32_t characterOfByte(uint8_t byte);
std::optional<uint8_t> byteOfCharacter(uint32_t codePoint);

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_UNICODE_H
