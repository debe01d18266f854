//===- TokenizerGGUF.cpp - Tokenizers in GGUF metadata --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GGUFWriter.h"
#include "Vocabulary.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

static constexpr StringRef prefix = "tokenizer.ggml.";
/// What GGUF has no key for.
static constexpr StringRef ignoreMergesKey = "cq.tokenizer.ignore_merges";
static constexpr StringRef chatKey = "cq.tokenizer.chat";

static StringRef stringifyKind(TokenizerKind kind) {
  switch (kind) {
  case TokenizerKind::ByteLevel:
    return "gpt2";
  case TokenizerKind::SentencePiece:
    return "llama";
  case TokenizerKind::Llama2C:
    return "cq-llama2c";
  }
  return "";
}

static std::optional<TokenizerKind> parseKind(StringRef name) {
  for (TokenizerKind kind :
       {TokenizerKind::ByteLevel, TokenizerKind::SentencePiece,
        TokenizerKind::Llama2C})
    if (stringifyKind(kind) == name)
      return kind;
  return std::nullopt;
}

static Error readMerges(const GGUFFile &file, Vocabulary &vocabulary) {
  StringRef name;
  if (Error error = file.read((prefix + "pre").str(), name, /*required=*/true))
    return error;
  std::optional<PreTokenizer> known = parsePreTokenizer(name);
  if (!known)
    return fail("the tokenizer of " + quoted(file.path()) + " splits text by " +
                quoted(name) +
                "; gpt-2, smollm, llama-bpe and qwen2 are known");
  vocabulary.preTokenizer = *known;
  vocabulary.ignoreMerges = *known == PreTokenizer::Llama3;
  vocabulary.addBos = *known == PreTokenizer::Llama3;
  if (Error error = file.read(ignoreMergesKey, vocabulary.ignoreMerges))
    return error;
  std::vector<StringRef> merges;
  if (Error error = file.read((prefix + "merges").str(), merges, true))
    return error;
  return vocabulary.setMerges(merges.size(), [&](size_t i) {
    // The first part may itself begin with a space.
    size_t space = merges[i].find(' ', 1);
    return space == StringRef::npos
               ? std::pair<StringRef, StringRef>{merges[i], ""}
               : std::pair{merges[i].take_front(space),
                           merges[i].drop_front(space + 1)};
  });
}

static Error readTokens(const GGUFFile &file, Vocabulary &vocabulary) {
  std::vector<StringRef> texts;
  if (Error error = file.read((prefix + "tokens").str(), texts, true))
    return error;
  vocabulary.texts.assign(texts.begin(), texts.end());
  std::vector<int64_t> types;
  if (Error error = file.read((prefix + "token_type").str(), types))
    return error;
  if (!file.contains((prefix + "token_type").str()))
    types.assign(texts.size(), int64_t(TokenType::Normal));
  for (int64_t type : types) {
    if (type < 0 || type > int64_t(TokenType::Byte))
      return fail("a token of " + quoted(file.path()) + " has the type " +
                  llvm::Twine(type) + ", not 0 to 6; the file is damaged");
    vocabulary.types.push_back(type == 0 ? TokenType::Unused : TokenType(type));
  }
  return file.read((prefix + "scores").str(), vocabulary.scores,
                   vocabulary.kind != TokenizerKind::ByteLevel);
}

llvm::Expected<Vocabulary> mlir::cq::readGGUFVocabulary(const GGUFFile &file) {
  Vocabulary vocabulary;
  vocabulary.path = file.path().str();
  StringRef model;
  if (Error error = file.read((prefix + "model").str(), model, true))
    return std::move(error);
  std::optional<TokenizerKind> kind = parseKind(model);
  if (!kind)
    return fail("the tokenizer of " + quoted(file.path()) + " is of the kind " +
                quoted(model) + "; gpt2 and llama are known");
  vocabulary.kind = *kind;
  if (Error error = readTokens(file, vocabulary))
    return std::move(error);
  if (*kind != TokenizerKind::ByteLevel) {
    vocabulary.addBos = true;
  } else if (Error error = readMerges(file, vocabulary)) {
    return std::move(error);
  }
  if (Error error =
          file.read((prefix + "add_bos_token").str(), vocabulary.addBos))
    return std::move(error);
  if (Error error = file.read((prefix + "add_space_prefix").str(),
                              vocabulary.spacePrefix))
    return std::move(error);
  for (auto [key, id] : {std::pair{"bos_token_id", &vocabulary.bos},
                         {"eos_token_id", &vocabulary.eos},
                         {"eot_token_id", &vocabulary.eot},
                         {"unknown_token_id", &vocabulary.unknown}}) {
    int64_t value = -1;
    if (Error error = file.read((prefix + key).str(), value))
      return std::move(error);
    if (value < -1 || value >= vocabulary.size())
      return fail("the " + llvm::Twine(key) + " of " + quoted(file.path()) +
                  " is " + llvm::Twine(value) + ", outside its " +
                  llvm::Twine(vocabulary.size()) +
                  " tokens; the file is damaged");
    *id = int32_t(value);
  }
  if (Error error = vocabulary.check())
    return std::move(error);

  StringRef chat;
  if (Error error = file.read("tokenizer.chat_template", chat))
    return std::move(error);
  vocabulary.chat = chatFromTemplate(chat);
  if (chat.empty())
    vocabulary.chat = vocabulary.chatFromTokens();
  int64_t form = int64_t(vocabulary.chat);
  if (Error error = file.read(chatKey, form))
    return std::move(error);
  if (form < 0 || form > int64_t(ChatTemplate::Llama3))
    return fail(quoted(file.path()) + " names the unknown chat form " +
                llvm::Twine(form) + "; the file is damaged");
  vocabulary.chat = ChatTemplate(form);
  return vocabulary;
}

Error mlir::cq::writeGGUFVocabulary(const Vocabulary &vocabulary,
                                    StringRef path) {
  GGUFWriter writer;
  writer.add("general.architecture", StringRef("llama"));
  writer.add("general.type", StringRef("vocab"));
  addVocabulary(writer, vocabulary);
  return writer.write(path);
}

void mlir::cq::addVocabulary(GGUFWriter &writer, const Vocabulary &vocabulary) {
  auto add = [&](StringRef key, auto value) {
    writer.add((prefix + key).str(), value);
  };
  add("model", stringifyKind(vocabulary.kind));
  add("tokens", llvm::ArrayRef<std::string>(vocabulary.texts));
  std::vector<int32_t> types;
  for (TokenType type : vocabulary.types)
    types.push_back(int32_t(type));
  add("token_type", llvm::ArrayRef<int32_t>(types));
  if (vocabulary.kind == TokenizerKind::ByteLevel) {
    add("pre", stringifyPreTokenizer(vocabulary.preTokenizer));
    std::vector<std::string> merges;
    for (auto [left, right] : vocabulary.merges)
      merges.push_back(vocabulary.texts[left] + " " + vocabulary.texts[right]);
    add("merges", llvm::ArrayRef<std::string>(merges));
    writer.add(ignoreMergesKey, vocabulary.ignoreMerges);
  } else {
    add("scores", llvm::ArrayRef<float>(vocabulary.scores));
    add("add_space_prefix", vocabulary.spacePrefix);
  }
  add("add_bos_token", vocabulary.addBos);
  for (auto [key, id] : {std::pair{"bos_token_id", vocabulary.bos},
                         {"eos_token_id", vocabulary.eos},
                         {"eot_token_id", vocabulary.eot},
                         {"unknown_token_id", vocabulary.unknown}})
    if (id >= 0)
      add(key, uint32_t(id));
  writer.add(chatKey, uint32_t(vocabulary.chat));
}
