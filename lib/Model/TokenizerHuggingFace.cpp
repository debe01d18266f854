//===- TokenizerHuggingFace.cpp - Reading tokenizer.json ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Models of the type BPE: byte-level with one of the known pre-tokenizers, or
// SentencePiece-like (byte fallback, spaces written as U+2581). The file beside
// it, tokenizer_config.json, names BOS, EOS and the chat form.
//
//===----------------------------------------------------------------------===//

#include "Vocabulary.h"
#include "cq/Support/BoundedJSON.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include <cmath>
#include <limits>

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;
using llvm::json::Array;
using llvm::json::Object;

static llvm::Expected<llvm::json::Value> readJSON(StringRef path) {
  auto buffer = mapFile(path);
  if (!buffer)
    return buffer.takeError();
  auto json = parseBoundedJSON((*buffer)->getBuffer(), path);
  if (json && !json->getAsObject())
    return fail(quoted(path) + " is no JSON object");
  return json;
}

/// The steps of a "Sequence" under `list`, or the one step itself.
static std::vector<const Object *> stepsOf(const Object *step, StringRef list) {
  if (!step)
    return {};
  if (step->getString("type") != StringRef("Sequence"))
    return {step};
  std::vector<const Object *> steps;
  if (const Array *inner = step->getArray(list))
    for (const llvm::json::Value &value : *inner)
      if (const Object *object = value.getAsObject())
        steps.push_back(object);
  return steps;
}

static StringRef typeOf(const Object *step) {
  return step->getString("type").value_or("");
}

static std::optional<PreTokenizer> preTokenizerOfPattern(StringRef pattern) {
  // Two published patterns; see PreTokenizer.h.
  StringRef front =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})";
  StringRef back = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  if (!pattern.consume_front(front) || !pattern.consume_back(back))
    return std::nullopt;
  return llvm::StringSwitch<std::optional<PreTokenizer>>(pattern)
      .Case("{1,3}", PreTokenizer::Llama3)
      .Case("", PreTokenizer::Qwen2)
      .Default(std::nullopt);
}

static std::optional<PreTokenizer>
readPreTokenizer(const std::vector<const Object *> &steps) {
  if (steps.empty() || steps.size() > 2 ||
      typeOf(steps.back()) != "ByteLevel" ||
      steps.back()->getBoolean("add_prefix_space").value_or(false))
    return std::nullopt;
  bool ownPattern = steps.back()->getBoolean("use_regex").value_or(true);
  if (steps.size() == 1)
    return ownPattern ? std::optional(PreTokenizer::GPT2) : std::nullopt;
  const Object *first = steps.front();
  if (typeOf(first) == "Digits" && ownPattern &&
      first->getBoolean("individual_digits").value_or(false))
    return PreTokenizer::SmolLM;
  const Object *pattern = first->getObject("pattern");
  if (typeOf(first) == "Split" && !ownPattern && pattern &&
      first->getString("behavior") == StringRef("Isolated") &&
      !first->getBoolean("invert").value_or(false))
    return preTokenizerOfPattern(pattern->getString("Regex").value_or(""));
  return std::nullopt;
}

/// Puts a token in its place; ids come from the file.
static Error place(Vocabulary &vocabulary, StringRef text, int64_t id,
                   size_t limit, TokenType type) {
  // A gap of some unused ids is common, a large one would make the table larger
  // than the file.
  if (id < 0 || uint64_t(id) >= limit)
    return fail("token " + quoted(text) + " of " + quoted(vocabulary.path) +
                " has the id " + llvm::Twine(id) +
                ", outside the vocabulary; the file is damaged");
  if (size_t(id) >= vocabulary.texts.size()) {
    vocabulary.texts.resize(id + 1);
    vocabulary.types.resize(id + 1, TokenType::Unused);
  }
  if (!vocabulary.texts[id].empty() && vocabulary.texts[id] != text)
    return fail("tokens " + quoted(vocabulary.texts[id]) + " and " +
                quoted(text) + " of " + quoted(vocabulary.path) +
                " share the id " + llvm::Twine(id) + "; the file is damaged");
  vocabulary.texts[id] = text.str();
  vocabulary.types[id] = type;
  return Error::success();
}

static Error readTokens(const Object &file, const Object &model,
                        Vocabulary &vocabulary) {
  const Object *vocab = model.getObject("vocab");
  if (!vocab)
    return fail(quoted(vocabulary.path) + " has no vocabulary");
  const Array *added = file.getArray("added_tokens");
  size_t limit = 2 * (vocab->size() + (added ? added->size() : 0)) + 1024;
  for (const auto &[text, id] : *vocab)
    if (Error error = place(vocabulary, text, id.getAsInteger().value_or(-1),
                            limit, TokenType::Normal))
      return error;
  if (!added)
    return Error::success();
  for (const llvm::json::Value &value : *added) {
    const Object *token = value.getAsObject();
    std::optional<StringRef> text;
    if (token)
      text = token->getString("content");
    if (!text || text->empty())
      return fail("an added token of " + quoted(vocabulary.path) +
                  " has no content; the file is damaged");
    bool special = token->getBoolean("special").value_or(false);
    if (Error error =
            place(vocabulary, *text, token->getInteger("id").value_or(-1),
                  limit, special ? TokenType::Control : TokenType::UserDefined))
      return error;
  }
  return Error::success();
}

static Error readMerges(const Object &model, Vocabulary &vocabulary) {
  const Array *merges = model.getArray("merges");
  if (!merges)
    return fail(quoted(vocabulary.path) + " has no merges");
  // "a b" in older files, ["a", "b"] in newer ones.
  auto spelling = [&](size_t i) -> std::pair<StringRef, StringRef> {
    if (auto text = (*merges)[i].getAsString()) {
      size_t space = text->find(' ', 1);
      if (space == StringRef::npos)
        return {*text, ""};
      return {text->take_front(space), text->drop_front(space + 1)};
    }
    const Array *pair = (*merges)[i].getAsArray();
    if (!pair || pair->size() != 2)
      return {};
    return {(*pair)[0].getAsString().value_or(""),
            (*pair)[1].getAsString().value_or("")};
  };
  return vocabulary.setMerges(merges->size(), spelling);
}

/// SentencePiece-like files rank merges; a token's score is the negative rank
/// of the first merge that makes it.
static void scoresOfMerges(Vocabulary &vocabulary) {
  llvm::StringMap<int32_t> ids = vocabulary.idsOfTexts();
  vocabulary.scores.assign(vocabulary.texts.size(),
                           -std::numeric_limits<float>::infinity());
  for (auto [rank, pair] : llvm::enumerate(vocabulary.merges)) {
    int32_t id =
        ids.find(vocabulary.texts[pair.first] + vocabulary.texts[pair.second])
            ->second;
    if (std::isinf(vocabulary.scores[id]))
      vocabulary.scores[id] = -float(rank);
  }
  vocabulary.merges.clear();
  for (size_t i = 0; i < vocabulary.texts.size(); ++i) {
    StringRef text = vocabulary.texts[i];
    if (vocabulary.types[i] == TokenType::Normal && text.size() == 6 &&
        text.starts_with("<0x") && text.ends_with(">"))
      vocabulary.types[i] = TokenType::Byte;
  }
}

/// U+2581 for spaces, by normalizer (Prepend, Replace) or pre-tokenizer
/// (Metaspace). False when the file does something else.
static bool readSpaces(const Object &file, Vocabulary &vocabulary) {
  constexpr StringRef mark = "\xE2\x96\x81";
  bool replaced = false;
  vocabulary.spacePrefix = false;
  for (const Object *step :
       stepsOf(file.getObject("normalizer"), "normalizers")) {
    const Object *pattern = step->getObject("pattern");
    if (typeOf(step) == "Prepend" && step->getString("prepend") == mark)
      vocabulary.spacePrefix = true;
    else if (typeOf(step) == "Replace" && pattern &&
             pattern->getString("String") == StringRef(" ") &&
             step->getString("content") == mark)
      replaced = true;
    else
      return false;
  }
  for (const Object *step :
       stepsOf(file.getObject("pre_tokenizer"), "pretokenizers")) {
    if (typeOf(step) != "Metaspace" || step->getString("replacement") != mark ||
        step->getBoolean("split").value_or(true))
      return false;
    vocabulary.spacePrefix =
        step->getString("prepend_scheme").value_or("always") != "never";
    replaced = true;
  }
  return replaced;
}

/// The content of "bos_token": a string, or an object that holds one.
static StringRef contentOf(const Object &config, StringRef key) {
  if (const Object *token = config.getObject(key))
    return token->getString("content").value_or("");
  return config.getString(key).value_or("");
}

static Error readSpecialTokens(const Object &file, Vocabulary &vocabulary) {
  llvm::StringMap<int32_t> ids = vocabulary.idsOfTexts();
  auto find = [&](StringRef text) {
    auto it = ids.find(text);
    return text.empty() || it == ids.end() ? -1 : it->second;
  };
  // A template that begins with a special token adds BOS.
  for (const Object *step :
       stepsOf(file.getObject("post_processor"), "processors")) {
    const Array *single = step->getArray("single");
    const Object *first =
        single && !single->empty() ? single->front().getAsObject() : nullptr;
    const Object *token = first ? first->getObject("SpecialToken") : nullptr;
    if (typeOf(step) == "TemplateProcessing" && token) {
      vocabulary.bos = find(token->getString("id").value_or(""));
      vocabulary.addBos = vocabulary.bos >= 0;
    }
  }
  vocabulary.chat = vocabulary.chatFromTokens();
  llvm::SmallString<256> path(llvm::sys::path::parent_path(vocabulary.path));
  llvm::sys::path::append(path, "tokenizer_config.json");
  if (!llvm::sys::fs::exists(path))
    return Error::success();
  auto json = readJSON(path);
  if (!json)
    return json.takeError();
  const Object &config = *json->getAsObject();
  if (vocabulary.bos < 0)
    vocabulary.bos = find(contentOf(config, "bos_token"));
  vocabulary.eos = find(contentOf(config, "eos_token"));
  vocabulary.unknown = find(contentOf(config, "unk_token"));
  vocabulary.addBos =
      config.getBoolean("add_bos_token").value_or(vocabulary.addBos);
  if (auto chat = config.getString("chat_template"))
    vocabulary.chat = chatFromTemplate(*chat);
  return Error::success();
}

llvm::Expected<Vocabulary> mlir::cq::readHuggingFaceVocabulary(StringRef path) {
  auto json = readJSON(path);
  if (!json)
    return json.takeError();
  const Object &file = *json->getAsObject();
  Vocabulary vocabulary;
  vocabulary.path = path.str();
  const Object *model = file.getObject("model");
  // Older files leave the type of BPE models out.
  if (!model || model->getString("type").value_or("BPE") != "BPE")
    return fail("the tokenizer " + quoted(path) + " is of the kind " +
                quoted(model ? model->getString("type").value_or("") : "") +
                "; BPE is known");
  if (Error error = readTokens(file, *model, vocabulary))
    return std::move(error);
  if (Error error = readMerges(*model, vocabulary))
    return std::move(error);
  if (model->getBoolean("byte_fallback").value_or(false)) {
    vocabulary.kind = TokenizerKind::SentencePiece;
    if (!readSpaces(file, vocabulary))
      return fail("the tokenizer " + quoted(path) +
                  " prepares text in a way that is not known; use the model's "
                  "GGUF file for it");
    scoresOfMerges(vocabulary);
  } else {
    std::optional<PreTokenizer> pre = readPreTokenizer(
        stepsOf(file.getObject("pre_tokenizer"), "pretokenizers"));
    if (!pre)
      return fail("the tokenizer " + quoted(path) +
                  " splits text by a pattern that is not known; those of "
                  "GPT-2, SmolLM, Llama 3 and Qwen2 are");
    vocabulary.preTokenizer = *pre;
    vocabulary.ignoreMerges =
        model->getBoolean("ignore_merges").value_or(false);
  }
  if (Error error = readSpecialTokens(file, vocabulary))
    return std::move(error);
  if (Error error = vocabulary.check())
    return std::move(error);
  return vocabulary;
}
