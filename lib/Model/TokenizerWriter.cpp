//===- TokenizerWriter.cpp - Writing tokenizer.json
//------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The form of PyPI's tokenizers: BPE, either byte-level or with U+2581 for
// spaces and a fallback to bytes. SentencePiece has scores instead of merges:
// every split of a token into two tokens is a merge, ranked by the whole's
// score.
//

#include "Vocabulary.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace mlir::cq;
using llvm::StringRef;
using llvm::json::OStream;

static constexpr StringRef spaceMark = "\xE2\x96\x81";

/// {"type": TYPE, …}
template <typename Body>
static void step(OStream &json, StringRef type, Body &&body) {
  json.object([&] {
    json.attribute("type", type);
    body();
  });
}
static void step(OStream &json, StringRef type) {
  step(json, type, [] {});
}

static void byteLevel(OStream &json, bool useRegex) {
  step(json, "ByteLevel", [&] {
    json.attribute("add_prefix_space", false);
    json.attribute("trim_offsets", true);
    json.attribute("use_regex", useRegex);
  });
}

static void replace(OStream &json, StringRef from, StringRef to) {
  step(json, "Replace", [&] {
    json.attributeObject("pattern", [&] { json.attribute("String", from); });
    json.attribute("content", to);
  });
}

static void writePreTokenizer(OStream &json, PreTokenizer kind) {
  if (kind == PreTokenizer::GPT2)
    return byteLevel(json, true);
  step(json, "Sequence", [&] {
    json.attributeArray("pretokenizers", [&] {
      if (kind == PreTokenizer::SmolLM) {
        step(json, "Digits",
             [&] { json.attribute("individual_digits", true); });
      } else {
        std::string pattern = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|)"
                              R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N})";
        if (kind == PreTokenizer::Llama3)
          pattern += "{1,3}";
        pattern += R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
        step(json, "Split", [&] {
          json.attributeObject("pattern",
                               [&] { json.attribute("Regex", pattern); });
          json.attribute("behavior", "Isolated");
          json.attribute("invert", false);
        });
      }
      byteLevel(json, kind == PreTokenizer::SmolLM);
    });
  });
}

static void writeSpaces(OStream &json, const Vocabulary &vocabulary) {
  json.attributeBegin("normalizer");
  step(json, "Sequence", [&] {
    json.attributeArray("normalizers", [&] {
      if (vocabulary.spacePrefix)
        step(json, "Prepend", [&] { json.attribute("prepend", spaceMark); });
      replace(json, " ", spaceMark);
    });
  });
  json.attributeEnd();
  json.attribute("pre_tokenizer", nullptr);
  json.attributeBegin("decoder");
  step(json, "Sequence", [&] {
    json.attributeArray("decoders", [&] {
      replace(json, spaceMark, " ");
      step(json, "ByteFallback");
      step(json, "Fuse");
      if (vocabulary.spacePrefix)
        step(json, "Strip", [&] {
          json.attribute("content", " ");
          json.attribute("start", 1);
          json.attribute("stop", 0);
        });
    });
  });
  json.attributeEnd();
}

/// BOS in front, where the model wants it.
static void writePostProcessor(OStream &json, const Vocabulary &vocabulary) {
  if (!vocabulary.addBos || vocabulary.bos < 0) {
    json.attribute("post_processor", nullptr);
    return;
  }
  StringRef bos = vocabulary.texts[vocabulary.bos];
  auto piece = [&](StringRef kind, StringRef id, int type) {
    json.object([&] {
      json.attributeObject(kind, [&] {
        json.attribute("id", id);
        json.attribute("type_id", type);
      });
    });
  };
  json.attributeBegin("post_processor");
  step(json, "TemplateProcessing", [&] {
    json.attributeArray("single", [&] {
      piece("SpecialToken", bos, 0);
      piece("Sequence", "A", 0);
    });
    json.attributeArray("pair", [&] {
      piece("SpecialToken", bos, 0);
      piece("Sequence", "A", 0);
      piece("SpecialToken", bos, 1);
      piece("Sequence", "B", 1);
    });
    json.attributeObject("special_tokens", [&] {
      json.attributeObject(bos, [&] {
        json.attribute("id", bos);
        json.attributeArray("ids", [&] { json.value(vocabulary.bos); });
        json.attributeArray("tokens", [&] { json.value(bos); });
      });
    });
  });
  json.attributeEnd();
}

/// Pairs of texts, best first.
static std::vector<std::pair<StringRef, StringRef>>
mergesOf(const Vocabulary &vocabulary) {
  std::vector<std::pair<StringRef, StringRef>> merges;
  if (vocabulary.kind == TokenizerKind::ByteLevel) {
    for (auto [left, right] : vocabulary.merges)
      merges.push_back({vocabulary.texts[left], vocabulary.texts[right]});
    return merges;
  }
  llvm::StringMap<int32_t> ids = vocabulary.idsOfTexts();
  std::vector<int32_t> order;
  for (int32_t id = 0; id < vocabulary.size(); ++id)
    if (vocabulary.types[id] == TokenType::Normal &&
        std::isfinite(vocabulary.scores[id]))
      order.push_back(id);
  llvm::stable_sort(order, [&](int32_t a, int32_t b) {
    return vocabulary.scores[a] > vocabulary.scores[b];
  });
  for (int32_t id : order) {
    StringRef text = vocabulary.texts[id];
    std::vector<std::pair<int32_t, int32_t>> splits;
    for (size_t i = 1; i < text.size(); ++i) {
      if ((uint8_t(text[i]) & 0xC0) == 0x80)
        continue; // inside of a character
      auto left = ids.find(text.take_front(i)),
           right = ids.find(text.drop_front(i));
      if (left != ids.end() && right != ids.end())
        splits.push_back({left->second, right->second});
    }
    llvm::sort(splits);
    for (auto [left, right] : splits)
      merges.push_back({vocabulary.texts[left], vocabulary.texts[right]});
  }
  return merges;
}

static std::string writeTokenizer(const Vocabulary &vocabulary) {
  bool isByteLevel = vocabulary.kind == TokenizerKind::ByteLevel;
  llvm::StringMap<int32_t> ids = vocabulary.idsOfTexts();
  auto isFirst = [&](int32_t id) {
    return !vocabulary.texts[id].empty() &&
           ids.lookup(vocabulary.texts[id]) == id;
  };
  std::string text;
  llvm::raw_string_ostream os(text);
  OStream json(os, 1);
  json.object([&] {
    json.attribute("version", "1.0");
    json.attribute("truncation", nullptr);
    json.attribute("padding", nullptr);
    json.attributeArray("added_tokens", [&] {
      for (int32_t id = 0; id < vocabulary.size(); ++id) {
        TokenType type = vocabulary.types[id];
        bool special = type == TokenType::Control || type == TokenType::Unknown;
        if ((!special && type != TokenType::UserDefined) || !isFirst(id))
          continue;
        json.object([&] {
          json.attribute("id", id);
          json.attribute("content", vocabulary.texts[id]);
          for (StringRef flag :
               {"single_word", "lstrip", "rstrip", "normalized"})
            json.attribute(flag, false);
          json.attribute("special", special);
        });
      }
    });
    if (isByteLevel) {
      json.attribute("normalizer", nullptr);
      json.attributeBegin("pre_tokenizer");
      writePreTokenizer(json, vocabulary.preTokenizer);
      json.attributeEnd();
      json.attributeBegin("decoder");
      byteLevel(json, true);
      json.attributeEnd();
    } else {
      writeSpaces(json, vocabulary);
    }
    writePostProcessor(json, vocabulary);
    json.attributeObject("model", [&] {
      json.attribute("type", "BPE");
      json.attribute("dropout", nullptr);
      if (vocabulary.unknown >= 0 && !isByteLevel)
        json.attribute("unk_token", vocabulary.texts[vocabulary.unknown]);
      else
        json.attribute("unk_token", nullptr);
      json.attribute("continuing_subword_prefix", nullptr);
      json.attribute("end_of_word_suffix", nullptr);
      json.attribute("fuse_unk", !isByteLevel);
      json.attribute("byte_fallback", !isByteLevel);
      json.attribute("ignore_merges", vocabulary.ignoreMerges);
      json.attributeObject("vocab", [&] {
        for (int32_t id = 0; id < vocabulary.size(); ++id)
          if (isFirst(id))
            json.attribute(vocabulary.texts[id], id);
      });
      json.attributeArray("merges", [&] {
        for (auto [left, right] : mergesOf(vocabulary))
          json.value((left + " " + right).str());
      });
    });
  });
  os << '\n';
  return text;
}

static std::string writeConfig(const Vocabulary &vocabulary) {
  std::string text;
  llvm::raw_string_ostream os(text);
  OStream json(os, 2);
  json.object([&] {
    json.attribute("tokenizer_class", "PreTrainedTokenizerFast");
    for (auto [key, id] : {std::pair("bos_token", vocabulary.bos),
                           {"eos_token", vocabulary.eos},
                           {"unk_token", vocabulary.unknown}})
      if (id >= 0)
        json.attribute(key, vocabulary.texts[id]);
    json.attribute("add_bos_token", vocabulary.addBos);
    json.attribute("clean_up_tokenization_spaces", false);
    if (vocabulary.chat == ChatTemplate::ChatML)
      json.attribute(
          "chat_template",
          "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] "
          "}}<|im_end|>\n{% endfor %}{% if add_generation_prompt "
          "%}<|im_start|>assistant\n{% endif %}");
  });
  os << '\n';
  return text;
}

llvm::Expected<bool>
mlir::cq::writeHuggingFaceVocabulary(const Vocabulary &vocabulary,
                                     StringRef folder) {
  if (vocabulary.kind == TokenizerKind::Llama2C)
    return false;
  for (StringRef text : vocabulary.texts)
    if (!llvm::json::isUTF8(text))
      return false;
  auto path = [&](StringRef name) {
    llvm::SmallString<256> full(folder);
    llvm::sys::path::append(full, name);
    return full.str().str();
  };
  if (llvm::Error error = writeFileAtomically(path("tokenizer.json"),
                                              writeTokenizer(vocabulary)))
    return std::move(error);
  if (llvm::Error error = writeFileAtomically(path("tokenizer_config.json"),
                                              writeConfig(vocabulary)))
    return std::move(error);
  return true;
}
