//===- HuggingFaceConfig.cpp - Hyperparameters from config.json -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelConfigReaders.h"
#include "cq/Model/PackedCheckpoint.h"
#include "cq/Support/BoundedJSON.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;
using llvm::json::Object;

namespace {
/// Typed reads of one JSON object: absent and null leave the value as it is.
class Fields {
public:
  Fields(const Object &object, StringRef path) : object(object), path(path) {}

  const llvm::json::Value *get(StringRef key) const {
    const llvm::json::Value *value = object.get(key);
    return value && value->kind() != llvm::json::Value::Null ? value : nullptr;
  }
  Error read(StringRef key, int64_t &out, bool required = false) const {
    return convert(key, required, "an integer",
                   [&](const llvm::json::Value &value) {
                     auto number = value.getAsInteger();
                     out = number.value_or(out);
                     return number.has_value();
                   });
  }
  Error read(StringRef key, double &out) const {
    return convert(key, false, "a number", [&](const llvm::json::Value &value) {
      auto number = value.getAsNumber();
      out = number.value_or(out);
      return number.has_value();
    });
  }
  Error read(StringRef key, bool &out) const {
    return convert(key, false, "a bool", [&](const llvm::json::Value &value) {
      auto flag = value.getAsBoolean();
      out = flag.value_or(out);
      return flag.has_value();
    });
  }
  Error read(StringRef key, std::string &out, bool required = false) const {
    return convert(key, required, "a string",
                   [&](const llvm::json::Value &value) {
                     auto text = value.getAsString();
                     if (text)
                       out = text->str();
                     return text.has_value();
                   });
  }

private:
  template <typename Take>
  Error convert(StringRef key, bool required, const char *kind,
                Take take) const {
    const llvm::json::Value *value = get(key);
    if (!value)
      return required ? fail(quoted(path) + " has no " + quoted(key) +
                             ", which the model needs")
                      : Error::success();
    if (take(*value))
      return Error::success();
    return fail(quoted(key) + " of " + quoted(path) + " is not " + kind);
  }

  const Object &object;
  StringRef path;
};
} // namespace

/// `rope_scaling`, or `rope_parameters` of newer files, which also holds the
/// base.
static Error readRope(const Fields &top, const Object &object, StringRef path,
                      ModelConfig &config) {
  if (Error error = top.read("rope_theta", config.ropeBase))
    return error;
  const Object *scaling = object.getObject("rope_scaling");
  if (!scaling)
    scaling = object.getObject("rope_parameters");
  if (!scaling)
    return top.get("rope_scaling") || top.get("rope_parameters")
               ? fail("the rope scaling of " + quoted(path) +
                      " is no JSON object")
               : Error::success();
  Fields fields(*scaling, path);
  std::string kind = "default";
  if (Error error = fields.read("rope_theta", config.ropeBase))
    return error;
  if (Error error = fields.read("type", kind)) // the older spelling
    return error;
  if (Error error = fields.read("rope_type", kind))
    return error;
  if (kind == "default")
    return Error::success();
  RopeScaling rope;
  if (Error error = fields.read("factor", rope.factor))
    return error;
  if (!(rope.factor >= 1 && rope.factor <= 1e6))
    return fail("the rope scaling of " + quoted(path) +
                " has a factor outside 1 to 10^6");
  if (config.headDim <= 0 || config.headDim > (1 << 14))
    return Error::success(); // refused by ModelConfig::check
  if (kind == "linear") {
    config.ropeFactors.assign(config.headDim / 2, float(rope.factor));
    return Error::success();
  }
  if (kind != "llama3")
    return fail(quoted(path) + " wants rope scaling of the kind " +
                quoted(kind) + "; 'linear' and 'llama3' are known");
  if (Error error = fields.read("low_freq_factor", rope.lowFrequencyFactor))
    return error;
  if (Error error = fields.read("high_freq_factor", rope.highFrequencyFactor))
    return error;
  if (Error error =
          fields.read("original_max_position_embeddings", rope.originalContext))
    return error;
  if (rope.originalContext <= 0 || !(rope.lowFrequencyFactor > 0) ||
      !(rope.highFrequencyFactor > rope.lowFrequencyFactor))
    return fail("the rope scaling of " + quoted(path) +
                " needs 0 < low_freq_factor < high_freq_factor and a positive "
                "original context");
  if (!(config.ropeBase > 1))
    return Error::success(); // refused by ModelConfig::check
  config.ropeScaling = rope;
  config.ropeFactors = ropeFactorsOf(rope, config.ropeBase, config.headDim);
  return Error::success();
}

llvm::Expected<ModelConfig>
mlir::cq::readHuggingFaceConfig(StringRef path,
                                const ParameterArchive &archive) {
  auto buffer = mapFile(path);
  if (!buffer)
    return fail(llvm::toString(buffer.takeError()) +
                "; safetensors need a config.json beside them");
  auto json = parseBoundedJSON((*buffer)->getBuffer(), path);
  if (!json)
    return json.takeError();
  const Object *object = json->getAsObject();
  if (!object)
    return fail(quoted(path) + " is no JSON object");
  Fields fields(*object, path);
  ModelConfig config;
  if (Error error = fields.read("model_type", config.architecture,
                                /*required=*/true))
    return std::move(error);
  bool known = llvm::StringSwitch<bool>(config.architecture)
                   .Cases({"llama", "mistral", "qwen2", "qwen3"}, true)
                   .Default(false);
  if (!known)
    return fail(quoted(path) + " describes a model of the type " +
                quoted(config.architecture) +
                "; llama, mistral, qwen2 and qwen3 are known");
  if (const llvm::json::Value *value = fields.get("quantization_config")) {
    const Object *quantized = value->getAsObject();
    if (!quantized || !isPackedCheckpoint(*quantized))
      return fail(quoted(path) +
                  " describes a model quantized in a way that is not read; "
                  "gptq, awq (gemm), compressed-tensors (pack-quantized) and "
                  "cq are, or give the original weights");
    if (quantized->getString("quant_method").value_or("") == "cq")
      config.interleavedRope =
          quantized->getBoolean("interleaved_rope").value_or(false);
  }

  bool mlpBias = false, useWindow = config.architecture == "mistral";
  int64_t window = 0;
  std::string activation = "silu";
  config.epsilon = 1e-6; // the default of the four classes
  config.context = 2048;
  struct Field {
    const char *key;
    int64_t *value;
    bool required;
  };
  for (Field field : {Field{"hidden_size", &config.width, true},
                      {"intermediate_size", &config.hidden, true},
                      {"num_hidden_layers", &config.blocks, true},
                      {"num_attention_heads", &config.heads, true},
                      {"num_key_value_heads", &config.kvHeads, false},
                      {"head_dim", &config.headDim, false},
                      {"vocab_size", &config.vocabulary, true},
                      {"max_position_embeddings", &config.context, false},
                      {"sliding_window", &window, false}})
    if (Error error = fields.read(field.key, *field.value, field.required))
      return std::move(error);
  for (auto [key, value] : {std::pair{"mlp_bias", &mlpBias},
                            {"use_sliding_window", &useWindow},
                            {"attention_bias", &config.attentionBias},
                            {"tie_word_embeddings", &config.tiedHead}})
    if (Error error = fields.read(key, *value))
      return std::move(error);
  if (Error error = fields.read("rms_norm_eps", config.epsilon))
    return std::move(error);
  if (Error error = fields.read("hidden_act", activation))
    return std::move(error);
  if (Error error = fields.read("_name_or_path", config.name))
    return std::move(error);
  if (activation != "silu" && activation != "swish")
    return fail(quoted(path) + " wants the activation " + quoted(activation) +
                "; 'silu' is known");
  if (mlpBias)
    return fail(quoted(path) + " wants biases in the feed-forward layers, "
                               "which are not known");
  if (config.kvHeads == 0)
    config.kvHeads = config.heads;
  if (config.headDim == 0 && config.heads > 0)
    config.headDim =
        config.architecture == "qwen3" ? 128 : config.width / config.heads;
  // Within the window full attention and windowed attention are the same.
  if (useWindow && window > 0)
    config.context = std::min(config.context, window);
  if (config.architecture == "qwen2")
    config.attentionBias = true;
  config.headNorms = config.architecture == "qwen3";
  config.tiedHead |= archive.find("lm_head.weight") == nullptr;
  if (Error error = readRope(fields, *object, path, config))
    return std::move(error);
  return config;
}
