//===- ImportanceMatrixTest.cpp - Both forms of llama.cpp's files ---------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Stats/ImportanceMatrix.h"
#include "SmallStatistics.h"
#include "cq/Model/Parameters.h"

using namespace mlir::cq;
using namespace mlir::cq::test;

namespace {
/// Little-endian bytes, as files hold them.
struct Bytes {
  std::string text;
  template <typename T> Bytes &add(T value) {
    text.append(reinterpret_cast<const char *>(&value), sizeof(value));
    return *this;
  }
  Bytes &raw(llvm::StringRef bytes) {
    text += bytes.str();
    return *this;
  }
  /// A string of GGUF.
  Bytes &string(llvm::StringRef bytes) {
    return add(uint64_t(bytes.size())).raw(bytes);
  }
};

class ImportanceMatrix : public ::testing::Test {
protected:
  void SetUp() override {
    std::string path = folder.file("model.safetensors");
    auto writer = llvm::cantFail(SafetensorsWriter::create(
        path, {{"blk.0.attn_q.weight", DType::F32, {2, 3}},
               {"output_norm.weight", DType::F32, {3}}}));
    std::vector<float> values = randomValues(9, 5);
    auto *bytes = reinterpret_cast<uint8_t *>(values.data());
    llvm::cantFail(writer->append({bytes, 24}));
    llvm::cantFail(writer->append({bytes + 24, 12}));
    llvm::cantFail(writer->commit());
    model = llvm::cantFail(ParameterArchive::open(path));
  }

  std::string legacy(llvm::StringRef name, int32_t calls,
                     std::vector<float> values) {
    Bytes bytes;
    bytes.add(int32_t(1)).add(int32_t(name.size())).raw(name);
    bytes.add(calls).add(int32_t(values.size()));
    for (float value : values)
      bytes.add(value);
    bytes.add(calls).add(int32_t(8)).raw("wiki.txt");
    return bytes.text;
  }

  std::string gguf(llvm::StringRef name, std::vector<float> sums,
                   std::vector<float> counts) {
    Bytes bytes;
    bytes.raw("GGUF").add(uint32_t(3)).add(uint64_t(2)).add(uint64_t(4));
    bytes.string("general.type").add(uint32_t(8)).string("imatrix");
    bytes.string("imatrix.datasets").add(uint32_t(9)).add(uint32_t(8));
    bytes.add(uint64_t(1)).string("wiki.txt");
    bytes.string("imatrix.chunk_count").add(uint32_t(4)).add(uint32_t(2));
    bytes.string("imatrix.chunk_size").add(uint32_t(4)).add(uint32_t(512));
    uint64_t matrices = counts.size();
    bytes.string((name + ".in_sum2").str()).add(uint32_t(2));
    bytes.add(uint64_t(sums.size() / matrices)).add(matrices);
    bytes.add(uint32_t(0)).add(uint64_t(0));
    bytes.string((name + ".counts").str()).add(uint32_t(2));
    bytes.add(uint64_t(1)).add(matrices).add(uint32_t(0)).add(uint64_t(32));
    bytes.text.resize((bytes.text.size() + 31) / 32 * 32);
    for (float sum : sums)
      bytes.add(sum);
    bytes.text.resize((bytes.text.size() + 31) / 32 * 32);
    for (float count : counts)
      bytes.add(count);
    return bytes.text;
  }

  std::string refusal(const std::string &bytes) {
    auto result = importImportanceMatrix(folder.write("m", bytes), *model);
    return result ? "" : llvm::toString(result.takeError());
  }

  TemporaryFolder folder;
  std::unique_ptr<ParameterArchive> model;
};
} // namespace

TEST_F(ImportanceMatrix, BothFormsGiveTheSameMeans) {
  // E[x²] = 2, 0.5, 0 over 1024 tokens in 2 chunks.
  Statistics a = llvm::cantFail(importImportanceMatrix(
      folder.write("a", gguf("blk.0.attn_q.weight", {2048, 512, 0}, {1024})),
      *model));
  Statistics b = llvm::cantFail(importImportanceMatrix(
      folder.write("b", legacy("blk.0.attn_q.weight", 2, {4, 1, 0})), *model));
  for (const Statistics *statistics : {&a, &b}) {
    const InputStatistics *input = statistics->findInput("blk.0.attn_q.weight");
    ASSERT_TRUE(input);
    EXPECT_EQ(input->tokens, 1024);
    EXPECT_EQ(input->meanSquares(), (std::vector<float>{2, 0.5, 0}));
    EXPECT_EQ(statistics->provenance.data[0].name, "wiki.txt");
    ASSERT_EQ(statistics->weightHashes.size(), 1u);
  }
  std::string path = folder.file("out");
  llvm::cantFail(a.write(path));
  auto reader = llvm::cantFail(StatisticsReader::open(path));
  EXPECT_EQ(llvm::cantFail(reader->meanSquares("blk.0.attn_q.weight", 2, 3)),
            (std::vector<float>{2, 0.5, 0}));
  std::vector<float> w(6);
  llvm::cantFail(ParameterArchive::readAsF32(
      *model->find("blk.0.attn_q.weight"), w.data()));
  EXPECT_FALSE(reader->checkWeight("blk.0.attn_q.weight", w.data(), 2, 3));
  // One text is not added to itself; two texts are.
  EXPECT_NE(llvm::toString(Statistics(a).merge(a)), "");
  llvm::cantFail(a.merge(b));
  EXPECT_EQ(a.inputs[0].meanSquares(), (std::vector<float>{2, 0.5, 0}));
}

TEST_F(ImportanceMatrix, OtherModelsAndDamageAreRefused) {
  llvm::StringRef name = "blk.0.attn_q.weight";
  EXPECT_EQ(refusal(legacy(name, 2, {4, 1, 0})), "");
  EXPECT_NE(
      refusal(legacy("blk.1.attn_q.weight", 2, {4, 1, 0})).find("another"),
      std::string::npos);
  EXPECT_NE(refusal(legacy(name, 2, {4, 1})).find("3 columns"),
            std::string::npos);
  EXPECT_NE(refusal(legacy(name, 0, {4, 1, 0})), "");
  EXPECT_NE(refusal(legacy(name, 2, {4, -1, 0})), "");
  EXPECT_NE(refusal(legacy(name, 2, {4, NAN, 0})), "");
  EXPECT_NE(refusal(gguf(name, {4, 1, 0, 4, 1, 0}, {8, 8})).find("experts"),
            std::string::npos);
  EXPECT_NE(refusal(gguf(name, {4, 1, 0}, {NAN})), "");
  EXPECT_NE(refusal(gguf(name, {4, 1, 0}, {0})), "");
  std::string whole = legacy(name, 2, {4, 1, 0});
  size_t end = whole.size() - 16; // the name of the text is optional
  for (size_t size = 0; size < end; ++size)
    EXPECT_NE(refusal(whole.substr(0, size)), "") << size;
  EXPECT_EQ(refusal(whole.substr(0, end)), "");
  whole = gguf(name, {4, 1, 0}, {8});
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(refusal(whole.substr(0, size)), "") << size;
}
