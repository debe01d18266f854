//===- BlockRunner.cpp - One transformer block at a time ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/BlockRunner.h"
#include "ModelFiles.h"
#include "cq/Execution/CompiledModule.h"
#include "cq/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>

using namespace mlir::cq;

/// `void run(parameters, hidden, result)`
using BlockFunction = void(void **, float *, float *);

namespace {
struct Entry {
  void *function = nullptr;
  bool inPlace = false; ///< the result takes the argument's place
};
} // namespace

struct BlockRunner::Implementation {
  std::unique_ptr<ObservedModel> model; ///< @divergence, observed
  std::unique_ptr<CompiledModule> code; ///< the entries of blocks
  std::vector<void *> parameters, own;
  std::vector<Entry> blocks;
  Entry last;
  int64_t width = 0;
  std::vector<float> scratch;

  llvm::Expected<Entry> find(llvm::StringRef path, llvm::StringRef name) {
    const FunctionInfo *info = code->getInterface().find(name);
    if (!info || info->arguments.size() != 1 || info->results.size() != 1 ||
        info->arguments[0].shape.size() != 2 ||
        info->arguments[0].shape[0] != model->tokens() ||
        info->results[0].shape != info->arguments[0].shape ||
        info->arguments[0].elementType != "f32")
      return llvm::createStringError(path + ": @" + name +
                                     " does not take and return the hidden "
                                     "states of a sequence; import it anew");
    if (width && width != info->arguments[0].shape[1])
      return llvm::createStringError(path + ": blocks differ in width");
    width = info->arguments[0].shape[1];
    auto address = code->lookup(name);
    if (!address)
      return address.takeError();
    return Entry{*address, info->results[0].argument.has_value()};
  }
};

BlockRunner::BlockRunner() : implementation(new Implementation) {}
BlockRunner::~BlockRunner() = default;

llvm::Expected<std::unique_ptr<BlockRunner>>
BlockRunner::create(llvm::StringRef path, const ObservedModelOptions &given) {
  std::unique_ptr<BlockRunner> runner(new BlockRunner);
  Implementation &impl = *runner->implementation;
  ObservedModelOptions options = given;
  options.function = "divergence";
  options.moments = options.blocks = true;
  options.gram = false;
  options.fisher = "none";
  auto model = ObservedModel::load(path, options);
  if (!model)
    return model.takeError();
  impl.model = std::move(*model);
  for (const ObservationInfo &info : impl.model->observations()) {
    if (info.statistic == "block")
      runner->allBlocks.push_back({info.block, {}});
    else if (info.statistic == "input" && info.block < 0 &&
             !info.weights.empty())
      runner->headName = info.weights.front();
  }
  for (const ObservationInfo &info : impl.model->observations())
    for (Block &block : runner->allBlocks)
      if (info.statistic == "input" && info.block == block.number)
        for (const std::string &weight : info.weights)
          if (!llvm::is_contained(block.weights, weight))
            block.weights.push_back(weight);
  if (runner->allBlocks.empty() || runner->headName.empty())
    return llvm::createStringError(
        path + " shows no transformer blocks or no head; give the module that "
               "`cq import` wrote");

  auto modulePath = findModule(path);
  if (!modulePath)
    return modulePath.takeError();
  ExecutionOptions execution;
  if (!options.targetCPU.empty())
    execution.targetCPU = options.targetCPU;
  execution.useCache = options.useCache;
  execution.prepare = [](OpPassManager &pm) {
    pm.addPass(createExposeBlocks());
  };
  execution.preparation = "expose-blocks";
  execution.functions = {"run_block_*", "run_final"};
  auto code = CompiledModule::compileFile(*modulePath, execution);
  if (!code)
    return code.takeError();
  impl.code = std::move(*code);
  for (const Block &block : runner->allBlocks) {
    auto entry = impl.find(path, "run_block_" + std::to_string(block.number));
    if (!entry)
      return entry.takeError();
    impl.blocks.push_back(*entry);
  }
  auto last = impl.find(path, "run_final");
  if (!last)
    return last.takeError();
  impl.last = *last;
  impl.scratch.resize(impl.model->tokens() * impl.width);
  // The numbers are those that the observed model has loaded already.
  for (const ParameterSlot &slot : impl.code->getInterface().parameters) {
    const float *numbers = impl.model->parameter(slot.name);
    if (!numbers)
      return llvm::createStringError(path + ": parameter '" + slot.name +
                                     "' of its blocks is not f32; give the "
                                     "unquantized module");
    impl.parameters.push_back(const_cast<float *>(numbers));
  }
  impl.own = impl.parameters;
  return std::move(runner);
}

int64_t BlockRunner::tokens() const { return implementation->model->tokens(); }
int64_t BlockRunner::width() const { return implementation->width; }
int64_t BlockRunner::vocabulary() const {
  return implementation->model->vocabulary();
}
const Tokenizer *BlockRunner::tokenizer() const {
  return implementation->model->tokenizer();
}
const ParameterArchive &BlockRunner::archive() const {
  return implementation->model->archive();
}
const float *BlockRunner::values(llvm::StringRef weight) const {
  return implementation->model->parameter(weight);
}

void BlockRunner::call(void *function, bool inPlace, const float *in,
                       float *out) {
  Implementation &impl = *implementation;
  // Blocks add to their argument in place.
  llvm::copy(llvm::ArrayRef(in, impl.scratch.size()), impl.scratch.begin());
  reinterpret_cast<BlockFunction *>(function)(
      impl.parameters.data(), impl.scratch.data(), inPlace ? nullptr : out);
  if (inPlace)
    llvm::copy(impl.scratch, out);
}

void BlockRunner::runBlock(size_t index, const float *in, float *out) {
  const Entry &entry = implementation->blocks[index];
  call(entry.function, entry.inPlace, in, out);
}

void BlockRunner::runFinal(const float *in, float *out) {
  call(implementation->last.function, implementation->last.inPlace, in, out);
}

llvm::Error BlockRunner::setWeight(llvm::StringRef weight,
                                   const float *numbers) {
  Implementation &impl = *implementation;
  for (auto [i, slot] : llvm::enumerate(impl.code->getInterface().parameters))
    if (slot.name == weight) {
      impl.parameters[i] = numbers ? const_cast<float *>(numbers) : impl.own[i];
      return llvm::Error::success();
    }
  return llvm::createStringError("no block reads the weight '" + weight + "'");
}

llvm::Error
BlockRunner::setSequences(llvm::ArrayRef<std::vector<int32_t>> sequences) {
  Implementation &impl = *implementation;
  states.clear();
  std::vector<float> losses(tokens()), nothing(tokens() * width());
  for (const std::vector<int32_t> &sequence : sequences) {
    auto &own = states.emplace_back();
    if (llvm::Error error = impl.model->run(
            sequence, nothing, losses,
            [&](const ObservationInfo &info,
                llvm::ArrayRef<ObservedMatrix> matrices) {
              if (info.statistic != "block" || !own.empty())
                return;
              const ObservedMatrix &x = matrices.front();
              own.emplace_back(x.data, x.data + x.rows * x.columns);
            }))
      return error;
    if (own.empty() || own.front().size() != nothing.size())
      return llvm::createStringError(
          "the hidden states that enter the first block were not observed");
    for (size_t i = 0; i < allBlocks.size(); ++i) {
      std::vector<float> next(nothing.size());
      runBlock(i, own.back().data(), next.data());
      own.push_back(std::move(next));
    }
    if (!llvm::all_of(own.back(), [](float v) { return std::isfinite(v); }))
      return llvm::createStringError("the model's hidden states are not "
                                     "finite; its weights are damaged");
  }
  return llvm::Error::success();
}
