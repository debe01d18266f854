//===- TinyModels.cpp - Small model files made in memory ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TinyModels.h"

using namespace mlir::cq::test;
using llvm::StringRef;

static constexpr int width = 4, hidden = 6, kv = 2, vocabulary = 12,
                     context = 16;

//===----------------------------------------------------------------------===//
// GGUF
//===----------------------------------------------------------------------===//

std::string gguf::str(StringRef text) {
  return bytesOf<uint64_t>(text.size()) + text.str();
}

std::string gguf::pair(StringRef key, uint32_t type, const std::string &value) {
  return str(key) + bytesOf<uint32_t>(type) + value;
}

std::string gguf::u32(StringRef key, uint32_t value) {
  return pair(key, U32, bytesOf(value));
}

std::string gguf::f32(StringRef key, float value) {
  return pair(key, F32, bytesOf(value));
}

std::string gguf::text(StringRef key, StringRef value) {
  return pair(key, String, str(value));
}

std::string gguf::texts(StringRef key, const std::vector<std::string> &values) {
  std::string bytes =
      bytesOf<uint32_t>(String) + bytesOf<uint64_t>(values.size());
  for (const std::string &value : values)
    bytes += str(value);
  return pair(key, Array, bytes);
}

std::string gguf::tensor(StringRef name, const std::vector<uint64_t> &dims,
                         uint32_t type, uint64_t offset) {
  return str(name) + bytesOf<uint32_t>(dims.size()) + bytesOf(dims) +
         bytesOf(type) + bytesOf(offset);
}

std::string gguf::file(uint64_t tensors, uint64_t pairs,
                       const std::string &metadata,
                       const std::string &descriptions, const std::string &data,
                       uint32_t version) {
  std::string bytes = "GGUF" + bytesOf(version) + bytesOf(tensors) +
                      bytesOf(pairs) + metadata + descriptions;
  bytes.resize((bytes.size() + 31) / 32 * 32);
  return bytes + data;
}

std::string mlir::cq::test::tinyGGUF(StringRef architecture, bool ropeFactors) {
  std::string a = architecture.str() + ".";
  std::vector<std::string> pairs = {
      gguf::text("general.architecture", architecture),
      gguf::text("general.name", "tiny"),
      gguf::u32(a + "embedding_length", width),
      gguf::u32(a + "feed_forward_length", hidden),
      gguf::u32(a + "block_count", 1),
      gguf::u32(a + "attention.head_count", 2),
      gguf::u32(a + "attention.head_count_kv", 1),
      gguf::u32(a + "context_length", context),
      gguf::f32(a + "attention.layer_norm_rms_epsilon", 1e-5f),
      gguf::f32(a + "rope.freq_base", 5000),
      gguf::text("tokenizer.ggml.model", "gpt2"),
      gguf::text("tokenizer.ggml.pre", "qwen2"),
      gguf::texts("tokenizer.ggml.tokens",
                  {"<|end|>", "a", "b", "c", "ab", "abc", "\xC4\xA0", "d"}),
      gguf::pair("tokenizer.ggml.token_type", gguf::Array,
                 bytesOf<uint32_t>(gguf::I32) + bytesOf<uint64_t>(8) +
                     bytesOf(std::vector<int32_t>{3, 1, 1, 1, 1, 1, 1, 1})),
      gguf::texts("tokenizer.ggml.merges", {"a b", "ab c"}),
      gguf::u32("tokenizer.ggml.eos_token_id", 0)};
  std::string metadata;
  for (const std::string &pair : pairs)
    metadata += pair;

  std::string descriptions, data;
  uint64_t count = 0;
  auto add = [&](StringRef name, const std::vector<uint64_t> &dims) {
    data.resize((data.size() + 31) / 32 * 32);
    descriptions += gguf::tensor(name, dims, 0, data.size());
    uint64_t elements = 1;
    for (uint64_t dim : dims)
      elements *= dim;
    data += bytesOf(std::vector<float>(elements, 0.5f + float(count++)));
  };
  add("token_embd.weight", {width, vocabulary});
  if (ropeFactors)
    add("rope_freqs.weight", {1});
  add("blk.0.attn_norm.weight", {width});
  add("blk.0.attn_q.weight", {width, width});
  add("blk.0.attn_k.weight", {width, kv});
  add("blk.0.attn_v.weight", {width, kv});
  add("blk.0.attn_output.weight", {width, width});
  if (architecture == "qwen2") {
    add("blk.0.attn_q.bias", {width});
    add("blk.0.attn_k.bias", {kv});
    add("blk.0.attn_v.bias", {kv});
  }
  if (architecture == "qwen3") {
    add("blk.0.attn_q_norm.weight", {2});
    add("blk.0.attn_k_norm.weight", {2});
  }
  add("blk.0.ffn_norm.weight", {width});
  add("blk.0.ffn_gate.weight", {width, hidden});
  add("blk.0.ffn_up.weight", {width, hidden});
  add("blk.0.ffn_down.weight", {hidden, width});
  add("output_norm.weight", {width});
  return gguf::file(count, pairs.size(), metadata, descriptions, data);
}

//===----------------------------------------------------------------------===//
// safetensors and Hugging Face
//===----------------------------------------------------------------------===//

std::string mlir::cq::test::safetensors(const std::string &header,
                                        const std::string &data) {
  return bytesOf<uint64_t>(header.size()) + header + data;
}

std::string mlir::cq::test::safetensorsOf(
    const std::vector<std::pair<std::string, std::vector<int64_t>>> &tensors) {
  std::string header;
  int64_t position = 0;
  for (const auto &[name, shape] : tensors) {
    int64_t size = 4;
    std::string extents;
    for (int64_t extent : shape) {
      size *= extent;
      extents += (extents.empty() ? "" : ",") + std::to_string(extent);
    }
    header += (header.empty() ? "{" : ",") + std::string("\"") + name +
              "\":{\"dtype\":\"F32\",\"shape\":[" + extents +
              "],\"data_offsets\":[" + std::to_string(position) + "," +
              std::to_string(position + size) + "]}";
    position += size;
  }
  return safetensors(header + "}", std::string(position, '\0'));
}

std::vector<std::pair<std::string, std::vector<int64_t>>>
mlir::cq::test::tinyHuggingFaceTensors(bool biases, bool head) {
  std::string block = "model.layers.0.";
  std::vector<std::pair<std::string, std::vector<int64_t>>> tensors = {
      {"model.embed_tokens.weight", {vocabulary, width}},
      {block + "input_layernorm.weight", {width}},
      {block + "self_attn.q_proj.weight", {width, width}},
      {block + "self_attn.k_proj.weight", {kv, width}},
      {block + "self_attn.v_proj.weight", {kv, width}},
      {block + "self_attn.o_proj.weight", {width, width}},
      {block + "post_attention_layernorm.weight", {width}},
      {block + "mlp.gate_proj.weight", {hidden, width}},
      {block + "mlp.up_proj.weight", {hidden, width}},
      {block + "mlp.down_proj.weight", {width, hidden}},
      {"model.norm.weight", {width}}};
  if (biases)
    for (auto [name, size] :
         {std::pair{"q", width}, std::pair{"k", kv}, std::pair{"v", kv}})
      tensors.push_back({block + "self_attn." + name + "_proj.bias", {size}});
  if (head)
    tensors.push_back({"lm_head.weight", {vocabulary, width}});
  return tensors;
}

std::string mlir::cq::test::tinyConfig(StringRef type,
                                       const std::string &more) {
  return "{\"model_type\":\"" + type.str() +
         "\",\"hidden_size\":4,\"intermediate_size\":6,"
         "\"num_hidden_layers\":1,\"num_attention_heads\":2,"
         "\"num_key_value_heads\":1,\"vocab_size\":12,"
         "\"max_position_embeddings\":16,\"rms_norm_eps\":1e-6,"
         "\"torch_dtype\":\"float32\",\"hidden_act\":\"silu\"" +
         more + "}";
}

//===----------------------------------------------------------------------===//
// llama2.c, tokenizers
//===----------------------------------------------------------------------===//

std::string mlir::cq::test::tinyLlama2C(int version, bool ownHead) {
  int32_t sign = version == 0 && ownHead ? -1 : 1;
  std::string bytes = bytesOf(
      std::vector<int32_t>{width, hidden, 1, 2, 1, sign * vocabulary, context});
  if (version == 1) {
    bytes = "24ka" + bytesOf<int32_t>(1) + bytes + char(!ownHead);
    bytes.resize(256);
  }
  size_t floats = vocabulary * width + 3 * width + 2 * width * width +
                  2 * kv * width + 3 * width * hidden;
  if (version == 0)
    floats += 2 * context; // head size 2: one pair, two tables
  if (ownHead)
    floats += vocabulary * width;
  std::vector<float> values(floats);
  for (size_t i = 0; i < floats; ++i)
    values[i] = float(i);
  return bytes + bytesOf(values);
}

std::string mlir::cq::test::tinyTokenizerBin() {
  std::string bytes = bytesOf<uint32_t>(6);
  auto add = [&](float score, const std::string &text) {
    bytes += bytesOf(score) + bytesOf<int32_t>(text.size()) + text;
  };
  add(0, "<unk>");
  add(0, "\n<s>\n");
  add(0, "\n</s>\n"); // six bytes, the longest
  for (int i = 0; i < 256; ++i) {
    const char *digits = "0123456789ABCDEF";
    add(0, std::string("<0x") + digits[i / 16] + digits[i % 16] + ">");
  }
  add(-1, "ab");
  add(-2, " a");
  add(-3, " ");
  add(-3, "a");
  add(-3, "b");
  return bytes;
}

std::string mlir::cq::test::tinyTokenizerJSON() {
  return R"({"version":"1.0","added_tokens":[
    {"id":5,"content":"<|im_end|>","special":true},
    {"id":6,"content":"<tool>","special":false}],
  "normalizer":null,
  "pre_tokenizer":{"type":"Sequence","pretokenizers":[
    {"type":"Digits","individual_digits":true},
    {"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]},
  "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"1":3,"Ġ":4},
    "merges":["a b"]}})";
}
