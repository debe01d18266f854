//===- GGUFConfig.cpp - Hyperparameters from GGUF metadata ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelConfigReaders.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

/// Divisors of the rope frequencies: a tensor (Llama 3), or a linear factor.
static Error readRopeFactors(const GGUFFile &file, const std::string &prefix,
                             ModelConfig &config) {
  if (const ParameterInfo *factors = file.find("rope_freqs.weight")) {
    if (factors->numElements() != config.headDim / 2)
      return fail("tensor 'rope_freqs.weight' of " + quoted(file.path()) +
                  " has " + llvm::Twine(factors->numElements()) +
                  " elements for heads of size " + llvm::Twine(config.headDim) +
                  ", not half of it");
    config.ropeFactors.resize(factors->numElements());
    return ParameterArchive::readAsF32(*factors, config.ropeFactors.data(), 1);
  }
  StringRef kind = "none";
  double factor = 1;
  if (Error error = file.read(prefix + "rope.scaling.type", kind))
    return error;
  // Files from before `rope.scaling` say it in one number.
  if (Error error = file.read(prefix + "rope.scale_linear", factor))
    return error;
  if (Error error = file.read(prefix + "rope.scaling.factor", factor))
    return error;
  if (kind != "none" && kind != "linear")
    return fail(quoted(file.path()) + " wants rope scaling of the kind " +
                quoted(kind) + "; only 'linear' and rope_freqs are known");
  if (factor != 1 && config.headDim > 0 && config.headDim <= (1 << 14))
    config.ropeFactors.assign(config.headDim / 2, float(factor));
  return Error::success();
}

llvm::Expected<ModelConfig> mlir::cq::readGGUFConfig(const GGUFFile &file) {
  ModelConfig config;
  StringRef architecture, name;
  if (Error error =
          file.read("general.architecture", architecture, /*required=*/true))
    return std::move(error);
  bool known = llvm::StringSwitch<bool>(architecture)
                   .Cases({"llama", "qwen2", "qwen3"}, true)
                   .Default(false);
  if (!known)
    return fail(quoted(file.path()) + " holds a model of the architecture " +
                quoted(architecture) +
                "; llama (which Mistral files use, too), qwen2 and qwen3 are "
                "known");
  if (Error error = file.read("general.name", name))
    return std::move(error);
  config.architecture = architecture.str();
  config.name = name.str();

  std::string prefix = config.architecture + ".";
  int64_t experts = 0, rotated = 0, valueSize = 0, window = 0;
  struct Field {
    const char *key;
    int64_t *value;
    bool required;
  };
  for (Field field : {Field{"embedding_length", &config.width, true},
                      {"feed_forward_length", &config.hidden, true},
                      {"block_count", &config.blocks, true},
                      {"attention.head_count", &config.heads, true},
                      {"attention.head_count_kv", &config.kvHeads, false},
                      {"attention.key_length", &config.headDim, false},
                      {"attention.value_length", &valueSize, false},
                      {"attention.sliding_window", &window, false},
                      {"context_length", &config.context, true},
                      {"vocab_size", &config.vocabulary, false},
                      {"rope.dimension_count", &rotated, false},
                      {"expert_count", &experts, false}})
    if (Error error =
            file.read(prefix + field.key, *field.value, field.required))
      return std::move(error);
  if (Error error = file.read(prefix + "attention.layer_norm_rms_epsilon",
                              config.epsilon, /*required=*/true))
    return std::move(error);
  if (Error error = file.read(prefix + "rope.freq_base", config.ropeBase))
    return std::move(error);

  if (experts > 0)
    return fail(quoted(file.path()) + " holds a mixture of " +
                llvm::Twine(experts) + " experts; dense models only are known");
  if (config.kvHeads == 0)
    config.kvHeads = config.heads;
  if (config.headDim == 0 && config.heads > 0)
    config.headDim = config.width / config.heads;
  if ((valueSize != 0 && valueSize != config.headDim) ||
      (rotated != 0 && rotated != config.headDim))
    return fail(quoted(file.path()) + " has heads of size " +
                llvm::Twine(config.headDim) + " with " +
                llvm::Twine(valueSize) + " values and " + llvm::Twine(rotated) +
                " rotated; only equal sizes are known");
  if (window > 0)
    config.context = std::min(config.context, window);
  if (config.vocabulary == 0)
    if (const ParameterInfo *embedding = file.find("token_embd.weight"))
      config.vocabulary = embedding->shape.front();
  if (Error error = readRopeFactors(file, prefix, config))
    return std::move(error);
  config.attentionBias = file.find("blk.0.attn_q.bias") != nullptr;
  config.tiedHead = file.find("output.weight") == nullptr;
  config.headNorms = config.architecture == "qwen3";
  // The converter permutes q and k of llama, so that pairs are neighbours.
  config.interleavedRope = config.architecture == "llama";
  return config;
}

ModelConfig mlir::cq::readLlama2CConfig(const Llama2CFile &file) {
  const Llama2CHeader &header = file.header();
  ModelConfig config;
  config.architecture = "llama";
  config.width = header.width;
  config.hidden = header.hidden;
  config.blocks = header.blocks;
  config.heads = header.heads;
  config.kvHeads = header.kvHeads;
  config.headDim = header.width / header.heads;
  config.vocabulary = header.vocabulary;
  config.context = header.context;
  config.tiedHead = header.sharedHead;
  config.interleavedRope = true;
  return config;
}
