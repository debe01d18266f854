//===- Vocabulary.cpp - What a tokenizer file says ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Vocabulary.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

Error Vocabulary::check() const {
  if (texts.empty() || texts.size() > size_t(1) << 24)
    return fail("the tokenizer of " + quoted(path) + " has " +
                llvm::Twine(texts.size()) + " tokens, not 1 to 2^24");
  if (types.size() != texts.size())
    return fail("the tokenizer of " + quoted(path) + " has " +
                llvm::Twine(texts.size()) + " tokens but " +
                llvm::Twine(types.size()) + " token types");
  if (kind != TokenizerKind::ByteLevel) {
    if (scores.size() != texts.size())
      return fail("the tokenizer of " + quoted(path) + " has " +
                  llvm::Twine(texts.size()) + " tokens but " +
                  llvm::Twine(scores.size()) + " scores");
    for (float score : scores)
      if (std::isnan(score))
        return fail("a token score of " + quoted(path) +
                    " is no number; the file is damaged");
  }
  for (int32_t id : {bos, eos, eot, unknown})
    if (id < -1 || id >= size())
      return fail("a special token id of " + quoted(path) + " is " +
                  llvm::Twine(id) + ", outside its " + llvm::Twine(size()) +
                  " tokens; the file is damaged");
  return Error::success();
}

llvm::StringMap<int32_t> Vocabulary::idsOfTexts() const {
  llvm::StringMap<int32_t> ids(texts.size());
  for (size_t i = 0; i < texts.size(); ++i)
    ids.try_emplace(texts[i], int32_t(i));
  return ids;
}

Error Vocabulary::setMerges(
    size_t count,
    llvm::function_ref<std::pair<StringRef, StringRef>(size_t)> spelling) {
  llvm::StringMap<int32_t> ids = idsOfTexts();
  auto find = [&](StringRef text) {
    auto it = ids.find(text);
    return it == ids.end() ? -1 : it->second;
  };
  for (size_t i = 0; i < count; ++i) {
    auto [left, right] = spelling(i);
    std::pair<int32_t, int32_t> pair{find(left), find(right)};
    if (pair.first < 0 || pair.second < 0 || find((left + right).str()) < 0)
      return fail("merge " + llvm::Twine(i) + " of " + quoted(path) +
                  " joins or makes tokens that the vocabulary lacks; the file "
                  "is damaged");
    merges.push_back(pair);
  }
  return Error::success();
}

ChatTemplate mlir::cq::chatFromTemplate(StringRef text) {
  if (text.contains("<|im_start|>"))
    return ChatTemplate::ChatML;
  if (text.contains("<|start_header_id|>"))
    return ChatTemplate::Llama3;
  if (text.contains("[INST]"))
    return ChatTemplate::Llama2;
  return ChatTemplate::None;
}

static bool isSpecial(TokenType type) {
  return type == TokenType::Control || type == TokenType::UserDefined;
}

ChatTemplate Vocabulary::chatFromTokens() const {
  for (size_t i = 0; i < texts.size(); ++i)
    if (isSpecial(types[i]))
      if (ChatTemplate form = chatFromTemplate(texts[i]);
          form != ChatTemplate::None)
        return form;
  return ChatTemplate::None;
}

VocabularyTokenizer::VocabularyTokenizer(Vocabulary source)
    : vocabulary(std::move(source)) {
  static constexpr StringRef endNames[] = {
      "<|im_end|>", "<|eot_id|>",    "<|eom_id|>", "<|end_of_text|>",
      "<|end|>",    "<|endoftext|>", "</s>"};
  for (int32_t id : {vocabulary.eos, vocabulary.eot})
    if (id >= 0)
      ends.insert(id);
  for (size_t i = 0; i < vocabulary.texts.size(); ++i) {
    StringRef text = vocabulary.texts[i];
    TokenType type = vocabulary.types[i];
    if ((!isSpecial(type) && type != TokenType::Unknown) || text.empty())
      continue;
    if (llvm::is_contained(endNames, text))
      ends.insert(int32_t(i));
    if (specials.try_emplace(text, int32_t(i)).second)
      lengths[uint8_t(text[0])].push_back(text.size());
  }
  for (std::vector<size_t> &list : lengths) {
    llvm::sort(list, std::greater<>());
    list.erase(llvm::unique(list), list.end());
  }
}

int32_t VocabularyTokenizer::specialAt(StringRef text,
                                       bool parseSpecial) const {
  for (size_t length : lengths[uint8_t(text[0])]) {
    if (length > text.size())
      continue;
    auto it = specials.find(text.take_front(length));
    // User-defined tokens are text; control tokens only on request.
    if (it != specials.end() && (parseSpecial || vocabulary.types[it->second] ==
                                                     TokenType::UserDefined))
      return it->second;
  }
  return -1;
}

std::vector<int32_t> VocabularyTokenizer::encode(StringRef text,
                                                 bool parseSpecial,
                                                 bool addBos) const {
  std::vector<int32_t> ids;
  if (addBos && vocabulary.addBos && vocabulary.bos >= 0)
    ids.push_back(vocabulary.bos);
  size_t begin = 0;
  for (size_t position = 0; position < text.size();) {
    int32_t special = specialAt(text.substr(position), parseSpecial);
    if (special < 0) {
      ++position;
      continue;
    }
    if (position > begin)
      encodeText(text.slice(begin, position), ids);
    ids.push_back(special);
    position += vocabulary.texts[special].size();
    begin = position;
  }
  if (begin < text.size())
    encodeText(text.substr(begin), ids);
  return ids;
}
