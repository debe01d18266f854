//===- ExpectedTokensTest.cpp - Ids that other programs computed ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestFiles.h"
#include "cq/Model/Tokenizer.h"
#include "cq/Support/BoundedJSON.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace mlir::cq;
using namespace mlir::cq::test;

static std::string dataFile(const char *name) {
  return environment("CQ_SHARED_DIR") + "/data/" + name;
}

static std::string contentsOf(const std::string &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, false, false);
  return buffer ? (*buffer)->getBuffer().str() : std::string();
}

static llvm::json::Value expectedValues() {
  return llvm::cantFail(
      parseBoundedJSON(contentsOf(dataFile("expected.json")), "expected.json"));
}

static std::vector<int32_t> idsOf(const llvm::json::Object &object,
                                  llvm::StringRef key) {
  std::vector<int32_t> ids;
  for (const llvm::json::Value &id : *object.getArray(key))
    ids.push_back(int32_t(*id.getAsInteger()));
  return ids;
}

static std::string decodeAll(const Tokenizer &tokenizer,
                             const std::vector<int32_t> &ids,
                             int32_t previous = -1) {
  std::string text;
  for (int32_t id : ids) {
    text += tokenizer.decode(id, previous);
    previous = id;
  }
  return text;
}

#define SKIP_WITHOUT_DATA()                                                    \
  if (!llvm::sys::fs::exists(dataFile("expected.json")))                       \
  GTEST_SKIP() << "CQ_SHARED_DIR has no expected.json"
#define SKIP_WITHOUT_SMOLLM2()                                                 \
  if (environment("CQ_SMOLLM2_GGUF").empty())                                  \
  GTEST_SKIP() << "CQ_SMOLLM2_GGUF is not set"

TEST(ExpectedTokens, SmolLM2) {
  SKIP_WITHOUT_DATA();
  SKIP_WITHOUT_SMOLLM2();
  auto tokenizer =
      llvm::cantFail(Tokenizer::open(environment("CQ_SMOLLM2_GGUF")));
  TemporaryFolder folder;
  llvm::cantFail(tokenizer->save(folder.file("saved.gguf")));
  auto saved = llvm::cantFail(Tokenizer::open(folder.file("saved.gguf")));
  EXPECT_EQ(folder.list(), std::vector<std::string>{"saved.gguf"});
  for (const Tokenizer *t : {tokenizer.get(), saved.get()}) {
    EXPECT_EQ(t->vocabularySize(), 49152);
    EXPECT_EQ(t->bos(), 1);
    EXPECT_EQ(t->eos(), 2);
    EXPECT_TRUE(t->isEndOfGeneration(2));
    EXPECT_TRUE(t->isEndOfGeneration(0)); // <|endoftext|>
    EXPECT_FALSE(t->isEndOfGeneration(1));
    EXPECT_EQ(t->chatTemplate(), ChatTemplate::ChatML);
    auto json = expectedValues();
    for (const auto &value : *json.getAsObject()->getArray("smollm2_tokens")) {
      const llvm::json::Object &object = *value.getAsObject();
      std::string text = object.getString("text")->str();
      EXPECT_EQ(t->encode(text), idsOf(object, "ids")) << text;
      EXPECT_EQ(decodeAll(*t, t->encode(text)), text);
    }
  }
  // Not parsed, the mark is text.
  std::vector<int32_t> plain = tokenizer->encode("<|im_end|>", false);
  EXPECT_GT(plain.size(), 1u);
  EXPECT_EQ(decodeAll(*tokenizer, plain), "<|im_end|>");
}

TEST(ExpectedTokens, SmolLM2RoundTripOfWikiText) {
  SKIP_WITHOUT_DATA();
  SKIP_WITHOUT_SMOLLM2();
  auto tokenizer =
      llvm::cantFail(Tokenizer::open(environment("CQ_SMOLLM2_GGUF")));
  std::string text = contentsOf(dataFile("wiki.test.raw"));
  EXPECT_EQ(decodeAll(*tokenizer, tokenizer->encode(text)), text);
}

TEST(ExpectedTokens, Stories260K) {
  SKIP_WITHOUT_DATA();
  auto tokenizer =
      llvm::cantFail(Tokenizer::open(dataFile("stories260K.tokenizer.bin")));
  TemporaryFolder folder;
  llvm::cantFail(tokenizer->save(folder.file("saved.gguf")));
  auto saved = llvm::cantFail(Tokenizer::open(folder.file("saved.gguf")));
  for (const Tokenizer *t : {tokenizer.get(), saved.get()}) {
    EXPECT_EQ(t->vocabularySize(), 512);
    EXPECT_TRUE(t->isEndOfGeneration(t->eos()));
    auto json = expectedValues();
    for (const auto &value :
         *json.getAsObject()->getArray("stories260K_greedy")) {
      const llvm::json::Object &object = *value.getAsObject();
      std::string prompt = object.getString("prompt")->str();
      std::vector<int32_t> ids = idsOf(object, "ids");
      EXPECT_EQ(t->encode(prompt), ids) << prompt;
      EXPECT_EQ(decodeAll(*t, {ids.begin() + 1, ids.end()}, ids[0]), prompt);
      // The file spells a newline as its token.
      std::string text = object.getString("text")->str();
      for (size_t at; (at = text.find("<0x0A>")) != std::string::npos;)
        text.replace(at, 6, "\n");
      EXPECT_EQ(decodeAll(*t, idsOf(object, "greedy"), ids.back()), text);
    }
    std::string any = "caf\xC3\xA9 \xE6\xBC\xA2 \xFF\x80 end";
    std::vector<int32_t> ids = t->encode(any, true, /*addBos=*/false);
    EXPECT_EQ(decodeAll(*t, ids), any);
    EXPECT_EQ(t->encode("").size(), 1u); // BOS
  }
}
