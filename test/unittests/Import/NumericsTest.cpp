//===- NumericsTest.cpp - Compiled modules against plain loops ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ReferenceDecoder.h"
#include "TestModels.h"
#include "cq/Execution/CompiledModule.h"
#include "cq/Execution/ParameterTable.h"
#include "cq/Pipelines/LowerToLLVM.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/FileSystem.h"
#include "gtest/gtest.h"
#include <cmath>
#include <limits>
#include <random>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::test;

namespace {

struct Case {
  const char *name;
  ModelConfig config;
};

void PrintTo(const Case &value, std::ostream *os) { *os << value.name; }

/// Odd sizes everywhere: 3 heads a group, heads that do not add up to the
/// width.
ModelConfig small() {
  ModelConfig config = storiesConfig();
  config.name = "small";
  config.width = 20;
  config.hidden = 28;
  config.blocks = 2;
  config.heads = 6;
  config.kvHeads = 2;
  config.headDim = 6;
  config.vocabulary = 40;
  config.context = 96;
  return config;
}

std::vector<Case> cases() {
  Case interleaved{"interleaved", small()};
  Case qwen{"qwen", small()};
  qwen.config.interleavedRope = false;
  qwen.config.attentionBias = true;
  qwen.config.tiedHead = false;
  Case qwen3{"qwen3", small()};
  qwen3.config.interleavedRope = false;
  qwen3.config.headNorms = true;
  Case llama3{"llama3", small()};
  llama3.config.ropeFactors = {1.0f, 2.5f, 8.0f};
  llama3.config.kvHeads = 1;
  Case ungrouped{"ungrouped", small()};
  ungrouped.config.interleavedRope = false;
  ungrouped.config.kvHeads = 6;
  return {interleaved, qwen, qwen3, llama3, ungrouped};
}

/// Gives every tensor of the module a value, in a safetensors file.
std::unique_ptr<ParameterArchive> writeWeights(const ModuleInterface &interface,
                                               StringRef path) {
  std::mt19937 random(1);
  std::vector<SafetensorsWriter::Entry> entries;
  for (const ParameterSlot &slot : interface.parameters)
    entries.push_back({slot.name, DType::F32, slot.type.shape});
  auto writer = llvm::cantFail(SafetensorsWriter::create(path, entries));
  for (const ParameterSlot &slot : interface.parameters) {
    bool isNorm = StringRef(slot.name).contains("norm");
    std::vector<float> values(slot.type.numElements());
    for (float &value : values) // not a distribution: those differ by library
      value = (isNorm ? 1.0f : 0.0f) + (random() / 4294967296.0f - 0.5f);
    llvm::cantFail(writer->append(
        ArrayRef(reinterpret_cast<const uint8_t *>(values.data()),
                 values.size() * sizeof(float))));
  }
  llvm::cantFail(writer->commit());
  return llvm::cantFail(ParameterArchive::open(path));
}

class Numerics : public ::testing::TestWithParam<Case> {
protected:
  void SetUp() override {
    DialectRegistry registry;
    registerLowerToLLVMDialects(registry);
    context.appendDialectRegistry(registry);
    source = makeSource(GetParam().config);
    ImportOptions options;
    options.lossTokens = 33;
    auto module = importLlama(context, source, options);
    ASSERT_TRUE(module);
    ExecutionOptions execution;
    execution.useCache = false;
    execution.optLevel = 1;
    auto result = CompiledModule::compile(*module, execution);
    ASSERT_TRUE(bool(result)) << llvm::toString(result.takeError());
    compiled = std::move(*result);

    ASSERT_FALSE(
        llvm::sys::fs::createTemporaryFile("cq-numerics", "safetensors", path));
    source.archive = writeWeights(compiled->getInterface(), path);
    auto bound =
        ParameterTable::bind(compiled->getInterface(), *source.archive, 1);
    ASSERT_TRUE(bool(bound)) << llvm::toString(bound.takeError());
    table.emplace(std::move(*bound));
    for (int i = 0; i < 83; ++i)
      tokens.push_back((i * i * 7 + i * 11 + 3) % 40);
  }
  void TearDown() override { llvm::sys::fs::remove(path); }

  /// Logits of all tokens, taken in calls of these sizes.
  std::vector<float> logits(ArrayRef<int64_t> schedule);

  MLIRContext context;
  ModelSource source;
  std::unique_ptr<CompiledModule> compiled;
  std::optional<ParameterTable> table;
  SmallString<128> path;
  std::vector<int32_t> tokens;
};

std::vector<float> Numerics::logits(ArrayRef<int64_t> schedule) {
  const ModelConfig &config = GetParam().config;
  using Forward = void(void **, int32_t *, int64_t, float *, float *, float *);
  using Logits = void(void **, float *, float *);
  // Whatever the caches hold beyond what was written must not matter.
  int64_t size =
      config.blocks * config.context * config.kvHeads * config.headDim;
  std::vector<float> keys(size, std::numeric_limits<float>::quiet_NaN());
  std::vector<float> values = keys, all;
  int64_t position = 0, count = tokens.size();
  for (int64_t chunk : schedule) {
    int64_t valid = std::min(chunk, count - position);
    std::vector<int32_t> ids(chunk, 0);
    std::copy_n(tokens.begin() + position, valid, ids.begin());
    std::vector<float> hidden(chunk * config.width);
    std::vector<float> rows(chunk * config.vocabulary);
    std::string suffix = std::to_string(chunk);
    auto *forward = llvm::cantFail(compiled->get<Forward>("forward_" + suffix));
    auto *head = llvm::cantFail(compiled->get<Logits>("logits_" + suffix));
    forward(table->data(), ids.data(), position, keys.data(), values.data(),
            hidden.data());
    head(table->data(), hidden.data(), rows.data());
    all.insert(all.end(), rows.begin(),
               rows.begin() + valid * config.vocabulary);
    position += valid;
  }
  EXPECT_EQ(position, count);
  return all;
}

} // namespace

// One test, since most of its time goes into compiling.
TEST_P(Numerics, EqualTheReference) {
  std::vector<double> expected = referenceLogits(source, tokens);
  std::vector<SmallVector<int64_t>> schedules = {SmallVector<int64_t>(83, 1),
                                                 SmallVector<int64_t>(11, 8),
                                                 {64, 8, 8, 1, 1, 1},
                                                 {1, 1, 64, 8, 8, 8}};
  for (ArrayRef<int64_t> schedule : schedules) {
    std::vector<float> got = logits(schedule);
    ASSERT_EQ(got.size(), expected.size());
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      double difference = std::abs(got[i] - expected[i]);
      worst = difference <= worst ? worst : difference; // NaN counts
    }
    EXPECT_LT(worst, 1e-4) << "first call takes " << schedule.front();
  }

  auto *loss =
      llvm::cantFail(compiled->get<void(void **, int32_t *, float *)>("loss"));
  std::vector<float> got(32);
  loss(table->data(), tokens.data(), got.data());
  std::vector<double> expectedLoss = referenceLoss(expected, tokens);
  for (int i = 0; i < 32; ++i)
    EXPECT_NEAR(got[i], expectedLoss[i], 1e-4) << i;
}

INSTANTIATE_TEST_SUITE_P(Llama, Numerics, ::testing::ValuesIn(cases()),
                         [](const auto &info) {
                           return std::string(info.param.name);
                         });
