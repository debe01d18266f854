//===- CalibrationText.cpp - What a model is calibrated on ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CalibrationText.h"
#include "EvalText.h"
#include "cq/Stats/Statistics.h"
#include "cq/Support/BoundedJSON.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace mlir::cq;
using llvm::StringRef;

std::string tool::CalibrationText::hash() const {
  std::string bytes;
  for (const std::vector<int32_t> &sequence : sequences)
    bytes.append(reinterpret_cast<const char *>(sequence.data()),
                 sequence.size() * sizeof(int32_t));
  return hashBytes(bytes);
}

/// Bytes without the lines that mark documents.
static std::string readPlain(StringRef bytes) {
  std::string text;
  while (!bytes.empty()) {
    auto [line, rest] = bytes.split('\n');
    StringRef trimmed = line.trim();
    bool mark = trimmed == "</doc>" ||
                (trimmed.starts_with("<doc ") && trimmed.ends_with(">")) ||
                trimmed == "<doc>";
    if (!mark)
      text.append(line.data(), std::min(line.size() + 1,
                                        size_t(bytes.end() - line.begin())));
    bytes = rest;
  }
  return text;
}

/// The string `text` of each line's object, a blank line between two.
static llvm::Expected<std::string> readLines(StringRef bytes, StringRef path) {
  std::string text;
  for (int64_t number = 1; !bytes.empty(); ++number) {
    auto [line, rest] = bytes.split('\n');
    bytes = rest;
    if (line.trim().empty())
      continue;
    std::string where = (path + " line " + llvm::Twine(number)).str();
    auto value = parseBoundedJSON(line, where);
    if (!value)
      return value.takeError();
    const llvm::json::Object *object = value->getAsObject();
    auto content = object ? object->getString("text") : std::nullopt;
    if (!content)
      return fail(where + " has no string `text`");
    if (!text.empty())
      text += "\n\n";
    text += *content;
  }
  return text;
}

/// Integers between blanks, commas and brackets.
static llvm::Error readIds(StringRef bytes, StringRef path, int64_t vocabulary,
                           std::vector<int32_t> &tokens) {
  constexpr StringRef separators = " \t\r\n,[]";
  while (!(bytes = bytes.ltrim(separators)).empty()) {
    StringRef word =
        bytes.take_until([&](char c) { return separators.contains(c); });
    int64_t id;
    if (word.getAsInteger(10, id) || id < 0 || id >= vocabulary)
      return fail(path + " has " + quoted(word) +
                  " where a token id from 0 to " + llvm::Twine(vocabulary - 1) +
                  " belongs");
    tokens.push_back(static_cast<int32_t>(id));
    bytes = bytes.drop_front(word.size());
  }
  return llvm::Error::success();
}

/// splitmix64: the same windows everywhere.
static uint64_t nextRandom(uint64_t &state) {
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

llvm::Expected<tool::CalibrationText>
tool::readCalibrationText(llvm::ArrayRef<std::string> paths,
                          const Tokenizer *tokenizer, int64_t vocabulary,
                          const CalibrationTextOptions &options) {
  CalibrationText result;
  std::vector<int32_t> tokens;
  bool wantsBos = false;
  for (const std::string &path : paths) {
    auto file = llvm::MemoryBuffer::getFile(path);
    if (!file)
      return fail("cannot read the text " + path + ": " +
                  file.getError().message());
    StringRef bytes = (*file)->getBuffer(),
              extension = llvm::sys::path::extension(path);
    if (!result.name.empty())
      result.name += " + ";
    result.name += llvm::sys::path::filename(path);
    if (extension == ".json" || extension == ".ids") {
      if (llvm::Error error = readIds(bytes, path, vocabulary, tokens))
        return std::move(error);
      continue;
    }
    if (!tokenizer)
      return fail("the model came without a tokenizer, so " + path +
                  " cannot be cut into tokens; import it again with "
                  "--tokenizer, or give token ids (a .json or .ids file)");
    std::string text;
    if (extension == ".jsonl") {
      auto lines = readLines(bytes, path);
      if (!lines)
        return lines.takeError();
      text = std::move(*lines);
    } else {
      text = readPlain(bytes);
    }
    wantsBos = !tokenizer->encode("").empty();
    for (int32_t id : tokenizer->encode(text)) {
      if (id < 0 || id >= vocabulary)
        return fail("the tokenizer makes token " + llvm::Twine(id) + " of " +
                    path + ", outside the model's vocabulary of " +
                    llvm::Twine(vocabulary) +
                    "; import the model with its own tokenizer");
      tokens.push_back(id);
    }
  }

  int64_t length = options.length;
  int64_t windows = static_cast<int64_t>(tokens.size()) / length;
  if (windows == 0)
    return fail("the text " + result.name + " has " +
                llvm::Twine(tokens.size()) +
                " tokens, less than one sequence of " + llvm::Twine(length) +
                "; give a longer text, or import the model with a smaller "
                "--loss-tokens");
  int64_t count = std::min(options.sequences, windows);
  uint64_t random = options.seed;
  for (int64_t i = 0; i < count; ++i) {
    // Exact: windows and count are far below 2^31 each.
    int64_t begin = i * windows / count, end = (i + 1) * windows / count;
    int64_t window = begin;
    if (options.seed != 0)
      window += static_cast<int64_t>(nextRandom(random) % (end - begin));
    auto at = tokens.begin() + window * length;
    result.sequences.emplace_back(at, at + length);
    if (wantsBos)
      result.sequences.back().front() = tokenizer->bos();
  }
  return result;
}

llvm::Expected<tool::CalibrationText>
tool::writeCalibrationText(LanguageModel &model,
                           const CalibrationTextOptions &options) {
  if (!model.tokenizer())
    return llvm::createStringError(
        "the model came without a tokenizer, so it cannot write a text; give "
        "token ids with --text, or import it again with --tokenizer");
  if (options.length > model.context())
    return llvm::createStringError(
        "the model's caches hold " + llvm::Twine(model.context()) +
        " positions and a sequence has " + llvm::Twine(options.length) +
        " tokens; import it with a larger --context, or give a text with "
        "--text");
  auto text = writeEvalText(model, options.length, options.sequences,
                            1000000 + 10000 * options.seed);
  if (!text)
    return text.takeError();
  CalibrationText result;
  result.name =
      "written by the model (seed " + std::to_string(options.seed) + ")";
  result.sequences = std::move(text->windows);
  return result;
}
