//===- LanguageModel.cpp - A compiled model that takes tokens * -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/LanguageModel.h"
#include "DeviceModel.h"
#include "ModelFiles.h"
#include "cq/Execution/CompiledModule.h"
#include "cq/Runtime/Session.h"
#include "cq/Support/CacheFile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/xxhash.h"
#include <chrono>
#include <map>

using namespace mlir::cq;

struct LanguageModel::Implementation {
  std::unique_ptr<CompiledModule> code;
  std::optional<ModelFiles> files;
  std::optional<Session> session;
  std::optional<DeviceModel> device; ///< instead of code and session
  std::string fingerprint;
  double compileSeconds = 0;

  const SessionShape &shape() const {
    return device ? device->session->shape() : session->shape();
  }
  llvm::Error startSession(const LanguageFunctions &functions);
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

llvm::Error LanguageModel::Implementation::startSession(
    const LanguageFunctions &functions) {
  std::vector<cq_chunk> chunks;
  for (const ChunkFunctions &names : functions.chunks) {
    cq_chunk &chunk = chunks.emplace_back();
    chunk.tokens = names.tokens;
    auto forward = code->lookup(names.forward->name);
    if (!forward)
      return forward.takeError();
    auto logits = code->lookup(names.logits->name);
    if (!logits)
      return logits.takeError();
    chunk.forward = reinterpret_cast<decltype(chunk.forward)>(*forward);
    chunk.logits = reinterpret_cast<decltype(chunk.logits)>(*logits);
  }
  session.emplace(std::move(chunks), functions.shape, files->table.data());
  return llvm::Error::success();
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
  auto text = llvm::MemoryBuffer::getFile(modulePath);
  if (!text)
    return llvm::createStringError("cannot read " + modulePath);
  auto start = std::chrono::steady_clock::now();
  auto finish = [&] {
    impl->compileSeconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
  };
  auto identify = [&](const ParameterArchive &archive) {
    impl->fingerprint =
        hashKey({(*text)->getBuffer(), hashParameters(archive),
                 options.targetCPU, options.activation, options.target});
  };
  if (!options.target.empty()) {
    auto model = DeviceModel::load(modulePath, options);
    if (!model)
      return model.takeError();
    impl->device.emplace(std::move(*model));
    finish();
    identify(*impl->device->files->archive);
    return std::unique_ptr<LanguageModel>(new LanguageModel(std::move(impl)));
  }
  if (!options.device.empty())
    return llvm::createStringError("--device says where --target=cuda runs; "
                                   "name that target too");
  ExecutionOptions execution;
  if (!options.targetCPU.empty())
    execution.targetCPU = options.targetCPU;
  execution.activation = options.activation;
  execution.fuse = options.fuse;
  execution.useCache = options.useCache;
  // @loss is for calibration.
  execution.functions = {"forward_*", "logits_*"};
  auto code = CompiledModule::compileFile(modulePath, execution);
  if (!code)
    return code.takeError();
  impl->code = std::move(*code);
  finish();
  // First: a module without them is no language model, whatever its weights.
  auto functions = findChunkFunctions(impl->code->getInterface(), modulePath);
  if (!functions)
    return functions.takeError();
  auto files =
      ModelFiles::open(impl->code->getInterface(), modulePath, options.threads);
  if (!files)
    return files.takeError();
  impl->files.emplace(std::move(*files));
  if (llvm::Error error = impl->startSession(*functions))
    return std::move(error);

  identify(*impl->files->archive);
  return std::unique_ptr<LanguageModel>(new LanguageModel(std::move(impl)));
}

LanguageModel::LanguageModel(std::unique_ptr<Implementation> implementation)
    : implementation(std::move(implementation)) {}
LanguageModel::~LanguageModel() = default;

int64_t LanguageModel::width() const { return implementation->shape().width; }
int64_t LanguageModel::vocabulary() const {
  return implementation->shape().vocabulary;
}
int64_t LanguageModel::context() const {
  return implementation->shape().context;
}
int64_t LanguageModel::position() const {
  return implementation->device ? implementation->device->session->position()
                                : implementation->session->position();
}
const Tokenizer *LanguageModel::tokenizer() const {
  return (implementation->device ? implementation->device->files
                                 : implementation->files)
      ->tokenizer.get();
}
llvm::StringRef LanguageModel::fingerprint() const {
  return implementation->fingerprint;
}
bool LanguageModel::compiledFromCache() const {
  if (implementation->device)
    return implementation->device->fromCache;
  return implementation->code && implementation->code->isFromCache();
}
double LanguageModel::compileSeconds() const {
  return implementation->compileSeconds;
}

void LanguageModel::reset() {
  if (implementation->device)
    implementation->device->session->reset();
  else
    implementation->session->reset();
}

bool LanguageModel::hasDevice() const {
  return implementation->device.has_value();
}

llvm::Expected<int32_t> LanguageModel::step(int32_t token) {
  return implementation->device->session->step(token);
}

llvm::Error LanguageModel::forward(llvm::ArrayRef<int32_t> tokens,
                                   float *hidden) {
  if (implementation->device) {
    DeviceSession &session = *implementation->device->session;
    std::string refusal = session.refuse(tokens.data(), tokens.size());
    if (!refusal.empty())
      return llvm::createStringError(refusal);
    return session.forward(tokens.data(), tokens.size(), hidden);
  }
  Session &session = *implementation->session;
  std::string refusal = session.refuse(tokens.data(), tokens.size());
  if (!refusal.empty())
    return llvm::createStringError(refusal);
  session.forward(tokens.data(), tokens.size(), hidden);
  return llvm::Error::success();
}

llvm::Error LanguageModel::logits(const float *hidden, int64_t count,
                                  float *out) {
  if (implementation->device)
    return implementation->device->session->logits(hidden, count, out);
  implementation->session->logits(hidden, count, out);
  return llvm::Error::success();
}
