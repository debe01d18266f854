//===- ModelSourceTest.cpp - Configurations and roles of tensors ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/ModelSource.h"
#include "TinyModels.h"

using namespace mlir::cq;
using namespace mlir::cq::test;

static std::string messageOf(const std::string &path,
                             const std::string &tokenizer = "") {
  auto source = ModelSource::open(path, tokenizer);
  return source ? "" : llvm::toString(source.takeError());
}
#define EXPECT_MESSAGE(path, part)                                             \
  EXPECT_NE(messageOf(path).find(part), std::string::npos) << messageOf(path)

static std::string replaced(std::string text, const std::string &from,
                            const std::string &to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(ModelSource, TinyGGUF) {
  TemporaryFolder folder;
  for (llvm::StringRef architecture : {"llama", "qwen2", "qwen3"})
    for (bool ropeFactors : {false, true}) {
      std::string path = folder.write("m", tinyGGUF(architecture, ropeFactors));
      ModelSource source = llvm::cantFail(ModelSource::open(path));
      const ModelConfig &c = source.config;
      EXPECT_EQ(c.architecture, architecture);
      EXPECT_EQ(c.name, "tiny");
      EXPECT_EQ(c.width, 4);
      EXPECT_EQ(c.hidden, 6);
      EXPECT_EQ(c.headDim, 2);
      EXPECT_EQ(c.vocabulary, 12); // from the embedding
      EXPECT_EQ(c.ropeBase, 5000);
      EXPECT_EQ(c.interleavedRope, architecture == "llama");
      EXPECT_EQ(c.attentionBias, architecture == "qwen2");
      EXPECT_EQ(c.ropeFactors,
                ropeFactors ? std::vector<float>{1.5f} : std::vector<float>{});
      EXPECT_TRUE(c.tiedHead);
      EXPECT_EQ(source.head, "token_embd.weight");
      ASSERT_EQ(source.blocks.size(), 1u);
      EXPECT_EQ(source.blocks[0].down, "blk.0.ffn_down.weight");
      EXPECT_EQ(c.headNorms, architecture == "qwen3");
      EXPECT_EQ(source.blocks[0].kNorm,
                architecture == "qwen3" ? "blk.0.attn_k_norm.weight" : "");
      EXPECT_EQ(source.blocks[0].qBias,
                architecture == "qwen2" ? "blk.0.attn_q.bias" : "");
      ASSERT_TRUE(source.tokenizer) << source.tokenizerNote;
      EXPECT_EQ(source.tokenizer->encode("abcab"),
                (std::vector<int32_t>{5, 4}));
      EXPECT_EQ(source.tokenizer->encode("ab<|end|>"),
                (std::vector<int32_t>{4, 0}));
    }
}

TEST(ModelSource, GGUFThatIsNoKnownModel) {
  TemporaryFolder folder;
  std::string good = tinyGGUF();
  auto written = [&](const std::string &from, const std::string &to) {
    return folder.write("bad.gguf", replaced(good, from, to));
  };
  EXPECT_MESSAGE(written("\5\0\0\0\0\0\0\0llama", "\5\0\0\0\0\0\0\0llama"), "");
  std::string architecture = gguf::text("general.architecture", "llama");
  EXPECT_MESSAGE(
      folder.write("bad.gguf",
                   replaced(good, architecture,
                            gguf::text("general.architecture", "bloom"))),
      "'bloom'");
  EXPECT_MESSAGE(written(gguf::u32("llama.block_count", 1),
                         gguf::u32("llama.block_count", 2)),
                 "'blk.1.attn_norm.weight' is missing");
  EXPECT_MESSAGE(written(gguf::u32("llama.block_count", 1),
                         gguf::u32("llama.block_count", 1000000000)),
                 "not in 1 to 4096");
  EXPECT_MESSAGE(written(gguf::u32("llama.embedding_length", 4),
                         gguf::u32("llama.embedding_length", 8)),
                 "'token_embd.weight'");
  EXPECT_MESSAGE(written(gguf::u32("llama.attention.head_count", 2),
                         gguf::u32("llama.attention.head_count", 0)),
                 "number of heads is 0");
  EXPECT_MESSAGE(written(gguf::u32("llama.attention.head_count_kv", 1),
                         gguf::u32("llama.attention.head_count_kv", 3)),
                 "no multiple");
  EXPECT_MESSAGE(written(gguf::u32("llama.context_length", 16),
                         gguf::f32("llama.context_length", 16)),
                 "not an integer");
  EXPECT_MESSAGE(written(gguf::f32("llama.rope.freq_base", 5000),
                         gguf::f32("llama.rope.freq_base", 0)),
                 "rope base");
  EXPECT_MESSAGE(written(gguf::u32("llama.context_length", 16),
                         gguf::u32("llama.expert_count", 8) +
                             gguf::u32("llama.context_length", 16)),
                 ""); // one pair too many: the tensors are misread
  EXPECT_MESSAGE(written("blk.0.attn_norm.weight", "blk.0.attn_xorm.weight"),
                 "'blk.0.attn_norm.weight' is missing");
}

TEST(ModelSource, HuggingFaceFolder) {
  TemporaryFolder folder;
  folder.write("config.json",
               tinyConfig("llama",
                          ",\"tie_word_embeddings\":true,\"rope_theta\":500000,"
                          "\"head_dim\":2,\"rope_scaling\":{"
                          "\"rope_type\":\"llama3\",\"factor\":8.0,"
                          "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
                          "\"original_max_position_embeddings\":8192}"));
  folder.write("model.safetensors",
               safetensorsOf(tinyHuggingFaceTensors(false, false)));
  folder.write("tokenizer.json", tinyTokenizerJSON());
  for (const std::string &path :
       {folder.path.str().str(), folder.file("model.safetensors")}) {
    ModelSource source = llvm::cantFail(ModelSource::open(path));
    EXPECT_FALSE(source.config.interleavedRope);
    EXPECT_TRUE(source.config.tiedHead);
    EXPECT_EQ(source.config.epsilon, 1e-6);
    EXPECT_EQ(source.config.ropeBase, 500000);
    ASSERT_TRUE(source.config.ropeScaling);
    EXPECT_EQ(source.config.ropeFactors, std::vector<float>{1});
    EXPECT_EQ(source.blocks[0].gate, "model.layers.0.mlp.gate_proj.weight");
    ASSERT_TRUE(source.tokenizer) << source.tokenizerNote;
    EXPECT_EQ(source.tokenizer->encode("ab1 a<|im_end|>"),
              (std::vector<int32_t>{2, 3, 4, 0, 5}));
    EXPECT_EQ(source.tokenizer->chatTemplate(), ChatTemplate::None);
    EXPECT_TRUE(source.tokenizer->isEndOfGeneration(5));
  }
}

TEST(ModelSource, HuggingFaceVariants) {
  TemporaryFolder folder;
  auto write = [&](const std::string &config, bool biases, bool head) {
    folder.write("config.json", config);
    folder.write("model.safetensors",
                 safetensorsOf(tinyHuggingFaceTensors(biases, head)));
    return folder.path.str().str();
  };
  ModelSource qwen =
      llvm::cantFail(ModelSource::open(write(tinyConfig("qwen2"), true, true)));
  EXPECT_TRUE(qwen.config.attentionBias);
  EXPECT_EQ(qwen.head, "lm_head.weight");
  EXPECT_EQ(qwen.blocks[0].vBias, "model.layers.0.self_attn.v_proj.bias");
  EXPECT_FALSE(qwen.tokenizer);
  EXPECT_NE(qwen.tokenizerNote.find("no tokenizer"), std::string::npos);

  ModelSource mistral = llvm::cantFail(ModelSource::open(
      write(tinyConfig("mistral", ",\"sliding_window\":8"), false, true)));
  EXPECT_EQ(mistral.config.context, 8);
  // Tied: the second copy of the head stays unused.
  ModelSource tied = llvm::cantFail(ModelSource::open(write(
      tinyConfig("llama", ",\"tie_word_embeddings\":true"), false, true)));
  EXPECT_EQ(tied.head, tied.embedding);
  ModelSource linear = llvm::cantFail(ModelSource::open(
      write(tinyConfig("llama",
                       ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}"),
            false, false)));
  EXPECT_EQ(linear.config.ropeFactors, std::vector<float>{2});

  EXPECT_MESSAGE(write(tinyConfig("llama"), true, false), "has no place");
  EXPECT_MESSAGE(write(tinyConfig("qwen2"), false, false), "is missing");
  EXPECT_MESSAGE(write(tinyConfig("qwen3", ",\"head_dim\":2"), false, false),
                 "'model.layers.0.self_attn.q_norm.weight' is missing");
  EXPECT_MESSAGE(write(tinyConfig("gemma"), false, false), "'gemma'");
  EXPECT_MESSAGE(write("{}", false, false), "'model_type'");
  EXPECT_MESSAGE(write("[]", false, false), "no JSON object");
  EXPECT_MESSAGE(write(std::string(100000, '['), false, false), "nests");
  EXPECT_MESSAGE(
      write(tinyConfig("llama", ",\"rope_scaling\":{\"type\":\"yarn\"}"), false,
            false),
      "'yarn'");
  EXPECT_MESSAGE(
      write(tinyConfig("llama", ",\"rope_scaling\":{\"type\":\"llama3\","
                                "\"factor\":8,\"low_freq_factor\":4}"),
            false, false),
      "low_freq_factor");
  EXPECT_MESSAGE(write(tinyConfig("llama", ",\"mlp_bias\":true"), false, false),
                 "biases");
  EXPECT_MESSAGE(
      write(tinyConfig("llama", ",\"quantization_config\":{}"), false, false),
      "quantized in a way that is not read");
  EXPECT_MESSAGE(
      write(replaced(tinyConfig("llama"), "silu", "gelu"), false, false),
      "'gelu'");
  EXPECT_MESSAGE(write(replaced(tinyConfig("llama"), "\"hidden_size\":4",
                                "\"hidden_size\":\"4\""),
                       false, false),
                 "not an integer");
  EXPECT_MESSAGE(write(replaced(tinyConfig("llama"), "\"hidden_size\":4",
                                "\"hidden_size\":1e30"),
                       false, false),
                 "not an integer");
  EXPECT_MESSAGE(write(replaced(tinyConfig("llama"), "\"num_hidden_layers\":1",
                                "\"num_hidden_layers\":1000000000"),
                       false, false),
                 "not in 1 to 4096");
}

TEST(ModelSource, Shards) {
  TemporaryFolder folder;
  auto tensors = tinyHuggingFaceTensors(false, false);
  std::string map;
  for (size_t i = 0; i < tensors.size(); ++i)
    map += (i ? ",\"" : "\"") + tensors[i].first + "\":\"part-" +
           (i < 4 ? "1" : "2") + ".safetensors\"";
  std::string index = folder.write(
      "model.safetensors.index.json",
      "{\"metadata\":{\"total_size\":1},\"weight_map\":{" + map + "}}");
  folder.write("part-1.safetensors",
               safetensorsOf({tensors.begin(), tensors.begin() + 4}));
  folder.write("config.json", tinyConfig("llama"));
  EXPECT_MESSAGE(folder.path.str().str(), "part-2.safetensors");
  std::string second =
      folder.write("part-2.safetensors",
                   safetensorsOf({tensors.begin() + 4, tensors.end()}));
  for (const std::string &path : {folder.path.str().str(), index}) {
    ModelSource source = llvm::cantFail(ModelSource::open(path));
    EXPECT_EQ(source.archive->parameters().size(), tensors.size());
  }
  folder.write("part-2.safetensors",
               safetensorsOf({tensors.begin() + 5, tensors.end()}));
  EXPECT_MESSAGE(index, "which lacks it");
}

TEST(ModelSource, TinyLlama2C) {
  TemporaryFolder folder;
  folder.write("m.tokenizer.bin", tinyTokenizerBin());
  for (int version : {0, 1})
    for (bool ownHead : {false, true}) {
      std::string path = folder.write("m.bin", tinyLlama2C(version, ownHead));
      ModelSource source = llvm::cantFail(ModelSource::open(path));
      EXPECT_EQ(source.config.tiedHead, !ownHead);
      EXPECT_EQ(source.head, ownHead ? "output.weight" : "token_embd.weight");
      // More tokens than the vocabulary: refused, and the note says so.
      EXPECT_FALSE(source.tokenizer);
      EXPECT_NE(source.tokenizerNote.find("more than the vocabulary"),
                std::string::npos);
      EXPECT_NE(messageOf(path, folder.file("m.tokenizer.bin")), "");
      // Version 0 stores the norms behind the embedding, version 1 first.
      const ParameterInfo *norm =
          source.archive->find("blk.0.attn_norm.weight");
      float values[4];
      llvm::cantFail(ParameterArchive::readAsF32(*norm, values));
      EXPECT_EQ(values[0], version == 0 ? 48 : 0);
      const ParameterInfo *down = source.archive->find("blk.0.ffn_down.weight");
      float matrix[24];
      llvm::cantFail(ParameterArchive::readAsF32(*down, matrix));
      // 48 + norm 4 + q 16 + k 8 + v 8 + o 16 + norm 4 + gate 24, or norms 12 +
      // embedding 48 + q, k, v, o 48 + gate 24.
      EXPECT_EQ(matrix[0], version == 0 ? 128 : 132);
    }
}

TEST(ModelSource, RopeFactorsOfLlama3) {
  // Llama 3.2 1B: head size 64, base 500000, factor 32, context 8192; values by
  // transformers' _compute_llama3_parameters (frequency ratio).
  RopeScaling scaling{32, 1, 4, 8192};
  std::vector<float> factors = ropeFactorsOf(scaling, 500000, 64);
  ASSERT_EQ(factors.size(), 32u);
  EXPECT_NEAR(factors[0], 1, 1e-5 * factors[0]);
  EXPECT_NEAR(factors[14], 1, 1e-5 * factors[14]);
  EXPECT_NEAR(factors[15], 1.65132925, 1e-5 * factors[15]);
  EXPECT_NEAR(factors[16], 3.2922621, 1e-5 * factors[16]);
  EXPECT_NEAR(factors[17], 9.66672898, 1e-5 * factors[17]);
  EXPECT_NEAR(factors[18], 32, 1e-5 * factors[18]);
  EXPECT_NEAR(factors[31], 32, 1e-5 * factors[31]);
}

TEST(ModelSource, FoldersWithoutAModel) {
  TemporaryFolder folder;
  EXPECT_MESSAGE(folder.path.str().str(), "holds no");
  folder.write("a.gguf", tinyGGUF());
  EXPECT_EQ(messageOf(folder.path.str().str()), "");
  folder.write("b.gguf", tinyGGUF());
  EXPECT_MESSAGE(folder.path.str().str(), "more than one");
}
