//===- SentencePieceTokenizer.cpp - BPE by scores -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Symbols begin as characters; the pair whose union is the token of the highest
// score merges first. Characters that are no token become their bytes, written
// as the tokens <0x00> … <0xFF>.
//
//===----------------------------------------------------------------------===//

#include "Merging.h"
#include "Unicode.h"
#include "Vocabulary.h"
#include "llvm/ADT/StringExtras.h"
#include <array>
#include <cmath>

using namespace mlir::cq;
using llvm::StringRef;

static constexpr StringRef visibleSpace = "\xE2\x96\x81"; // U+2581

/// The byte of "<0x0A>".
static std::optional<uint8_t> byteOfSpelling(StringRef text) {
  unsigned byte;
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>' ||
      text.slice(3, 5).getAsInteger(16, byte))
    return std::nullopt;
  return uint8_t(byte);
}

static std::string replaced(StringRef text, StringRef from, StringRef to) {
  std::string result;
  while (!text.empty()) {
    size_t found = text.find(from);
    result += text.take_front(found);
    if (found == StringRef::npos)
      break;
    result += to;
    text = text.drop_front(found + from.size());
  }
  return result;
}

/// Larger scores become smaller numbers.
static uint32_t priorityOf(float score) {
  uint32_t bits = llvm::bit_cast<uint32_t>(score + 0.0f); // −0 and 0 are equal
  bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return ~bits;
}

namespace {
class SentencePieceTokenizer : public VocabularyTokenizer {
public:
  explicit SentencePieceTokenizer(Vocabulary source);
  std::string decode(int32_t id, int32_t previous) const override;

private:
  void encodeText(StringRef text, std::vector<int32_t> &ids) const override;
  bool isLlama2C() const { return vocabulary.kind == TokenizerKind::Llama2C; }

  llvm::StringMap<int32_t> ids; ///< of tokens that text may become
  size_t longest = 0;           ///< bytes of the longest of them
  std::array<int32_t, 256> byteIds;
};
} // namespace

SentencePieceTokenizer::SentencePieceTokenizer(Vocabulary source)
    : VocabularyTokenizer(std::move(source)) {
  byteIds.fill(-1);
  for (size_t i = 0; i < vocabulary.texts.size(); ++i) {
    StringRef text = vocabulary.texts[i];
    TokenType type = vocabulary.types[i];
    if (type == TokenType::Byte) {
      if (std::optional<uint8_t> byte = byteOfSpelling(text))
        byteIds[*byte] = int32_t(i);
    } else if (type == TokenType::Normal || type == TokenType::UserDefined) {
      ids.try_emplace(text, int32_t(i));
      longest = std::max(longest, text.size());
    }
  }
}

void SentencePieceTokenizer::encodeText(StringRef text,
                                        std::vector<int32_t> &out) const {
  std::string prepared = vocabulary.spacePrefix ? " " + text.str() : text.str();
  if (!isLlama2C())
    prepared = replaced(prepared, " ", visibleSpace);
  StringRef bytes = prepared;

  auto find = [&](size_t begin, size_t length) {
    if (length > longest)
      return -1;
    auto it = ids.find(bytes.substr(begin, length));
    return it == ids.end() ? -1 : it->second;
  };
  Merger merger;
  for (size_t i = 0; i < bytes.size();) {
    size_t length = charAt(bytes, i).length;
    merger.symbols.push_back({i, length, find(i, length)});
    i += length;
  }
  // llama2.c turns unknown characters into bytes before it merges.
  bool unknownMerge = !isLlama2C();
  merger.run([&](const Symbol &left,
                 const Symbol &right) -> std::optional<MergeResult> {
    if (!unknownMerge && (left.id < 0 || right.id < 0))
      return std::nullopt;
    int32_t id = find(left.begin, left.length + right.length);
    if (id < 0 || std::isinf(vocabulary.scores[id]))
      return std::nullopt;
    return MergeResult{priorityOf(vocabulary.scores[id]), id};
  });
  for (const Symbol &symbol : merger.symbols) {
    if (symbol.length == 0)
      continue;
    if (symbol.id >= 0) {
      out.push_back(symbol.id);
      continue;
    }
    for (size_t i = 0; i < symbol.length; ++i) {
      int32_t id = byteIds[uint8_t(bytes[symbol.begin + i])];
      if (id < 0)
        id = vocabulary.unknown;
      if (id >= 0)
        out.push_back(id);
    }
  }
}

std::string SentencePieceTokenizer::decode(int32_t id, int32_t previous) const {
  if (id < 0 || id >= vocabulary.size())
    return "";
  TokenType type = vocabulary.types[id];
  StringRef text = vocabulary.texts[id];
  if (type == TokenType::Byte)
    if (std::optional<uint8_t> byte = byteOfSpelling(text))
      return std::string(1, char(*byte));
  if (type != TokenType::Normal)
    return text.str();
  std::string piece =
      isLlama2C() ? text.str() : replaced(text, visibleSpace, " ");
  // The space that `encode` put before the text.
  bool first = previous < 0 || previous == vocabulary.bos;
  if (first && vocabulary.spacePrefix && StringRef(piece).starts_with(" "))
    piece.erase(0, 1);
  return piece;
}

std::shared_ptr<Tokenizer>
mlir::cq::makeSentencePieceTokenizer(Vocabulary vocabulary) {
  return std::make_shared<SentencePieceTokenizer>(std::move(vocabulary));
}
