//===- ObservedModel.cpp - A compiled loss that shows its values ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/ObservedModel.h"
#include "ModelFiles.h"
#include "cq/Execution/CompiledModule.h"
#include "cq/Pipelines/Observe.h"
#include "cq/Runtime/Runtime.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir::cq;

/// `void loss(parameters, tokens, losses)`
using LossFunction = void(void **, const int32_t *, float *);
/// `void divergence(parameters, tokens, reference, divergences)`
using DivergenceFunction = void(void **, const int32_t *, const float *,
                                float *);

struct ObservedModel::Implementation {
  std::unique_ptr<CompiledModule> code;
  std::optional<ModelFiles> files;
  std::vector<void *> own; ///< what the table held at first
  std::vector<ObservationInfo> observations;
  void *function = nullptr; ///< a DivergenceFunction where `width` > 0
  int64_t tokens = 0, losses = 0, width = 0, vocabulary = 0;

  llvm::Error findFunction(llvm::StringRef path, llvm::StringRef name);
  llvm::Error readObservations(llvm::StringRef path);
  std::optional<size_t> findParameter(llvm::StringRef name) const;
};

llvm::Error ObservedModel::Implementation::findFunction(llvm::StringRef path,
                                                        llvm::StringRef name) {
  const FunctionInfo *info = code->getInterface().find(name);
  bool isLoss = info && info->arguments.size() == 1;
  bool isDivergence = info && info->arguments.size() == 2 &&
                      info->arguments[1].elementType == "f32" &&
                      info->arguments[1].shape.size() == 2;
  if ((!isLoss && !isDivergence) || info->results.size() != 1 ||
      info->arguments[0].elementType != "i32" ||
      info->arguments[0].shape.size() != 1 ||
      info->results[0].elementType != "f32" ||
      info->results[0].numElements() !=
          info->arguments[0].shape[0] - (isLoss ? 1 : 0))
    return llvm::createStringError(
        path + ": @" + name +
        " does not have the signature that `cq import` writes");
  tokens = info->arguments[0].shape[0];
  losses = info->results[0].numElements();
  width = isDivergence ? info->arguments[1].shape[1] : 0;
  auto address = code->lookup(name);
  if (!address)
    return address.takeError();
  function = *address;
  if (const auto *model = code->getInterface().attributes.getObject("model"))
    vocabulary = model->getInteger("vocabulary").value_or(0);
  if (vocabulary <= 0)
    return llvm::createStringError(
        path + " does not say how many tokens it knows (attribute cq.model)");
  return llvm::Error::success();
}

llvm::Error
ObservedModel::Implementation::readObservations(llvm::StringRef path) {
  const auto *list = code->getInterface().attributes.getArray("observations");
  if (!list)
    return llvm::createStringError(path + " observes nothing");
  for (const llvm::json::Value &value : *list) {
    const llvm::json::Object *object = value.getAsObject();
    ObservationInfo &info = observations.emplace_back();
    if (!object)
      continue;
    info.statistic = object->getString("statistic").value_or("").str();
    info.block = object->getInteger("block").value_or(-1);
    if (const auto *names = object->getArray("weights"))
      for (const llvm::json::Value &name : *names)
        if (auto text = name.getAsString())
          info.weights.push_back(text->str());
  }
  return llvm::Error::success();
}

std::optional<size_t>
ObservedModel::Implementation::findParameter(llvm::StringRef name) const {
  for (auto [i, slot] : llvm::enumerate(code->getInterface().parameters))
    if (slot.name == name && slot.type.elementType == "f32")
      return i;
  return std::nullopt;
}

llvm::Expected<std::unique_ptr<ObservedModel>>
ObservedModel::load(llvm::StringRef path, const ObservedModelOptions &options) {
  llvm::Expected<std::string> modulePath = findModule(path);
  if (!modulePath)
    return modulePath.takeError();
  if (options.threads)
    cq_set_threads(static_cast<int>(options.threads));

  auto impl = std::make_unique<Implementation>();
  ExecutionOptions execution;
  if (!options.targetCPU.empty())
    execution.targetCPU = options.targetCPU;
  execution.useCache = options.useCache;
  ObserveOptions observe;
  observe.function = options.function;
  observe.wrt = options.wrt;
  observe.moments = options.moments;
  observe.gram = options.gram;
  observe.blocks = options.blocks;
  observe.fisher = options.fisher;
  for (const std::string &pattern : options.only)
    observe.only.push_back(pattern);
  bool gradients = options.fisher != "none";
  std::string entry = options.function + (gradients ? "_gradient" : "");
  execution.prepare = [&](OpPassManager &pm) {
    buildObservePipeline(pm, observe);
  };
  execution.preparation = llvm::join(
      llvm::ArrayRef<std::string>{
          "observe", options.function, options.wrt,
          std::to_string(options.moments), std::to_string(options.gram),
          std::to_string(options.blocks), options.fisher,
          llvm::join(options.only, " ")},
      "|");
  execution.functions = {entry};

  auto code = CompiledModule::compileFile(*modulePath, execution);
  if (!code)
    return code.takeError();
  impl->code = std::move(*code);
  if (llvm::Error error = impl->findFunction(*modulePath, entry))
    return std::move(error);
  if (llvm::Error error = impl->readObservations(*modulePath))
    return std::move(error);

  const ModuleInterface &interface = impl->code->getInterface();
  auto files = ModelFiles::open(interface, *modulePath, options.threads);
  if (!files)
    return files.takeError();
  impl->files.emplace(std::move(*files));
  void **addresses = impl->files->table.data();
  impl->own.assign(addresses, addresses + interface.parameters.size());
  return std::unique_ptr<ObservedModel>(new ObservedModel(std::move(impl)));
}

ObservedModel::ObservedModel(std::unique_ptr<Implementation> implementation)
    : implementation(std::move(implementation)) {}
ObservedModel::~ObservedModel() = default;

int64_t ObservedModel::tokens() const { return implementation->tokens; }
int64_t ObservedModel::vocabulary() const { return implementation->vocabulary; }
llvm::ArrayRef<ObservationInfo> ObservedModel::observations() const {
  return implementation->observations;
}
const Tokenizer *ObservedModel::tokenizer() const {
  return implementation->files->tokenizer.get();
}
const ParameterArchive &ObservedModel::archive() const {
  return *implementation->files->archive;
}
llvm::ArrayRef<ParameterSlot> ObservedModel::parameters() const {
  return implementation->code->getInterface().parameters;
}

const float *ObservedModel::parameter(llvm::StringRef name) const {
  auto slot = implementation->findParameter(name);
  return slot ? static_cast<const float *>(
                    implementation->files->table.data()[*slot])
              : nullptr;
}

llvm::Error ObservedModel::setParameter(llvm::StringRef name,
                                        const float *values) {
  auto slot = implementation->findParameter(name);
  if (!slot)
    return llvm::createStringError("the model has no f32 parameter '" + name +
                                   "' to replace");
  implementation->files->table.data()[*slot] =
      values ? const_cast<float *>(values) : implementation->own[*slot];
  return llvm::Error::success();
}

namespace {
/// What the runtime's callback gets.
struct Visit {
  llvm::ArrayRef<ObservationInfo> observations;
  ObservationHandler handler;
};
} // namespace

static void visit(void *user, int64_t number, int64_t operands,
                  const float *const *data, const int64_t *sizes) {
  const Visit &visit = *static_cast<Visit *>(user);
  if (number < 0 || number >= int64_t(visit.observations.size()))
    return;
  llvm::SmallVector<ObservedMatrix, 2> matrices;
  for (int64_t i = 0; i < operands; ++i)
    matrices.push_back({data[i], sizes[2 * i], sizes[2 * i + 1]});
  visit.handler(visit.observations[number], matrices);
}

llvm::Error ObservedModel::run(llvm::ArrayRef<int32_t> tokens,
                               llvm::MutableArrayRef<float> losses,
                               ObservationHandler handler) {
  return run(tokens, {}, losses, handler);
}

llvm::Error ObservedModel::run(llvm::ArrayRef<int32_t> tokens,
                               llvm::ArrayRef<float> reference,
                               llvm::MutableArrayRef<float> losses,
                               ObservationHandler handler) {
  const Implementation &impl = *implementation;
  if (int64_t(tokens.size()) != impl.tokens ||
      int64_t(losses.size()) != impl.losses)
    return llvm::createStringError(
        "a sequence has " + llvm::Twine(impl.tokens) + " tokens and " +
        llvm::Twine(impl.losses) + " losses, not " +
        llvm::Twine(tokens.size()) + " and " + llvm::Twine(losses.size()));
  if (int64_t(reference.size()) != impl.tokens * impl.width)
    return llvm::createStringError("the reference's hidden states have " +
                                   llvm::Twine(impl.tokens * impl.width) +
                                   " numbers, not " +
                                   llvm::Twine(reference.size()));
  for (int32_t token : tokens)
    if (token < 0 || token >= impl.vocabulary)
      return llvm::createStringError("token " + llvm::Twine(token) +
                                     " is outside the vocabulary of " +
                                     llvm::Twine(impl.vocabulary));
  Visit visit{impl.observations, handler};
  if (handler)
    cq_set_observer(&::visit, &visit);
  void **parameters = implementation->files->table.data();
  if (impl.width == 0)
    reinterpret_cast<LossFunction *>(impl.function)(parameters, tokens.data(),
                                                    losses.data());
  else
    reinterpret_cast<DivergenceFunction *>(impl.function)(
        parameters, tokens.data(), reference.data(), losses.data());
  cq_set_observer(nullptr, nullptr);
  return llvm::Error::success();
}
