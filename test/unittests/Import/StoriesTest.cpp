//===- StoriesTest.cpp - A real model, token for token --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/CompiledModule.h"
#include "cq/Execution/ParameterTable.h"
#include "cq/Import/LlamaImporter.h"
#include "cq/Pipelines/LowerToLLVM.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cstdlib>

using namespace mlir;
using namespace mlir::cq;

namespace {

std::vector<int32_t> integers(const llvm::json::Object &object,
                              StringRef name) {
  std::vector<int32_t> values;
  for (const llvm::json::Value &value : *object.getArray(name))
    values.push_back(*value.getAsInteger());
  return values;
}

} // namespace

// Prompts in chunks of 8 and 1, then a token at a time. The ids come from
// llama2.c's algorithm in f64.
TEST(Stories, GreedyContinuationsAreTheExpectedOnes) {
  const char *shared = std::getenv("CQ_SHARED_DIR");
  if (!shared)
    GTEST_SKIP() << "CQ_SHARED_DIR is not set";
  std::string data = std::string(shared) + "/data/";
  auto file = llvm::MemoryBuffer::getFile(data + "expected.json");
  if (!file)
    GTEST_SKIP() << data << "expected.json is absent";
  auto expected = llvm::cantFail(llvm::json::parse((*file)->getBuffer()));

  auto source = ModelSource::open(data + "stories260K.bin");
  ASSERT_TRUE(bool(source)) << llvm::toString(source.takeError());
  DialectRegistry registry;
  registerLowerToLLVMDialects(registry);
  MLIRContext context(registry);
  ImportOptions options;
  options.chunks = {1, 8};
  auto module = importLlama(context, *source, options);
  ASSERT_TRUE(module);
  ExecutionOptions execution;
  execution.useCache = false;
  auto compiled = CompiledModule::compile(*module, execution);
  ASSERT_TRUE(bool(compiled)) << llvm::toString(compiled.takeError());
  auto table =
      ParameterTable::bind((*compiled)->getInterface(), *source->archive);
  ASSERT_TRUE(bool(table)) << llvm::toString(table.takeError());

  using Forward = void(void **, int32_t *, int64_t, float *, float *, float *);
  using Logits = void(void **, float *, float *);
  const ModelConfig &config = source->config;
  std::vector<float> keys(config.blocks * config.context * config.kvHeads *
                          config.headDim);
  std::vector<float> values = keys, hidden(8 * config.width);
  std::vector<float> logits(config.vocabulary);
  auto take = [&](int32_t *ids, int64_t position, int64_t chunk) {
    auto *forward = llvm::cantFail(
        (*compiled)->get<Forward>("forward_" + std::to_string(chunk)));
    forward(table->data(), ids, position, keys.data(), values.data(),
            hidden.data());
  };
  auto *head = llvm::cantFail((*compiled)->get<Logits>("logits_1"));

  const auto *cases = expected.getAsObject()->getArray("stories260K_greedy");
  ASSERT_TRUE(cases);
  ASSERT_FALSE(cases->empty());
  for (const llvm::json::Value &value : *cases) {
    std::vector<int32_t> ids = integers(*value.getAsObject(), "ids");
    std::vector<int32_t> want = integers(*value.getAsObject(), "greedy"), got;
    int64_t position = 0, prompt = ids.size();
    for (; position + 8 < prompt; position += 8)
      take(&ids[position], position, 8);
    while (got.size() < want.size()) {
      take(&ids[position], position, 1);
      if (++position < prompt)
        continue;
      head(table->data(), hidden.data(), logits.data());
      got.push_back(std::max_element(logits.begin(), logits.end()) -
                    logits.begin());
      ids.push_back(got.back());
    }
    EXPECT_EQ(got, want);
  }
}
