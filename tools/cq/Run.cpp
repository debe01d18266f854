//===- Run.cpp - cq run: compile, stream an answer ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelOptions.h"
#include "Verbs.h"
#include "cq/Inference/Sampler.h"
#include "cq/Support/Progress.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>

using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::SubCommand
    command("run", "Compiles a model for this CPU and streams a continuation");
static cl::OptionCategory options("run options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<module or folder>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string> prompt("prompt", cl::desc("Text to continue"),
                                   cl::sub(command), cl::cat(options));
static cl::opt<bool>
    chat("chat",
         cl::desc("Treat the prompt as a user's turn, in the form that "
                  "the model was trained on"),
         cl::sub(command), cl::cat(options));
static cl::opt<std::string> systemText("system", cl::init(""),
                                       cl::desc("System text of the chat"),
                                       cl::sub(command), cl::cat(options));
static cl::opt<int64_t> maxTokens("max-tokens", cl::init(256),
                                  cl::desc("Tokens to write (default 256)"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<double>
    temperature("temperature", cl::init(0),
                cl::desc("0 (default) takes the likeliest token"),
                cl::sub(command), cl::cat(options));
static cl::opt<int64_t> topK("top-k", cl::init(0),
                             cl::desc("Draw from the k likeliest tokens"),
                             cl::sub(command), cl::cat(options));
static cl::opt<double>
    topP("top-p", cl::init(1),
         cl::desc("Draw from the smallest set of tokens of at "
                  "least this probability"),
         cl::sub(command), cl::cat(options));
static cl::opt<uint64_t> seed("seed", cl::init(0),
                              cl::desc("Seed of the draws"), cl::sub(command),
                              cl::cat(options));
static cl::opt<bool> printTokens("print-tokens",
                                 cl::desc("Print token ids instead of text"),
                                 cl::sub(command), cl::cat(options));
static tool::ModelOptions modelOptions(command, options);

static double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

static llvm::Error run() {
  SamplerOptions samplerOptions;
  samplerOptions.temperature = temperature;
  samplerOptions.topK = topK;
  samplerOptions.topP = topP;
  samplerOptions.seed = seed;
  if (llvm::Error error = samplerOptions.check())
    return error;

  auto loaded = LanguageModel::load(input, modelOptions.get());
  if (!loaded)
    return loaded.takeError();
  LanguageModel &model = **loaded;
  const Tokenizer *tokenizer = model.tokenizer();
  if (!tokenizer)
    return llvm::createStringError(
        input + " came without a tokenizer; import it again with --tokenizer");

  std::string text = prompt;
  if (chat) {
    if (tokenizer->chatTemplate() == ChatTemplate::None)
      return llvm::createStringError(
          input + " is not a chat model (no chat tokens in its vocabulary); "
                  "leave out --chat");
    text = formatChat(tokenizer->chatTemplate(), prompt, systemText);
  }
  std::vector<int32_t> tokens = tokenizer->encode(text);
  if (tokens.empty())
    return llvm::createStringError(
        "the prompt is empty and " + input +
        " has no token to begin with; give --prompt");

  // Prefill: the prompt at once; only the last hidden state matters.
  std::vector<float> hidden(tokens.size() * model.width());
  auto start = std::chrono::steady_clock::now();
  if (llvm::Error error = model.forward(tokens, hidden.data()))
    return error;
  double prefillSeconds = secondsSince(start);

  Sampler sampler(samplerOptions);
  std::vector<float> logits(model.vocabulary());
  const float *last = hidden.data() + hidden.size() - model.width();
  int32_t previous = tokens.back();
  int64_t written = 0;
  start = std::chrono::steady_clock::now();
  // On a device that takes the likeliest token, only its number comes back.
  bool steps = model.hasDevice() && temperature == 0;
  while (written < maxTokens) {
    int32_t next;
    if (steps && written > 0) {
      auto made = model.step(previous);
      if (!made)
        return made.takeError();
      next = *made;
    } else {
      if (llvm::Error error = model.logits(last, 1, logits.data()))
        return error;
      next = sampler.next(logits);
    }
    ++written;
    if (printTokens)
      llvm::outs() << next << ' ';
    else if (!tokenizer->isEndOfGeneration(next))
      llvm::outs() << tokenizer->decode(next, previous);
    llvm::outs().flush();
    if (tokenizer->isEndOfGeneration(next) || written == maxTokens ||
        model.position() == model.context())
      break;
    previous = next;
    if (steps)
      continue;
    if (llvm::Error error = model.forward(next, hidden.data()))
      return error;
    last = hidden.data();
  }
  double decodeSeconds = secondsSince(start);
  llvm::outs() << '\n';
  llvm::errs() << "prompt " << tokens.size() << " tokens, "
               << llvm::format("%.1f", tokens.size() / prefillSeconds)
               << " tokens/s; answer " << written << " tokens, "
               << llvm::format("%.1f", written / decodeSeconds) << " tokens/s; "
               << (model.compiledFromCache() ? "code from the cache in "
                                             : "compiled in ")
               << formatSeconds(model.compileSeconds()) << '\n';
  return llvm::Error::success();
}

tool::Verb tool::runVerb() { return {&command, &options, &run}; }
