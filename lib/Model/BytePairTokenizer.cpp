//===- BytePairTokenizer.cpp - Byte-level BPE -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Merging.h"
#include "Unicode.h"
#include "Vocabulary.h"
#include <array>

using namespace mlir::cq;
using llvm::StringRef;

/// Bytes behind a spelling in the byte alphabet; a spelling with any other
/// character stands for itself.
static std::string bytesOfSpelling(StringRef spelling) {
  std::string bytes;
  for (size_t i = 0; i < spelling.size();) {
    Char c = charAt(spelling, i);
    std::optional<uint8_t> byte =
        c.valid ? byteOfCharacter(c.codePoint) : std::nullopt;
    if (!byte)
      return spelling.str();
    bytes += char(*byte);
    i += c.length;
  }
  return bytes;
}

namespace {
class BytePairTokenizer : public VocabularyTokenizer {
public:
  explicit BytePairTokenizer(Vocabulary source);
  std::string decode(int32_t id, int32_t previous) const override;

private:
  void encodeText(StringRef text, std::vector<int32_t> &ids) const override;
  void encodeWord(StringRef word, Merger &merger,
                  std::vector<int32_t> &ids) const;

  std::array<int32_t, 256> byteIds; ///< −1: the vocabulary lacks the byte
  llvm::DenseMap<std::pair<int32_t, int32_t>, MergeResult> merges;
  llvm::StringMap<int32_t> wholeWords; ///< bytes → id, when merges are ignored
};
} // namespace

BytePairTokenizer::BytePairTokenizer(Vocabulary source)
    : VocabularyTokenizer(std::move(source)) {
  llvm::StringMap<int32_t> ids = vocabulary.idsOfTexts();
  auto find = [&](const std::string &text) {
    auto it = ids.find(text);
    return it == ids.end() ? -1 : it->second;
  };
  for (uint32_t byte = 0; byte < 256; ++byte) {
    std::string spelling;
    appendUTF8(spelling, characterOfByte(byte));
    byteIds[byte] = find(spelling);
  }
  merges.reserve(vocabulary.merges.size());
  for (auto [rank, pair] : llvm::enumerate(vocabulary.merges))
    merges.try_emplace(
        pair, MergeResult{uint32_t(rank), find(vocabulary.texts[pair.first] +
                                               vocabulary.texts[pair.second])});
  if (vocabulary.ignoreMerges)
    for (size_t i = 0; i < vocabulary.texts.size(); ++i)
      if (vocabulary.types[i] == TokenType::Normal)
        wholeWords.try_emplace(bytesOfSpelling(vocabulary.texts[i]),
                               int32_t(i));
}

void BytePairTokenizer::encodeWord(StringRef word, Merger &merger,
                                   std::vector<int32_t> &ids) const {
  if (vocabulary.ignoreMerges) {
    auto it = wholeWords.find(word);
    if (it != wholeWords.end()) {
      ids.push_back(it->second);
      return;
    }
  }
  merger.symbols.clear();
  for (size_t i = 0; i < word.size(); ++i)
    merger.symbols.push_back({i, 1, byteIds[uint8_t(word[i])]});
  merger.run([&](const Symbol &left,
                 const Symbol &right) -> std::optional<MergeResult> {
    if (left.id < 0 || right.id < 0)
      return std::nullopt;
    auto it = merges.find({left.id, right.id});
    if (it == merges.end())
      return std::nullopt;
    return it->second;
  });
  // A byte that is no token has no id to stand for it: it is left out, as
  // llama.cpp does.
  for (const Symbol &symbol : merger.symbols)
    if (symbol.length > 0 && symbol.id >= 0)
      ids.push_back(symbol.id);
}

void BytePairTokenizer::encodeText(StringRef text,
                                   std::vector<int32_t> &ids) const {
  Merger merger;
  splitWords(vocabulary.preTokenizer, text,
             [&](StringRef word) { encodeWord(word, merger, ids); });
}

std::string BytePairTokenizer::decode(int32_t id, int32_t) const {
  if (id < 0 || id >= vocabulary.size())
    return "";
  if (vocabulary.types[id] != TokenType::Normal)
    return vocabulary.texts[id];
  return bytesOfSpelling(vocabulary.texts[id]);
}

std::shared_ptr<Tokenizer>
mlir::cq::makeBytePairTokenizer(Vocabulary vocabulary) {
  return std::make_shared<BytePairTokenizer>(std::move(vocabulary));
}
