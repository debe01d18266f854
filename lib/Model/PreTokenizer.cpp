//===- PreTokenizer.cpp - Splitting text into words -----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PreTokenizer.h"
#include "Unicode.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir::cq;
using llvm::StringRef;

StringRef mlir::cq::stringifyPreTokenizer(PreTokenizer kind) {
  switch (kind) {
  case PreTokenizer::GPT2:
    return "gpt-2";
  case PreTokenizer::SmolLM:
    return "smollm";
  case PreTokenizer::Llama3:
    return "llama-bpe";
  case PreTokenizer::Qwen2:
    return "qwen2";
  }
  return "";
}

std::optional<PreTokenizer> mlir::cq::parsePreTokenizer(StringRef name) {
  return llvm::StringSwitch<std::optional<PreTokenizer>>(name)
      .Cases({"gpt-2", "gpt2"}, PreTokenizer::GPT2)
      .Case("smollm", PreTokenizer::SmolLM)
      .Cases({"llama-bpe", "llama3", "llama-v3"}, PreTokenizer::Llama3)
      .Cases({"qwen2", "deepseek-r1-qwen"}, PreTokenizer::Qwen2)
      .Default(std::nullopt);
}

/// End of the run of characters of class `kind` that begins at `position`, at
/// most `limit` characters.
static size_t endOfRun(StringRef text, size_t position, CharClass kind,
                       size_t limit = SIZE_MAX) {
  for (; limit > 0; --limit) {
    Char c = charAt(text, position);
    if (c.length == 0 || c.kind != kind)
      break;
    position += c.length;
  }
  return position;
}

static bool isNewline(Char c) {
  return c.length && (c.codePoint == '\r' || c.codePoint == '\n');
}

/// Length of 's 't 're 've 'm 'll 'd at the front, or 0.
static size_t contraction(StringRef text, bool anyCase) {
  if (!text.starts_with("'"))
    return 0;
  for (StringRef suffix : {"re", "ve", "ll", "s", "t", "m", "d"}) {
    StringRef front = text.substr(1, suffix.size());
    if (front == suffix || (anyCase && front.equals_insensitive(suffix)))
      return 1 + suffix.size();
  }
  return 0;
}

/// \s+(?!\S)|\s+ at a space: the run, without its last character when a word
/// follows and something is left.
static size_t endOfSpaces(StringRef text, size_t position) {
  size_t end = endOfRun(text, position, CharClass::Space);
  if (end == text.size())
    return end;
  size_t last = position;
  for (size_t i = position; i < end; i += charAt(text, i).length)
    last = i;
  return last > position ? last : end;
}

static size_t endOfGPT2Word(StringRef text, size_t position) {
  if (size_t length = contraction(text.substr(position), /*anyCase=*/false))
    return position + length;
  size_t start = text[position] == ' ' ? position + 1 : position;
  Char c = charAt(text, start);
  if (c.length && c.kind != CharClass::Space)
    return endOfRun(text, start, c.kind);
  return endOfSpaces(text, position);
}

static size_t endOfLlama3Word(StringRef text, size_t position,
                              size_t maxDigits) {
  if (size_t length = contraction(text.substr(position), /*anyCase=*/true))
    return position + length;
  Char c = charAt(text, position);
  if (c.kind == CharClass::Letter)
    return endOfRun(text, position, CharClass::Letter);
  if (c.kind == CharClass::Number)
    return endOfRun(text, position, CharClass::Number, maxDigits);
  // Any one character but a newline may open a word of letters.
  size_t next = position + c.length;
  if (!isNewline(c) && charAt(text, next).kind == CharClass::Letter &&
      charAt(text, next).length)
    return endOfRun(text, next, CharClass::Letter);
  size_t start = c.codePoint == ' ' ? next : position;
  Char first = charAt(text, start);
  if (first.length && first.kind == CharClass::Other) {
    size_t end = endOfRun(text, start, CharClass::Other);
    while (isNewline(charAt(text, end)))
      ++end;
    return end;
  }
  // \s*[\r\n]+ takes all up to the last newline of the run.
  size_t end = endOfRun(text, position, CharClass::Space);
  StringRef run = text.slice(position, end);
  size_t newline = run.find_last_of("\r\n");
  if (newline != StringRef::npos)
    return position + newline + 1;
  return endOfSpaces(text, position);
}

static void splitGPT2(StringRef text,
                      llvm::function_ref<void(StringRef)> word) {
  for (size_t position = 0; position < text.size();) {
    size_t end = endOfGPT2Word(text, position);
    word(text.slice(position, end));
    position = end;
  }
}

void mlir::cq::splitWords(PreTokenizer kind, StringRef text,
                          llvm::function_ref<void(StringRef)> word) {
  if (kind == PreTokenizer::GPT2)
    return splitGPT2(text, word);
  if (kind == PreTokenizer::SmolLM) {
    size_t begin = 0;
    for (size_t position = 0; position < text.size();) {
      Char c = charAt(text, position);
      if (c.kind == CharClass::Number) {
        splitGPT2(text.slice(begin, position), word);
        word(text.substr(position, c.length));
        begin = position + c.length;
      }
      position += c.length;
    }
    return splitGPT2(text.substr(begin), word);
  }
  size_t maxDigits = kind == PreTokenizer::Llama3 ? 3 : 1;
  for (size_t position = 0; position < text.size();) {
    size_t end = endOfLlama3Word(text, position, maxDigits);
    word(text.slice(position, end));
    position = end;
  }
}
