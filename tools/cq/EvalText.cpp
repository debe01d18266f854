//===- EvalText.cpp - What a model is measured on -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EvalText.h"
#include "cq/Inference/Sampler.h"
#include "cq/Support/CacheFile.h"
#include "cq/Support/Progress.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;

llvm::Expected<tool::EvalText> tool::readEvalText(llvm::StringRef path,
                                                  const Tokenizer &tokenizer,
                                                  int64_t length,
                                                  int64_t windows) {
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return llvm::createStringError("cannot read the text " + path + ": " +
                                   file.getError().message());
  std::vector<int32_t> tokens = tokenizer.encode((*file)->getBuffer());
  bool wantsBos = !tokenizer.encode("").empty();
  EvalText text;
  text.name = llvm::sys::path::filename(path).str();
  int64_t available = static_cast<int64_t>(tokens.size()) / length;
  int64_t count = windows == 0 ? available : std::min(windows, available);
  if (count == 0)
    return llvm::createStringError(
        "the text " + path + " has " + llvm::Twine(tokens.size()) +
        " tokens, less than one window of " + llvm::Twine(length) +
        "; give a longer text or a smaller --window");
  for (int64_t i = 0; i < count; ++i) {
    auto begin = tokens.begin() + i * length;
    text.windows.emplace_back(begin, begin + length);
    if (wantsBos)
      text.windows.back().front() = tokenizer.bos();
  }
  return text;
}

/// One window: begins with BOS (or, without one, a token that ends a text), so
/// that the model starts as it would start a document.
static llvm::Expected<std::vector<int32_t>>
writeWindow(LanguageModel &model, int64_t length, uint64_t seed,
            std::vector<float> &hidden, std::vector<float> &logits) {
  const Tokenizer &tokenizer = *model.tokenizer();
  int32_t first = tokenizer.bos() >= 0 ? tokenizer.bos() : tokenizer.eos();
  std::vector<int32_t> tokens = {std::max(first, 0)};
  SamplerOptions options;
  options.temperature = 1;
  options.seed = seed;
  Sampler sampler(options);
  model.reset();
  while (static_cast<int64_t>(tokens.size()) < length) {
    if (llvm::Error error = model.forward(tokens.back(), hidden.data()))
      return std::move(error);
    if (llvm::Error error = model.logits(hidden.data(), 1, logits.data()))
      return std::move(error);
    tokens.push_back(sampler.next(logits));
  }
  return tokens;
}

llvm::Expected<tool::EvalText> tool::writeEvalText(LanguageModel &model,
                                                   int64_t length,
                                                   int64_t windows,
                                                   uint64_t seed) {
  EvalText text;
  text.name = "written by the source model (seed " + std::to_string(seed) + ")";
  std::vector<float> hidden(model.width()), logits(model.vocabulary());
  Progress progress(llvm::errs(), "writing text", windows);
  for (int64_t i = 0; i < windows; ++i) {
    std::string key =
        hashKey({"text", model.fingerprint(), std::to_string(seed + i),
                 std::to_string(length)});
    if (auto cached = loadCached<int32_t>("texts", key, length)) {
      text.windows.push_back(std::move(*cached));
    } else {
      auto tokens = writeWindow(model, length, seed + i, hidden, logits);
      if (!tokens)
        return tokens.takeError();
      text.windows.push_back(std::move(*tokens));
      // A cache that cannot be written costs time later, nothing else.
      llvm::consumeError(
          storeCached<int32_t>("texts", key, text.windows.back()));
    }
    progress.advance("window of " + std::to_string(length) + " tokens");
  }
  return text;
}
