//===- Eval.cpp - cq eval: perplexity and KL divergence -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EvalText.h"
#include "ModelOptions.h"
#include "Verbs.h"
#include "cq/Inference/Evaluation.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/CacheFile.h"
#include "cq/Support/Progress.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Parallel.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::SubCommand
    command("eval", "Measures a model on a text: perplexity and, against the "
                    "unquantized model, KL divergence");
static cl::OptionCategory options("eval options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<module or folder>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    against("against", cl::value_desc("module"),
            cl::desc("The unquantized model; adds KL divergence"),
            cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    textPath("text", cl::value_desc("file"),
             cl::desc("Text to measure on (default: text that the unquantized "
                      "model writes itself from a fixed seed)"),
             cl::sub(command), cl::cat(options));
static cl::opt<int64_t>
    windowLength("window", cl::init(512),
                 cl::desc("Tokens in a window (default 512)"), cl::sub(command),
                 cl::cat(options));
static cl::opt<int64_t>
    windowCount("windows", cl::init(0),
                cl::desc("Windows (default: all of --text; 8 without it)"),
                cl::sub(command), cl::cat(options));
static cl::opt<std::string> protocolText(
    "protocol", cl::init("llama.cpp"),
    cl::desc("Scored tokens: llama.cpp (default; the second half of "
             "each window) or full"),
    cl::sub(command), cl::cat(options));
static cl::opt<std::string> jsonPath("json", cl::value_desc("file"),
                                     cl::desc("Write the numbers as JSON too"),
                                     cl::sub(command), cl::cat(options));
static cl::opt<bool>
    running("running",
            cl::desc("Print the running perplexity, a line a window"),
            cl::sub(command), cl::cat(options));
static tool::ModelOptions modelOptions(command, options);

/// Final hidden states of a window's scored positions, [scored, D].
static llvm::Expected<std::vector<float>>
hiddenStates(LanguageModel &model, llvm::ArrayRef<int32_t> window,
             int64_t first) {
  std::vector<float> all(window.size() * model.width());
  model.reset();
  // The last token predicts nothing that is scored.
  if (llvm::Error error = model.forward(window.drop_back(), all.data()))
    return std::move(error);
  return std::vector<float>(all.begin() + first * model.width(),
                            all.end() - model.width());
}

/// The same, kept in the cache: the reference does not change between quantized
/// models, and is the slower of the two.
static llvm::Expected<std::vector<float>>
cachedHiddenStates(LanguageModel &model, llvm::ArrayRef<int32_t> window,
                   int64_t first) {
  llvm::StringRef tokens(reinterpret_cast<const char *>(window.data()),
                         window.size() * sizeof(int32_t));
  std::string key =
      hashKey({"hidden", model.fingerprint(), tokens, std::to_string(first)});
  size_t count = (window.size() - 1 - first) * model.width();
  if (auto cached = loadCached<float>("hidden", key, count))
    return std::move(*cached);
  auto states = hiddenStates(model, window, first);
  if (states) // a cache that cannot be written costs time later, nothing else
    llvm::consumeError(storeCached<float>("hidden", key, *states));
  return states;
}

/// Scores one window, 64 positions at a time so that logits stay small.
static llvm::Error scoreWindow(LanguageModel &model, LanguageModel *reference,
                               llvm::ArrayRef<int32_t> window, int64_t first,
                               Evaluation &evaluation) {
  auto hidden = hiddenStates(model, window, first);
  if (!hidden)
    return hidden.takeError();
  std::vector<float> referenceHidden;
  if (reference) {
    auto states = cachedHiddenStates(*reference, window, first);
    if (!states)
      return states.takeError();
    referenceHidden = std::move(*states);
  }
  constexpr int64_t block = 64;
  int64_t vocabulary = model.vocabulary();
  int64_t scored = static_cast<int64_t>(window.size()) - 1 - first;
  std::vector<float> logits(block * vocabulary), referenceLogits;
  if (reference)
    referenceLogits.resize(block * vocabulary);
  for (int64_t begin = 0; begin < scored; begin += block) {
    int64_t rows = std::min(block, scored - begin);
    if (llvm::Error error = model.logits(hidden->data() + begin * model.width(),
                                         rows, logits.data()))
      return error;
    if (reference)
      if (llvm::Error error = reference->logits(referenceHidden.data() +
                                                    begin * reference->width(),
                                                rows, referenceLogits.data()))
        return error;
    std::vector<PositionScore> scores(rows);
    llvm::parallelFor(0, rows, [&](size_t row) {
      auto slice = [&](const std::vector<float> &values) {
        return values.empty() ? llvm::ArrayRef<float>()
                              : llvm::ArrayRef<float>(values).slice(
                                    row * vocabulary, vocabulary);
      };
      scores[row] = scorePosition(slice(logits), slice(referenceLogits),
                                  window[first + begin + row + 1]);
    });
    for (const PositionScore &score : scores)
      evaluation.add(score);
  }
  return llvm::Error::success();
}

static void printReport(const tool::EvalText &text,
                        const Evaluation &evaluation, bool hasReference) {
  auto &os = llvm::outs();
  os << llvm::formatv("text            {0}, {1} windows of {2} tokens, {3} "
                      "protocol, {4} tokens scored\n",
                      text.name, text.windows.size(), windowLength,
                      protocolText, evaluation.positions());
  Estimate perplexity = evaluation.perplexity();
  os << llvm::formatv("perplexity      {0:f3} ± {1:f3}", perplexity.value,
                      perplexity.error);
  if (hasReference) {
    Estimate reference = evaluation.referencePerplexity();
    Estimate divergence = evaluation.meanDivergence();
    os << llvm::formatv("   (unquantized {0:f3} ± {1:f3})\n", reference.value,
                        reference.error)
       << llvm::formatv("KL divergence   {0:f4} ± {1:f4}   (median {2:f4}, "
                        "99 % {3:f3})\n",
                        divergence.value, divergence.error,
                        evaluation.divergenceQuantile(0.5),
                        evaluation.divergenceQuantile(0.99))
       << llvm::formatv("top token kept  {0:f1} %\nRMS Δp          {1:f2} %",
                        100 * evaluation.sameTopShare(),
                        100 * evaluation.rmsDeltaP());
  }
  os << '\n';
}

static llvm::Error writeJSON(const tool::EvalText &text,
                             const Evaluation &evaluation, bool hasReference) {
  llvm::json::Object result{
      {"model", input.getValue()},
      {"text", text.name},
      {"windows", static_cast<int64_t>(text.windows.size())},
      {"window", windowLength.getValue()},
      {"protocol", protocolText.getValue()},
      {"positions", evaluation.positions()},
      {"perplexity", evaluation.perplexity().value},
      {"perplexity_error", evaluation.perplexity().error}};
  if (hasReference) {
    result["reference_perplexity"] = evaluation.referencePerplexity().value;
    result["kl_divergence"] = evaluation.meanDivergence().value;
    result["kl_divergence_error"] = evaluation.meanDivergence().error;
    result["kl_divergence_median"] = evaluation.divergenceQuantile(0.5);
    result["kl_divergence_99"] = evaluation.divergenceQuantile(0.99);
    result["same_top"] = evaluation.sameTopShare();
    result["rms_delta_p"] = evaluation.rmsDeltaP();
  }
  return writeFileAtomically(
      jsonPath,
      llvm::formatv("{0:2}\n", llvm::json::Value(std::move(result))).str());
}

static llvm::Error run() {
  std::optional<EvalProtocol> protocol = parseEvalProtocol(protocolText);
  if (!protocol)
    return llvm::createStringError("--protocol=" + protocolText +
                                   " is not known; use llama.cpp or full");
  if (windowLength < 2 || windowCount < 0)
    return llvm::createStringError(
        "--window must be 2 or more and --windows 0 or more");

  auto model = LanguageModel::load(input, modelOptions.get());
  if (!model)
    return model.takeError();
  std::unique_ptr<LanguageModel> reference;
  if (!against.empty()) {
    auto loaded = LanguageModel::load(against, modelOptions.get());
    if (!loaded)
      return loaded.takeError();
    reference = std::move(*loaded);
    if (reference->vocabulary() != (*model)->vocabulary())
      return llvm::createStringError(
          input + " and " + against +
          " have different vocabularies and cannot be compared");
  }
  LanguageModel &source = reference ? *reference : **model;
  if (windowLength > (*model)->context() || windowLength > source.context())
    return llvm::createStringError("--window=" + llvm::Twine(windowLength) +
                                   " is longer than the model's context; "
                                   "import it with a larger --context");
  if (!source.tokenizer())
    return llvm::createStringError(
        "the model came without a tokenizer; import it again with --tokenizer");

  auto text = textPath.empty()
                  ? tool::writeEvalText(source, windowLength,
                                        windowCount ? windowCount : 8, 1)
                  : tool::readEvalText(textPath, *source.tokenizer(),
                                       windowLength, windowCount);
  if (!text)
    return text.takeError();

  Evaluation evaluation;
  {
    Progress progress(llvm::errs(), "evaluating", text->windows.size());
    for (const std::vector<int32_t> &window : text->windows) {
      if (llvm::Error error = scoreWindow(
              **model, reference.get(), window,
              firstScoredPosition(*protocol, windowLength), evaluation))
        return error;
      std::string soFar =
          llvm::formatv("perplexity {0:f4}", evaluation.perplexity().value);
      if (reference)
        soFar += llvm::formatv(", KL divergence {0:f4}",
                               evaluation.meanDivergence().value);
      progress.advance("window", soFar);
      if (running)
        llvm::outs() << evaluation.positions() << ' ' << soFar << '\n';
    }
  }
  printReport(*text, evaluation, reference != nullptr);
  if (!jsonPath.empty())
    return writeJSON(*text, evaluation, reference != nullptr);
  return llvm::Error::success();
}

tool::Verb tool::evalVerb() { return {&command, &options, &run}; }
