//===- ExportConfig.cpp - config.json of an exported model ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExportConfig.h"
#include "cq/Model/Tokenizer.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/MapVector.h"
#include <cmath>
#include <map>

using namespace mlir::cq;
using llvm::StringRef;
using llvm::json::Array;
using llvm::json::Object;

/// The scaling whose factors these are: linear, or Llama 3's with its published
/// numbers (GGUF keeps only the factors).
static llvm::Expected<Object> ropeScalingOf(const ModelConfig &config) {
  const std::vector<float> &factors = config.ropeFactors;
  if (llvm::all_equal(factors))
    return Object{{"rope_type", "linear"}, {"factor", double(factors.front())}};
  std::vector<RopeScaling> known;
  if (config.ropeScaling)
    known.push_back(*config.ropeScaling);
  for (double factor : {8.0, 32.0, 16.0, 4.0})
    known.push_back({factor, 1, 4, 8192});
  for (const RopeScaling &scaling : known) {
    std::vector<float> computed =
        ropeFactorsOf(scaling, config.ropeBase, config.headDim);
    bool same = computed.size() == factors.size();
    for (size_t i = 0; same && i < factors.size(); ++i)
      same = std::abs(computed[i] - factors[i]) <= 1e-3f * factors[i];
    if (same)
      return Object{
          {"rope_type", "llama3"},
          {"factor", scaling.factor},
          {"low_freq_factor", scaling.lowFrequencyFactor},
          {"high_freq_factor", scaling.highFrequencyFactor},
          {"original_max_position_embeddings", scaling.originalContext}};
  }
  return fail("the model's rope factors are neither linear nor Llama 3's, and "
              "config.json has no words for others; export to GGUF");
}

static llvm::Expected<Object> modelConfig(const ExportInput &input) {
  const ModelConfig &c = input.config;
  StringRef family = c.architecture == "qwen2"     ? "Qwen2"
                     : c.architecture == "qwen3"   ? "Qwen3"
                     : c.architecture == "mistral" ? "Mistral"
                                                   : "Llama";
  Object config{{"architectures", Array{(family + "ForCausalLM").str()}},
                {"model_type", family.lower()},
                {"hidden_size", c.width},
                {"intermediate_size", c.hidden},
                {"num_hidden_layers", c.blocks},
                {"num_attention_heads", c.heads},
                {"num_key_value_heads", c.kvHeads},
                {"head_dim", c.headDim},
                {"vocab_size", c.vocabulary},
                {"max_position_embeddings", c.context},
                {"rms_norm_eps", c.epsilon},
                {"rope_theta", c.ropeBase},
                {"tie_word_embeddings", c.tiedHead},
                {"hidden_act", "silu"},
                {"torch_dtype", "float16"}};
  if (family == "Llama" || family == "Qwen3")
    config["attention_bias"] = c.attentionBias;
  if (family == "Mistral")
    config["sliding_window"] = nullptr;
  if (!c.name.empty())
    config["_name_or_path"] = c.name;
  if (!c.ropeFactors.empty()) {
    auto scaling = ropeScalingOf(c);
    if (!scaling)
      return scaling.takeError();
    config["rope_scaling"] = std::move(*scaling);
  }
  if (!input.tokenizer.empty()) {
    if (auto tokenizer = Tokenizer::open(input.tokenizer)) {
      if ((*tokenizer)->bos() >= 0)
        config["bos_token_id"] = int64_t((*tokenizer)->bos());
      if ((*tokenizer)->eos() >= 0)
        config["eos_token_id"] = int64_t((*tokenizer)->eos());
    } else {
      llvm::consumeError(tokenizer.takeError());
    }
  }
  return config;
}

/// Linear layers of the blocks by scheme (null: kept), most frequent first.
using ByScheme =
    std::vector<std::pair<const Scheme *, std::vector<std::string>>>;

static ByScheme groupLayers(llvm::ArrayRef<ModelTensor> tensors) {
  std::map<std::string, std::pair<const Scheme *, std::vector<std::string>>>
      groups;
  for (const ModelTensor &tensor : tensors) {
    StringRef module = tensor.name;
    bool matrix = tensor.entry || tensor.kept->shape.size() == 2;
    if (!module.consume_back(".weight") || !matrix ||
        !module.starts_with("model.layers."))
      continue;
    const Scheme *scheme = tensor.entry ? &tensor.entry->scheme : nullptr;
    auto &group = groups[scheme ? scheme->str() : ""];
    group.first = scheme;
    group.second.push_back(module.str());
  }
  ByScheme result;
  for (auto &entry : groups)
    result.push_back(std::move(entry.second));
  llvm::sort(result, [](const auto &a, const auto &b) {
    return std::make_tuple(a.first == nullptr, b.second.size(), a.second[0]) <
           std::make_tuple(b.first == nullptr, a.second.size(), b.second[0]);
  });
  return result;
}

static Object gptqScheme(const Scheme &scheme) {
  return Object{{"bits", int64_t(scheme.bits)},
                {"group_size", scheme.group ? scheme.group : int64_t(-1)},
                {"sym", !scheme.hasZeroPoints()},
                {"desc_act", false}};
}

static llvm::Expected<Object> gptqConfig(const ByScheme &groups) {
  Object config = gptqScheme(*groups.front().first);
  config["quant_method"] = "gptq";
  config["lm_head"] = false;
  bool affine = groups.front().first->hasZeroPoints();
  config["checkpoint_format"] = affine ? "gptq_v2" : "gptq";
  Object dynamic;
  for (const auto &[scheme, modules] : llvm::ArrayRef(groups).drop_front())
    for (const std::string &module : modules) {
      std::string pattern = "^";
      for (char c : module)
        pattern += c == '.' ? std::string("\\.") : std::string(1, c);
      pattern += '$';
      if (!scheme) {
        dynamic["-:" + pattern] = Object{};
        continue;
      }
      if (scheme->hasZeroPoints() != affine)
        return fail("the plan has symmetric and affine weights (" +
                    quoted(module) +
                    "), which one GPTQ checkpoint stores differently; quantize "
                    "with one grid or use --to=compressed-tensors");
      dynamic["+:" + pattern] = gptqScheme(*scheme);
    }
  if (!dynamic.empty())
    config["dynamic"] = std::move(dynamic);
  return config;
}

static Object compressedConfig(const ByScheme &groups) {
  Object byGroup;
  Array ignored{"lm_head"};
  unsigned number = 0;
  for (const auto &[scheme, modules] : groups) {
    if (!scheme) {
      for (const std::string &module : modules)
        ignored.push_back(module);
      continue;
    }
    Array targets;
    if (groups.size() == 1 || (groups.size() == 2 && !groups[1].first))
      targets.push_back("Linear");
    else
      for (const std::string &module : modules)
        targets.push_back(module);
    Object weights{{"num_bits", int64_t(scheme->bits)},
                   {"type", "int"},
                   {"symmetric", !scheme->hasZeroPoints()},
                   {"strategy", scheme->group ? "group" : "channel"},
                   {"group_size", nullptr},
                   {"dynamic", false},
                   {"actorder", nullptr},
                   {"block_structure", nullptr},
                   {"observer", "minmax"},
                   {"observer_kwargs", Object{}}};
    if (scheme->group)
      weights["group_size"] = scheme->group;
    byGroup["group_" + std::to_string(number++)] =
        Object{{"targets", std::move(targets)},
               {"weights", std::move(weights)},
               {"input_activations", nullptr},
               {"output_activations", nullptr},
               {"format", "pack-quantized"}};
  }
  return Object{{"quant_method", "compressed-tensors"},
                {"format", "pack-quantized"},
                {"quantization_status", "compressed"},
                {"global_compression_ratio", nullptr},
                {"kv_cache_scheme", nullptr},
                {"ignore", std::move(ignored)},
                {"config_groups", std::move(byGroup)}};
}

/// Our own: the plan's facts of each weight, under the name it has here.
static Object ownConfig(const ExportInput &input,
                        llvm::ArrayRef<ModelTensor> tensors) {
  Object weights;
  for (const ModelTensor &tensor : tensors) {
    if (!tensor.entry)
      continue;
    const PlanEntry &entry = *tensor.entry;
    Object weight{{"shape", Array{entry.n, entry.k}},
                  {"scheme", entry.scheme.str()}};
    if (entry.cherries.form != CherryForm::None)
      weight["cherries"] =
          Object{{"form", stringifyCherryForm(entry.cherries.form)},
                 {"count", entry.cherries.count}};
    if (entry.wide)
      weight["wide_rows"] = Object{{"count", entry.wide.count},
                                   {"bits", int64_t(entry.wide.bits)}};
    weights[tensor.name] = std::move(weight);
  }
  return Object{{"quant_method", "cq"},
                {"version", 1},
                {"interleaved_rope", input.config.interleavedRope},
                {"weights", std::move(weights)}};
}

llvm::Expected<Object>
mlir::cq::checkpointConfig(const ExportInput &input,
                           llvm::ArrayRef<ModelTensor> tensors,
                           CheckpointForm form) {
  auto config = modelConfig(input);
  if (!config)
    return config.takeError();
  if (form == CheckpointForm::CQ) {
    (*config)["quantization_config"] = ownConfig(input, tensors);
    return config;
  }
  ByScheme groups = groupLayers(tensors);
  if (groups.empty() || !groups.front().first)
    return fail("no linear layer of " + quoted(input.archive.path()) +
                " is quantized; there is nothing to export");
  if (form == CheckpointForm::CompressedTensors) {
    (*config)["quantization_config"] = compressedConfig(groups);
    return config;
  }
  auto gptq = gptqConfig(groups);
  if (!gptq)
    return gptq.takeError();
  (*config)["quantization_config"] = std::move(*gptq);
  return config;
}
