//===- TestModels.cpp - Configs without files -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestModels.h"

using namespace mlir::cq;

ModelConfig test::storiesConfig() {
  ModelConfig config;
  config.architecture = "llama";
  config.name = "stories260K";
  config.width = 64;
  config.hidden = 172;
  config.blocks = 5;
  config.heads = 8;
  config.kvHeads = 4;
  config.headDim = 8;
  config.vocabulary = 512;
  config.context = 512;
  config.tiedHead = true;
  config.interleavedRope = true;
  return config;
}

ModelConfig test::smolConfig() {
  ModelConfig config = storiesConfig();
  config.name = "SmolLM2";
  config.width = 576;
  config.hidden = 1536;
  config.blocks = 30;
  config.heads = 9;
  config.kvHeads = 3;
  config.headDim = 64;
  config.vocabulary = 49152;
  config.context = 8192;
  config.ropeBase = 100000;
  return config;
}

ModelConfig test::qwenConfig() {
  ModelConfig config = storiesConfig();
  config.architecture = "qwen2";
  config.name = "small qwen";
  config.blocks = 2;
  config.attentionBias = true;
  config.tiedHead = false;
  config.interleavedRope = false;
  return config;
}

ModelSource test::makeSource(const ModelConfig &config) {
  ModelSource source;
  source.config = config;
  source.embedding = "token_embd.weight";
  source.finalNorm = "output_norm.weight";
  source.head = config.tiedHead ? source.embedding : "output.weight";
  for (int64_t i = 0; i < config.blocks; ++i) {
    std::string prefix = "blk." + std::to_string(i) + ".";
    BlockTensors block;
    block.attentionNorm = prefix + "attn_norm.weight";
    block.q = prefix + "attn_q.weight";
    block.k = prefix + "attn_k.weight";
    block.v = prefix + "attn_v.weight";
    block.o = prefix + "attn_output.weight";
    block.mlpNorm = prefix + "ffn_norm.weight";
    block.gate = prefix + "ffn_gate.weight";
    block.up = prefix + "ffn_up.weight";
    block.down = prefix + "ffn_down.weight";
    if (config.attentionBias) {
      block.qBias = prefix + "attn_q.bias";
      block.kBias = prefix + "attn_k.bias";
      block.vBias = prefix + "attn_v.bias";
    }
    if (config.headNorms) {
      block.qNorm = prefix + "attn_q_norm.weight";
      block.kNorm = prefix + "attn_k_norm.weight";
    }
    source.blocks.push_back(block);
  }
  return source;
}
