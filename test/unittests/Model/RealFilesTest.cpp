//===- RealFilesTest.cpp - The models of the shared folder ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestFiles.h"
#include "cq/Model/GGUF.h"
#include "cq/Model/ModelSource.h"

using namespace mlir::cq;
using namespace mlir::cq::test;

static ModelSource openOrFail(const std::string &path) {
  auto source = ModelSource::open(path);
  if (!source) {
    ADD_FAILURE() << llvm::toString(source.takeError());
    return {};
  }
  return std::move(*source);
}

static std::vector<float> valuesOf(const ModelSource &source,
                                   llvm::StringRef name) {
  const ParameterInfo *info = source.archive->find(name);
  if (!info)
    return {};
  std::vector<float> values(info->numElements());
  EXPECT_FALSE(bool(ParameterArchive::readAsF32(*info, values.data())));
  return values;
}

TEST(RealFiles, BothLlama2CVersionsHoldTheSameModel) {
  std::string folder = environment("CQ_SHARED_DIR") + "/data/";
  if (!llvm::sys::fs::exists(folder + "stories260K.bin"))
    GTEST_SKIP() << "CQ_SHARED_DIR has no stories260K.bin";
  ModelSource v0 = openOrFail(folder + "stories260K.bin");
  ModelSource v1 = openOrFail(folder + "stories260K.v1.bin");
  ASSERT_TRUE(v0.archive && v1.archive);
  for (const ModelSource *source : {&v0, &v1}) {
    const ModelConfig &c = source->config;
    EXPECT_EQ(c.width, 64);
    EXPECT_EQ(c.hidden, 172);
    EXPECT_EQ(c.blocks, 5);
    EXPECT_EQ(c.heads, 8);
    EXPECT_EQ(c.kvHeads, 4);
    EXPECT_EQ(c.headDim, 8);
    EXPECT_EQ(c.vocabulary, 512);
    EXPECT_EQ(c.context, 512);
    EXPECT_TRUE(c.tiedHead);
    EXPECT_TRUE(c.interleavedRope);
    EXPECT_EQ(source->head, source->embedding);
  }
  ASSERT_EQ(v0.archive->parameters().size(), v1.archive->parameters().size());
  EXPECT_EQ(v0.archive->parameters().size(), 2u + 5 * 9);
  for (const ParameterInfo &info : v0.archive->parameters())
    EXPECT_EQ(valuesOf(v0, info.name), valuesOf(v1, info.name)) << info.name;
}

TEST(RealFiles, SmolLM2) {
  std::string path = environment("CQ_SMOLLM2_GGUF");
  if (path.empty() || !llvm::sys::fs::exists(path))
    GTEST_SKIP() << "CQ_SMOLLM2_GGUF is not set";
  ModelSource source = openOrFail(path);
  ASSERT_TRUE(source.archive);
  const ModelConfig &c = source.config;
  EXPECT_EQ(c.architecture, "llama");
  EXPECT_EQ(c.width, 576);
  EXPECT_EQ(c.hidden, 1536);
  EXPECT_EQ(c.blocks, 30);
  EXPECT_EQ(c.heads, 9);
  EXPECT_EQ(c.kvHeads, 3);
  EXPECT_EQ(c.headDim, 64);
  EXPECT_EQ(c.vocabulary, 49152);
  EXPECT_EQ(c.context, 8192);
  EXPECT_EQ(c.ropeBase, 100000.0);
  EXPECT_FLOAT_EQ(c.epsilon, 1e-5f);
  EXPECT_TRUE(c.tiedHead);
  EXPECT_TRUE(c.interleavedRope);
  EXPECT_FALSE(c.attentionBias);
  EXPECT_EQ(source.archive->parameters().size(), 272u);
  EXPECT_EQ(source.archive->metadata("tokenizer.ggml.pre"), "smollm");
  // Sums of the decoded tensors in f64, by the `gguf` package from PyPI.
  for (auto [name, sum, squares] :
       {std::tuple{"token_embd.weight", -15353.04449415207, 520415.71544763993},
        {"blk.0.attn_q.weight", 59.22322082519531, 26749.573275085306},
        {"blk.29.ffn_down.weight", 49.83570861816406, 29667.074891592143},
        {"output_norm.weight", 1038.33203125, 1921.7355499267578}}) {
    double total = 0, energy = 0;
    for (float value : valuesOf(source, name)) {
      total += value;
      energy += double(value) * value;
    }
    EXPECT_NEAR(total, sum, 1e-6 * std::abs(sum)) << name;
    EXPECT_NEAR(energy, squares, 1e-6 * squares) << name;
  }
}
