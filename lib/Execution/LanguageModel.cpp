//===- LanguageModel.cpp - A compiled model that takes tokens * -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/LanguageModel.h"
#include "ModelFiles.h"
#include "cq/Execution/CompiledModule.h"
#include "cq/Runtime/Runtime.h"
#include "cq/Support/CacheFile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/xxhash.h"
#include <chrono>
#include <map>

using namespace mlir::cq;

namespace {

using ForwardFunction = void(void **, const int32_t *, int64_t, float *,
                             float *, float *);
using LogitsFunction = void(void **, const float *, float *);

/// The functions compiled for chunks of `tokens` tokens.
struct Chunk {
  int64_t tokens = 0;
  ForwardFunction *forward = nullptr;
  LogitsFunction *logits = nullptr;
};

} // namespace

struct LanguageModel::Implementation {
  std::unique_ptr<CompiledModule> code;
  std::optional<ModelFiles> files;
  std::vector<Chunk> chunks; ///< ascending
  int64_t width = 0, vocabulary = 0, context = 0, position = 0;
  std::vector<float> keys, values;
  std::vector<int32_t> tokens; ///< a chunk, padded
  std::vector<float> rows;     ///< a chunk's hidden states or logits
  std::string fingerprint;
  double compileSeconds = 0;

  llvm::Error findFunctions(llvm::StringRef path);
  /// The chunk to run for `remaining` rows: the largest that is filled, or a
  /// padded one where that costs less than several smaller ones.
  const Chunk &chooseChunk(int64_t remaining) const;
};

/// Hash of the whole archive: parameters are part of what a model is.
static std::string hashParameters(const ParameterArchive &archive) {
  uint64_t hash = 0;
  for (const ParameterInfo &info : archive.parameters()) {
    std::string head = info.name + ":" + stringifyDType(info.type).str() + ":" +
                       llvm::utostr(hash) + ":" +
                       llvm::utohexstr(llvm::xxh3_64bits(info.bytes));
    hash = llvm::xxh3_64bits(head);
  }
  return llvm::utohexstr(hash);
}

llvm::Error LanguageModel::Implementation::findFunctions(llvm::StringRef path) {
  const ModuleInterface &interface = code->getInterface();
  for (const FunctionInfo &function : interface.functions) {
    llvm::StringRef name = function.name;
    Chunk chunk;
    if (!name.consume_front("forward_") || name.getAsInteger(10, chunk.tokens))
      continue;
    if (function.arguments.size() != 4 || function.results.empty() ||
        function.arguments[2].shape.size() < 2 ||
        function.results[0].shape.size() != 2)
      return llvm::createStringError(
          path + ": @" + function.name +
          " does not have the signature that `cq import` writes");
    const FunctionInfo *head =
        interface.find("logits_" + std::to_string(chunk.tokens));
    if (!head || head->results.size() != 1 ||
        head->results[0].shape.size() != 2)
      return llvm::createStringError(
          path + ": @" + function.name + " has no @logits_" +
          llvm::Twine(chunk.tokens) + " beside it; import the model again");
    width = function.results[0].shape[1];
    vocabulary = head->results[0].shape[1];
    context = function.arguments[2].shape[1];
    keys.assign(function.arguments[2].numElements(), 0.0f);
    values.assign(function.arguments[3].numElements(), 0.0f);
    auto forward = code->get<ForwardFunction>(function.name);
    if (!forward)
      return forward.takeError();
    auto logits = code->get<LogitsFunction>(head->name);
    if (!logits)
      return logits.takeError();
    chunk.forward = *forward;
    chunk.logits = *logits;
    chunks.push_back(chunk);
  }
  if (chunks.empty())
    return llvm::createStringError(
        path + " has no @forward_<tokens> function, so it is not a language "
               "model made by `cq import`");
  llvm::sort(chunks, [](const Chunk &a, const Chunk &b) {
    return a.tokens < b.tokens;
  });
  tokens.resize(chunks.back().tokens);
  rows.resize(chunks.back().tokens * std::max(width, vocabulary));
  return llvm::Error::success();
}

const Chunk &
LanguageModel::Implementation::chooseChunk(int64_t remaining) const {
  // A pass over the weights costs about the same for any chunk up to a few
  // tokens, so two or more smaller passes never beat a padded larger one that
  // is at least a quarter full.
  for (const Chunk &chunk : chunks)
    if (chunk.tokens >= remaining)
      return &chunk == &chunks.front() || chunk.tokens <= 4 * remaining
                 ? chunk
                 : *(&chunk - 1);
  return chunks.back();
}

llvm::Expected<std::unique_ptr<LanguageModel>>
LanguageModel::load(llvm::StringRef path, const LanguageModelOptions &options) {
  llvm::Expected<std::string> found = findModule(path);
  if (!found)
    return found.takeError();
  const std::string &modulePath = *found;
  if (options.threads)
    cq_set_threads(static_cast<int>(options.threads));
  auto impl = std::make_unique<Implementation>();
  ExecutionOptions execution;
  if (!options.targetCPU.empty())
    execution.targetCPU = options.targetCPU;
  execution.activation = options.activation;
  execution.useCache = options.useCache;
  // @loss is for calibration.
  execution.functions = {"forward_*", "logits_*"};
  auto start = std::chrono::steady_clock::now();
  auto code = CompiledModule::compileFile(modulePath, execution);
  if (!code)
    return code.takeError();
  impl->code = std::move(*code);
  impl->compileSeconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  if (llvm::Error error = impl->findFunctions(modulePath))
    return std::move(error);

  auto files =
      ModelFiles::open(impl->code->getInterface(), modulePath, options.threads);
  if (!files)
    return files.takeError();
  impl->files.emplace(std::move(*files));

  auto text = llvm::MemoryBuffer::getFile(modulePath);
  if (!text)
    return llvm::createStringError("cannot read " + modulePath);
  impl->fingerprint =
      hashKey({(*text)->getBuffer(), hashParameters(*impl->files->archive),
               options.targetCPU, options.activation});
  return std::unique_ptr<LanguageModel>(new LanguageModel(std::move(impl)));
}

LanguageModel::LanguageModel(std::unique_ptr<Implementation> implementation)
    : implementation(std::move(implementation)) {}
LanguageModel::~LanguageModel() = default;

int64_t LanguageModel::width() const { return implementation->width; }
int64_t LanguageModel::vocabulary() const { return implementation->vocabulary; }
int64_t LanguageModel::context() const { return implementation->context; }
int64_t LanguageModel::position() const { return implementation->position; }
const Tokenizer *LanguageModel::tokenizer() const {
  return implementation->files->tokenizer.get();
}
llvm::StringRef LanguageModel::fingerprint() const {
  return implementation->fingerprint;
}
bool LanguageModel::compiledFromCache() const {
  return implementation->code->isFromCache();
}
double LanguageModel::compileSeconds() const {
  return implementation->compileSeconds;
}

// Rows of the caches beyond `position` are never read, so none is cleared.
void LanguageModel::reset() { implementation->position = 0; }

llvm::Error LanguageModel::forward(llvm::ArrayRef<int32_t> tokens,
                                   float *hidden) {
  Implementation &impl = *implementation;
  int64_t count = static_cast<int64_t>(tokens.size());
  if (count > impl.context - impl.position)
    return llvm::createStringError(
        "the text needs " + llvm::Twine(impl.position + count) +
        " positions and the model was imported with --context=" +
        llvm::Twine(impl.context));
  for (int32_t token : tokens)
    if (token < 0 || token >= impl.vocabulary)
      return llvm::createStringError("token " + llvm::Twine(token) +
                                     " is outside the vocabulary of " +
                                     llvm::Twine(impl.vocabulary));
  for (int64_t done = 0; done < count;) {
    const Chunk *chunk = &impl.chooseChunk(count - done);
    // A padded chunk may not reach past the end of the caches.
    while (impl.position + chunk->tokens > impl.context &&
           chunk != &impl.chunks.front())
      --chunk;
    int64_t valid = std::min(chunk->tokens, count - done);
    std::fill(impl.tokens.begin(), impl.tokens.end(), 0);
    std::copy_n(tokens.begin() + done, valid, impl.tokens.begin());
    chunk->forward(impl.files->table.data(), impl.tokens.data(), impl.position,
                   impl.keys.data(), impl.values.data(), impl.rows.data());
    std::copy_n(impl.rows.begin(), valid * impl.width,
                hidden + done * impl.width);
    impl.position += valid;
    done += valid;
  }
  return llvm::Error::success();
}

llvm::Error LanguageModel::logits(const float *hidden, int64_t count,
                                  float *out) {
  Implementation &impl = *implementation;
  std::vector<float> padded(impl.chunks.back().tokens * impl.width);
  for (int64_t done = 0; done < count;) {
    const Chunk &chunk = impl.chooseChunk(count - done);
    int64_t valid = std::min(chunk.tokens, count - done);
    std::fill(padded.begin(), padded.end(), 0.0f);
    std::copy_n(hidden + done * impl.width, valid * impl.width, padded.begin());
    chunk.logits(impl.files->table.data(), padded.data(), impl.rows.data());
    std::copy_n(impl.rows.begin(), valid * impl.vocabulary,
                out + done * impl.vocabulary);
    done += valid;
  }
  return llvm::Error::success();
}
