//===- LlamaImporterTest.cpp - A Llama-family model as MLIR ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestModels.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/FileSystem.h"
#include "gtest/gtest.h"
#include <cstdlib>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::test;

namespace {

std::string signature(ModuleOp module, StringRef name) {
  auto function = module.lookupSymbol<func::FuncOp>(name);
  if (!function)
    return "absent";
  std::string text;
  llvm::raw_string_ostream(text) << function.getFunctionType();
  return text;
}

std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  printModel(module, os);
  return text;
}

/// The sentence that the importer refuses with.
std::string refusal(const ModelSource &source,
                    const ImportOptions &options = {}) {
  MLIRContext context;
  std::string message;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    message += diagnostic.str();
    return success();
  });
  EXPECT_FALSE(importLlama(context, source, options));
  return message;
}

template <typename Op> int64_t count(Operation *root) {
  int64_t found = 0;
  root->walk([&](Op) { ++found; });
  return found;
}

} // namespace

TEST(LlamaImporter, PublicFunctionsOfStories) {
  MLIRContext context;
  auto module = importLlama(context, makeSource(storiesConfig()));
  ASSERT_TRUE(module);
  EXPECT_EQ(signature(*module, "forward_8"),
            "(tensor<8xi32>, index, tensor<5x512x4x8xf32>, "
            "tensor<5x512x4x8xf32>) -> (tensor<8x64xf32>, "
            "tensor<5x512x4x8xf32>, tensor<5x512x4x8xf32>)");
  EXPECT_EQ(signature(*module, "logits_64"),
            "(tensor<64x64xf32>) -> tensor<64x512xf32>");
  EXPECT_EQ(signature(*module, "loss"), "absent");
  // 3 × (forward, logits, 5 blocks).
  EXPECT_EQ(count<func::FuncOp>(*module), 21);
  // Embedding (also the head), 9 a block, final norm.
  EXPECT_EQ(count<ml_program::GlobalOp>(*module), 47);
  // 7 linear layers a block and the head.
  EXPECT_EQ(count<linalg::MatmulOp>(*module), 3 * 36);
}

TEST(LlamaImporter, ChunksAboveTheContextAreDropped) {
  MLIRContext context;
  ImportOptions options;
  options.context = 16;
  auto module = importLlama(context, makeSource(storiesConfig()), options);
  ASSERT_TRUE(module);
  EXPECT_NE(signature(*module, "forward_8"), "absent");
  EXPECT_EQ(signature(*module, "forward_64"), "absent");
}

TEST(LlamaImporter, SmolLM2IsReadBackFromItsText) {
  MLIRContext context;
  ImportOptions options;
  options.chunks = {1, 8};
  options.lossTokens = 512;
  options.parameters = "smollm2.gguf";
  auto module = importLlama(context, makeSource(smolConfig()), options);
  ASSERT_TRUE(module);
  EXPECT_EQ(signature(*module, "loss"), "(tensor<512xi32>) -> tensor<511xf32>");
  std::string text = print(*module);
  EXPECT_NE(text.find("%scores = linalg.generic"), std::string::npos);
  auto again = parseSourceString<ModuleOp>(text, &context);
  ASSERT_TRUE(again);
  EXPECT_EQ(print(*module).size(), text.size());

  auto archive = (*again)->getAttrOfType<StringAttr>("cq.parameters");
  ASSERT_TRUE(archive);
  EXPECT_EQ(archive.getValue(), "smollm2.gguf");
  auto model = (*again)->getAttrOfType<DictionaryAttr>("cq.model");
  ASSERT_TRUE(model);
  auto integer = [&](StringRef name) {
    return cast<IntegerAttr>(model.get(name)).getInt();
  };
  EXPECT_EQ(integer("width"), 576);
  EXPECT_EQ(integer("context"), 2048) << "min(trained context, 2048)";
  EXPECT_EQ(integer("loss_tokens"), 512);
  EXPECT_TRUE(cast<BoolAttr>(model.get("tied_head")).getValue());
}

// Every role's tensor is in the archive with the shape the module wants.
TEST(LlamaImporter, StoriesFromItsFile) {
  const char *shared = std::getenv("CQ_SHARED_DIR");
  if (!shared)
    GTEST_SKIP() << "CQ_SHARED_DIR is not set";
  for (const char *file : {"stories260K.bin", "stories260K.v1.bin"}) {
    std::string path = std::string(shared) + "/data/" + file;
    if (!llvm::sys::fs::exists(path))
      GTEST_SKIP() << path << " is absent";
    auto source = ModelSource::open(path);
    ASSERT_TRUE(bool(source)) << llvm::toString(source.takeError());
    MLIRContext context;
    auto module = importLlama(context, *source);
    ASSERT_TRUE(module);
    EXPECT_EQ((*module)->getAttrOfType<StringAttr>("cq.parameters"), path);
    int64_t elements = 0;
    for (auto global : module->getOps<ml_program::GlobalOp>()) {
      const ParameterInfo *info = source->archive->find(global.getSymName());
      ASSERT_TRUE(info) << global.getSymName().str();
      auto type = cast<RankedTensorType>(global.getType());
      EXPECT_EQ(ArrayRef<int64_t>(info->shape), type.getShape());
      elements += type.getNumElements();
    }
    EXPECT_EQ(elements, 260032);
  }
}

TEST(LlamaImporter, SameBytesTwice) {
  std::string texts[2];
  for (std::string &text : texts) {
    MLIRContext context;
    auto module = importLlama(context, makeSource(qwenConfig()));
    ASSERT_TRUE(module);
    text = print(*module);
  }
  EXPECT_EQ(texts[0], texts[1]);
}

TEST(LlamaImporter, QwenHasBiasesAndAHead) {
  MLIRContext context;
  auto module = importLlama(context, makeSource(qwenConfig()));
  ASSERT_TRUE(module);
  EXPECT_TRUE(module->lookupSymbol("blk.1.attn_k.bias"));
  EXPECT_TRUE(module->lookupSymbol("output.weight"));
  EXPECT_EQ(count<ml_program::GlobalOp>(*module), 1 + 2 * 12 + 1 + 1);
}

TEST(LlamaImporter, ImpossibleOptionsAreSentences) {
  ModelSource source = makeSource(storiesConfig());
  ImportOptions options;
  options.context = 513;
  EXPECT_EQ(refusal(source, options),
            "cannot import 'stories260K': context 513 is outside of 1 to 512, "
            "the positions the model was trained for");
  options = {};
  options.chunks = {1, 0};
  EXPECT_NE(refusal(source, options).find("chunk size 0"), std::string::npos);
  options.chunks = {8, 8};
  EXPECT_NE(refusal(source, options).find("twice"), std::string::npos);
  options.chunks = {};
  EXPECT_NE(refusal(source, options).find("no chunk size"), std::string::npos);
  options.chunks = {64};
  options.context = 16;
  EXPECT_NE(refusal(source, options).find("at most 16"), std::string::npos);
  options = {};
  options.lossTokens = 1;
  EXPECT_NE(refusal(source, options).find("loss over 1 tokens"),
            std::string::npos);
}

TEST(LlamaImporter, InconsistentSourcesAreSentences) {
  ModelSource source = makeSource(storiesConfig());
  source.blocks.pop_back();
  EXPECT_NE(refusal(source).find("the config has 5 blocks, but 4"),
            std::string::npos);

  source = makeSource(qwenConfig());
  source.blocks[1].kBias.clear();
  EXPECT_EQ(refusal(source), "cannot import 'small qwen': no tensor serves as "
                             "key bias of block 1");

  source = makeSource(storiesConfig());
  source.blocks[0].gate = source.blocks[0].down;
  EXPECT_NE(refusal(source).find("'blk.0.ffn_down.weight' serves as"),
            std::string::npos);

  source = makeSource(smolConfig());
  source.config.context = 1 << 28;
  ImportOptions options;
  options.context = 1 << 28;
  EXPECT_NE(refusal(source, options).find("would take terabytes"),
            std::string::npos);

  source = makeSource(storiesConfig());
  source.finalNorm = "forward_1";
  EXPECT_NE(refusal(source), "") << "a tensor with a function's name";
}
