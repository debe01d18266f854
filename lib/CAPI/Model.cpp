//===- Model.cpp - C API: running language models -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq-c/Model.h"
#include "Guard.h"
#include "cq/Execution/LanguageModel.h"
#include "cq/Inference/Evaluation.h"
#include "cq/Inference/Sampler.h"
#include <cmath>
#include <limits>

using namespace mlir::cq;
using namespace mlir::cq::capi;

struct CqModel_ {
  std::string path;
  std::unique_ptr<LanguageModel> model;
};

CqModel cqModelLoad(const char *path, const char *activation) {
  return guard<CqModel>(nullptr, [&]() -> llvm::Expected<CqModel> {
    if (llvm::Error error = needs(path, "path"))
      return std::move(error);
    LanguageModelOptions options;
    options.activation = textOf(activation).str();
    if (activation && options.activation != "int8" &&
        options.activation != "f32")
      return fail(quoted(activation) +
                  " is no way to read activations: int8 or f32");
    auto model = LanguageModel::load(path, options);
    if (!model)
      return model.takeError();
    return new CqModel_{path, std::move(*model)};
  });
}

/// A number of the model, or -1.
static int64_t numberOf(CqModel model, int64_t (LanguageModel::*get)() const) {
  return guard<int64_t>(-1, [&]() -> llvm::Expected<int64_t> {
    if (llvm::Error error = needs(model, "model"))
      return std::move(error);
    return (*model->model.*get)();
  });
}

int64_t cqModelVocabulary(CqModel model) {
  return numberOf(model, &LanguageModel::vocabulary);
}
int64_t cqModelContext(CqModel model) {
  return numberOf(model, &LanguageModel::context);
}
int64_t cqModelPosition(CqModel model) {
  return numberOf(model, &LanguageModel::position);
}

int cqModelReset(CqModel model) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(model, "model"))
      return error;
    model->model->reset();
    return llvm::Error::success();
  });
}

void cqModelFree(CqModel model) { delete model; }

//===----------------------------------------------------------------------===//
// Tokens
//===----------------------------------------------------------------------===//

static llvm::Error checkTokens(CqModel model, const int32_t *tokens,
                               size_t count) {
  if (llvm::Error error = needs(model, "model"))
    return error;
  if (llvm::Error error = needs(tokens, "tokens"))
    return error;
  if (count == 0)
    return fail("there are no tokens");
  // Before memory for their states is asked for.
  if (count > static_cast<size_t>(model->model->context()))
    return fail(llvm::Twine(count) + " tokens do not fit in the context of " +
                llvm::Twine(model->model->context()) + " positions of " +
                quoted(model->path));
  return llvm::Error::success();
}

/// Hidden states [tokens, width] of tokens that the model takes.
static llvm::Expected<std::vector<float>>
forward(LanguageModel &model, llvm::ArrayRef<int32_t> tokens) {
  std::vector<float> hidden(tokens.size() * model.width());
  if (llvm::Error error = model.forward(tokens, hidden.data()))
    return std::move(error);
  return hidden;
}

/// The same for a caller's arguments, who wants `logits` of them.
static llvm::Expected<std::vector<float>> forward(CqModel model,
                                                  const int32_t *tokens,
                                                  size_t count,
                                                  const float *logits) {
  if (llvm::Error error = checkTokens(model, tokens, count))
    return std::move(error);
  if (llvm::Error error = needs(logits, "logits"))
    return std::move(error);
  return forward(*model->model, llvm::ArrayRef(tokens, count));
}

int cqModelPrefill(CqModel model, const int32_t *tokens, size_t count,
                   float *logits) {
  return guardStatus([&]() -> llvm::Error {
    auto hidden = forward(model, tokens, count, logits);
    if (!hidden)
      return hidden.takeError();
    return model->model->logits(
        hidden->data() + hidden->size() - model->model->width(), 1, logits);
  });
}

int cqModelDecode(CqModel model, int32_t token, float *logits) {
  return cqModelPrefill(model, &token, 1, logits);
}

int cqModelScore(CqModel model, const int32_t *tokens, size_t count,
                 float *logits) {
  return guardStatus([&]() -> llvm::Error {
    auto hidden = forward(model, tokens, count, logits);
    if (!hidden)
      return hidden.takeError();
    return model->model->logits(hidden->data(), static_cast<int64_t>(count),
                                logits);
  });
}

static llvm::Expected<CqGenerateOptions>
readOptions(const CqGenerateOptions *options, SamplerOptions &sampler) {
  CqGenerateOptions given = {};
  if (llvm::Error error = copyOptions(options, given, "CqGenerateOptions"))
    return std::move(error);
  sampler.temperature = given.temperature;
  sampler.topK = given.top_k;
  sampler.topP = given.top_p == 0 ? 1 : given.top_p;
  sampler.seed = given.seed;
  if (llvm::Error error = sampler.check())
    return std::move(error);
  if (given.max_tokens < 1)
    return fail("max_tokens must be at least 1");
  return given;
}

int cqModelGenerate(CqModel model, const int32_t *tokens, size_t count,
                    const CqGenerateOptions *options, CqTokenHandler handler,
                    void *user) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = checkTokens(model, tokens, count))
      return error;
    if (llvm::Error error = needs(options, "options"))
      return error;
    if (!handler)
      return fail("the argument handler is NULL");
    SamplerOptions samplerOptions;
    auto given = readOptions(options, samplerOptions);
    if (!given)
      return given.takeError();
    LanguageModel &runs = *model->model;
    const Tokenizer *tokenizer = runs.tokenizer();
    Sampler sampler(samplerOptions);
    std::vector<float> logits(runs.vocabulary());
    auto hidden = forward(runs, llvm::ArrayRef(tokens, count));
    if (!hidden)
      return hidden.takeError();
    const float *last = hidden->data() + hidden->size() - runs.width();
    for (int64_t drawn = 1;; ++drawn) {
      if (llvm::Error error = runs.logits(last, 1, logits.data()))
        return error;
      int32_t next = sampler.next(logits);
      if (handler(next, user) || drawn == given->max_tokens ||
          (tokenizer && tokenizer->isEndOfGeneration(next)) ||
          runs.position() == runs.context())
        return llvm::Error::success();
      if (llvm::Error error = runs.forward(next, hidden->data()))
        return error;
      last = hidden->data();
    }
  });
}

/// Scores the tokens of a window but the first, 64 rows of logits at a time.
static llvm::Error scoreWindow(LanguageModel &model,
                               llvm::ArrayRef<int32_t> window,
                               Evaluation &evaluation) {
  model.reset();
  auto hidden = forward(model, window.drop_back());
  if (!hidden)
    return hidden.takeError();
  constexpr size_t block = 64;
  size_t width = model.width(), vocabulary = model.vocabulary();
  std::vector<float> logits(block * vocabulary);
  for (size_t begin = 0; begin + 1 < window.size(); begin += block) {
    size_t rows = std::min(block, window.size() - 1 - begin);
    if (llvm::Error error =
            model.logits(hidden->data() + begin * width,
                         static_cast<int64_t>(rows), logits.data()))
      return error;
    for (size_t row = 0; row < rows; ++row)
      evaluation.add(scorePosition(
          llvm::ArrayRef(logits).slice(row * vocabulary, vocabulary), {},
          window[begin + row + 1]));
  }
  return llvm::Error::success();
}

double cqModelPerplexity(CqModel model, const int32_t *tokens, size_t count,
                         int64_t window, int64_t *positions) {
  return guard<double>(
      std::numeric_limits<double>::quiet_NaN(),
      [&]() -> llvm::Expected<double> {
        if (llvm::Error error = needs(model, "model"))
          return std::move(error);
        if (llvm::Error error = needs(tokens, "tokens"))
          return std::move(error);
        int64_t context = model->model->context();
        if (window == 0)
          window = std::min<int64_t>(512, context);
        if (window < 2 || window > context)
          return fail("a window has 2 to " + llvm::Twine(context) +
                      " tokens, not " + llvm::Twine(window));
        auto size = static_cast<size_t>(window);
        if (count < size)
          return fail(llvm::Twine(count) +
                      " tokens are less than a window of " +
                      llvm::Twine(window));
        for (int32_t token : llvm::ArrayRef(tokens, count))
          if (token < 0 || token >= model->model->vocabulary())
            return fail("token " + llvm::Twine(token) +
                        " is outside the vocabulary of " +
                        llvm::Twine(model->model->vocabulary()));
        Evaluation evaluation;
        for (size_t begin = 0; begin + size <= count; begin += size)
          if (llvm::Error error =
                  scoreWindow(*model->model,
                              llvm::ArrayRef(tokens + begin, size), evaluation))
            return std::move(error);
        model->model->reset();
        if (positions)
          *positions = evaluation.positions();
        return evaluation.perplexity().value;
      });
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

static llvm::Expected<const Tokenizer *> tokenizerOf(CqModel model) {
  if (llvm::Error error = needs(model, "model"))
    return std::move(error);
  if (const Tokenizer *tokenizer = model->model->tokenizer())
    return tokenizer;
  return fail(quoted(model->path) +
              " came without a tokenizer; import it again with one");
}

int64_t cqModelEncode(CqModel model, const char *text, size_t length,
                      int special, int32_t *tokens, size_t capacity) {
  return guard<int64_t>(-1, [&]() -> llvm::Expected<int64_t> {
    auto tokenizer = tokenizerOf(model);
    if (!tokenizer)
      return tokenizer.takeError();
    if (llvm::Error error = needs(text, "text"))
      return std::move(error);
    if (capacity)
      if (llvm::Error error = needs(tokens, "tokens"))
        return std::move(error);
    std::vector<int32_t> ids =
        (*tokenizer)
            ->encode(llvm::StringRef(text, length), special != 0, special != 0);
    std::copy_n(ids.begin(), std::min(capacity, ids.size()), tokens);
    return static_cast<int64_t>(ids.size());
  });
}

char *cqModelDecodeText(CqModel model, const int32_t *tokens, size_t count,
                        size_t *length) {
  return guard<char *>(nullptr, [&]() -> llvm::Expected<char *> {
    auto tokenizer = tokenizerOf(model);
    if (!tokenizer)
      return tokenizer.takeError();
    if (count)
      if (llvm::Error error = needs(tokens, "tokens"))
        return std::move(error);
    if (llvm::Error error = needs(length, "length"))
      return std::move(error);
    std::string text;
    int32_t previous = -1;
    for (size_t i = 0; i < count; ++i) {
      if (tokens[i] < 0 || tokens[i] >= (*tokenizer)->vocabularySize())
        return fail("token " + llvm::Twine(tokens[i]) +
                    " is outside the vocabulary of " +
                    llvm::Twine((*tokenizer)->vocabularySize()));
      text += (*tokenizer)->decode(tokens[i], previous);
      previous = tokens[i];
    }
    char *copy = copyText(text);
    *length = text.size();
    return copy;
  });
}

char *cqModelFormatChat(CqModel model, const char *user, const char *system) {
  return guard<char *>(nullptr, [&]() -> llvm::Expected<char *> {
    auto tokenizer = tokenizerOf(model);
    if (!tokenizer)
      return tokenizer.takeError();
    if (llvm::Error error = needs(user, "user"))
      return std::move(error);
    if ((*tokenizer)->chatTemplate() == ChatTemplate::None)
      return fail(quoted(model->path) +
                  " is not a chat model (no chat tokens in its vocabulary)");
    return copyText(
        formatChat((*tokenizer)->chatTemplate(), user, textOf(system)));
  });
}

int cqModelIsEnd(CqModel model, int32_t token) {
  return guard<int>(-1, [&]() -> llvm::Expected<int> {
    auto tokenizer = tokenizerOf(model);
    if (!tokenizer)
      return tokenizer.takeError();
    if (token < 0 || token >= (*tokenizer)->vocabularySize())
      return fail("token " + llvm::Twine(token) + " is outside the vocabulary");
    return int((*tokenizer)->isEndOfGeneration(token));
  });
}
