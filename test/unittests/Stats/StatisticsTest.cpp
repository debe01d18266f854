//===- StatisticsTest.cpp - Sums, files, merging --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SmallStatistics.h"
#include <cmath>

using namespace mlir::cq;
using namespace mlir::cq::test;

TEST(Statistics, MomentsOfTwoRowsByHand) {
  InputStatistics input;
  input.k = 2;
  const float x[] = {1, -2, 3, 0.5};
  input.add(x, 2);
  EXPECT_EQ(input.tokens, 2);
  EXPECT_EQ(input.sumSquares, (std::vector<double>{10, 4.25}));
  EXPECT_EQ(input.sumMagnitudes, (std::vector<double>{4, 2.5}));
  EXPECT_EQ(input.maxMagnitude, (std::vector<float>{3, 2}));
  EXPECT_EQ(input.meanSquares(), (std::vector<float>{5, 2.125}));
  const float xtx[] = {10, -0.5, 99, 4.25}; // the lower triangle is not read
  input.addGram(xtx);
  input.addGram(xtx);
  EXPECT_EQ(input.gram, (std::vector<double>{20, -1, 8.5}));
}

TEST(Statistics, FisherByHand) {
  FisherStatistics fisher{"w", 1, 3, 0, {}};
  const float g[] = {1, -2, 0.5};
  fisher.addGradient(g);
  const float squares[] = {1, 0, 0.5}; // as they are
  fisher.addSquares(squares);
  EXPECT_EQ(fisher.sequences, 2);
  EXPECT_EQ(fisher.sum, (std::vector<double>{2, 4, 0.75}));
}

TEST(Statistics, CosinesOfABlockByHand) {
  BlockStatistics block;
  const float in[] = {1, 0, 0, 2, 0, 0}, out[] = {2, 0, 3, 0, 1, 1};
  block.add(in, out, 3, 2);
  // Cosines 1, 0, and none for the zero vector.
  EXPECT_DOUBLE_EQ(block.limToken(), -1.0 / 3);
  EXPECT_DOUBLE_EQ(block.limFlat(), -2 / std::sqrt(5.0 * 15));
  EXPECT_EQ(BlockStatistics().limToken(), 0);
  EXPECT_EQ(BlockStatistics().limFlat(), 0);
}

TEST(Statistics, ThreadsChangeNothing) {
  std::vector<float> x = randomValues(300 * 257, 1);
  InputStatistics one, four;
  one.k = four.k = 257;
  one.add(x.data(), 300, 1);
  four.add(x.data(), 300, 4);
  EXPECT_EQ(one.sumSquares, four.sumSquares);
  EXPECT_EQ(one.sumMagnitudes, four.sumMagnitudes);
  EXPECT_EQ(one.maxMagnitude, four.maxMagnitude);
}

TEST(Statistics, FilesHoldEverything) {
  TemporaryFolder folder;
  Statistics written = smallStatistics(0, 3);
  std::string path = folder.file("a.stats");
  llvm::cantFail(written.write(path));
  EXPECT_EQ(folder.list(), std::vector<std::string>{"a.stats"});
  expectSame(written, llvm::cantFail(Statistics::read(path)), 0);

  Statistics facts = llvm::cantFail(Statistics::read(path, false));
  EXPECT_TRUE(facts.inputs[0].gram.empty());
  EXPECT_TRUE(facts.fishers[0].sum.empty());
  EXPECT_EQ(facts.inputs[0].sumSquares, written.inputs[0].sumSquares);
}

TEST(Statistics, WritingTwiceGivesTheSameBytes) {
  TemporaryFolder folder;
  std::string a = folder.file("a"), b = folder.file("b");
  llvm::cantFail(smallStatistics(0, 2).write(a));
  llvm::cantFail(smallStatistics(0, 2).write(b));
  EXPECT_EQ(contents(a), contents(b));
}

TEST(Statistics, WritingRefusesWhatReadingWould) {
  TemporaryFolder folder;
  Statistics bad = smallStatistics(0, 1);
  bad.fishers[0].sum[3] = std::nan("");
  EXPECT_NE(llvm::toString(bad.write(folder.file("x"))).find("'w.q'"),
            std::string::npos);
  bad = smallStatistics(0, 1);
  bad.inputs[0].sumSquares[1] = -1;
  EXPECT_NE(llvm::toString(bad.write(folder.file("x"))).find("'w.q'"),
            std::string::npos);
  EXPECT_TRUE(folder.list().empty());
}

TEST(Statistics, TwoHalvesAreTheWhole) {
  Statistics whole = smallStatistics(0, 8);
  Statistics half = smallStatistics(0, 3);
  llvm::cantFail(half.merge(smallStatistics(3, 5)));
  expectSame(whole, half, 1e-12);
}

TEST(Statistics, ShuffledShardsOfFilesAreTheWhole) {
  TemporaryFolder folder;
  Statistics whole = smallStatistics(0, 8);
  std::vector<std::string> paths;
  for (auto [first, count] : {std::pair{5, 2}, {0, 1}, {7, 1}, {1, 4}}) {
    Statistics shard = smallStatistics(first, count);
    // The order of entries is nobody's business.
    if (first % 2 == 1) {
      std::reverse(shard.inputs.begin(), shard.inputs.end());
      std::reverse(shard.fishers.begin(), shard.fishers.end());
      std::reverse(shard.blocks.begin(), shard.blocks.end());
      std::reverse(shard.weightHashes.begin(), shard.weightHashes.end());
    }
    paths.push_back(folder.file("shard" + llvm::Twine(first)));
    llvm::cantFail(shard.write(paths.back()));
  }
  // Sorted as the first shard is.
  std::swap(paths[0], paths[1]);
  std::string merged = folder.file("merged");
  llvm::cantFail(mergeStatisticsFiles(paths, merged));
  expectSame(whole, llvm::cantFail(Statistics::read(merged)), 1e-12);
}

TEST(Statistics, AnEmptyObjectTakesOver) {
  Statistics total;
  llvm::cantFail(total.merge(smallStatistics(0, 2)));
  expectSame(smallStatistics(0, 2), total, 0);
}

/// What merging `other` onto a good file says.
static std::string refusal(const Statistics &other) {
  Statistics good = smallStatistics(0, 4), before = good;
  std::string inMemory = llvm::toString(good.merge(other));
  expectSame(before, good, 0);
  TemporaryFolder folder;
  std::string a = folder.file("a"), b = folder.file("b");
  llvm::cantFail(good.write(a));
  llvm::cantFail(other.write(b));
  std::string inFiles =
      llvm::toString(mergeStatisticsFiles({a, b}, folder.file("c")));
  EXPECT_FALSE(llvm::sys::fs::exists(folder.file("c")));
  EXPECT_EQ(inMemory.empty(), inFiles.empty());
  return inFiles;
}

TEST(Statistics, MergeRefusesWhatDoesNotFit) {
  auto says = [](const Statistics &other, llvm::StringRef words) {
    std::string text = refusal(other);
    EXPECT_NE(text.find(words.str()), std::string::npos) << text;
  };
  says(smallStatistics(3, 4), "both hold sequences 3 to 3 of text 'text'");
  Statistics other = smallStatistics(4, 4);
  other.provenance.model = "another";
  says(other, "different models");
  other = smallStatistics(4, 4);
  other.provenance.options = "tokens=9";
  says(other, "different options ('tokens=8 fisher=sequence' and 'tokens=9')");
  other = smallStatistics(4, 4);
  other.provenance.tokenizer = "t2";
  says(other, "different tokenizers");
  other = smallStatistics(4, 4);
  other.fisherKind = FisherKind::Token;
  says(other, "Fisher matrices (sequence and token)");
  other = smallStatistics(4, 4);
  other.weightHashes[0].hash = "0";
  says(other, "values of weight 'w.q'");
  other = smallStatistics(4, 4);
  other.fishers.pop_back();
  says(other, "the number of Fisher matrices");
  other = smallStatistics(4, 4);
  other.inputs[0].gram.clear();
  says(other, "Gram matrix of weight 'w.q'");
  // The same sequences of another text are welcome.
  other = smallStatistics(0, 4);
  other.provenance.data[0].hash = "other text";
  Statistics good = smallStatistics(0, 4);
  EXPECT_FALSE(good.merge(other));
  EXPECT_EQ(good.provenance.data.size(), 2u);
}

TEST(Statistics, MergeDoesNotWriteOverItsInput) {
  TemporaryFolder folder;
  std::string a = folder.file("a"), b = folder.file("b");
  llvm::cantFail(smallStatistics(0, 1).write(a));
  llvm::cantFail(smallStatistics(1, 1).write(b));
  EXPECT_NE(llvm::toString(mergeStatisticsFiles({a, b}, b)), "");
  expectSame(smallStatistics(1, 1), llvm::cantFail(Statistics::read(b)), 0);
}

TEST(StatisticsReader, GivesMeans) {
  TemporaryFolder folder;
  Statistics statistics = smallStatistics(0, 4);
  std::string path = folder.file("a");
  llvm::cantFail(statistics.write(path));
  auto reader = llvm::cantFail(StatisticsReader::open(path));
  EXPECT_EQ(reader->path(), path);
  EXPECT_EQ(reader->fisherKind(), FisherKind::Sequence);
  EXPECT_TRUE(reader->hasInput("w.k") && reader->hasGram("w.k"));
  EXPECT_TRUE(reader->hasFisher("w.q") && !reader->hasFisher("w.k"));
  EXPECT_FALSE(reader->hasGram("w.down") || reader->hasInput("absent"));
  EXPECT_EQ(llvm::cantFail(reader->meanSquares("w.q", 2, 5)),
            statistics.inputs[0].meanSquares());
  auto fisher = llvm::cantFail(reader->fisher("w.q", 2, 5));
  EXPECT_EQ(fisher[7], float(statistics.fishers[0].sum[7] / 4));
  auto gram = llvm::cantFail(reader->gram("w.k", 3, 5));
  EXPECT_EQ(gram[4],
            statistics.inputs[0].gram[4] / double(statistics.inputs[0].tokens));

  auto says = [](llvm::Error error, llvm::StringRef words) {
    std::string text = llvm::toString(std::move(error));
    EXPECT_NE(text.find(words.str()), std::string::npos) << text;
  };
  says(reader->meanSquares("absent", 2, 5).takeError(), "lacks");
  says(reader->meanSquares("w.q", 2, 6).takeError(), "shape [2, 5]");
  says(reader->fisher("w.q", 3, 5).takeError(), "has [3, 5]");
  says(reader->fisher("w.k", 3, 5).takeError(), "--fisher");
  says(reader->gram("w.down", 5, 3).takeError(), "--gram");
}

TEST(StatisticsReader, KnowsItsModel) {
  TemporaryFolder folder;
  Statistics statistics = smallStatistics(0, 1);
  std::vector<float> w = randomValues(10, 99);
  statistics.weightHashes = {{"w.q", hashWeight(w.data(), 2, 5), 2, 5}};
  std::string path = folder.file("a");
  llvm::cantFail(statistics.write(path));
  auto reader = llvm::cantFail(StatisticsReader::open(path));
  EXPECT_FALSE(reader->checkWeight("w.q", w.data(), 2, 5));
  EXPECT_FALSE(reader->checkWeight("w.k", w.data(), 2, 5)); // not hashed
  EXPECT_NE(llvm::toString(reader->checkWeight("w.q", w.data(), 5, 2)), "");
  w[9] += 1;
  EXPECT_NE(llvm::toString(reader->checkWeight("w.q", w.data(), 2, 5))
                .find("another model"),
            std::string::npos);
}

TEST(Statistics, HashesKnowTheShape) {
  std::vector<float> w = randomValues(10, 1);
  EXPECT_NE(hashWeight(w.data(), 2, 5), hashWeight(w.data(), 5, 2));
  EXPECT_EQ(hashWeight(w.data(), 2, 5).size(), 32u);
}

TEST(CompactStore, KeepsTheTopAndReconstructsProducts) {
  TemporaryFolder folder;
  Statistics statistics = smallStatistics(0, 2);
  // Rank one but for two outliers: all of it comes back.
  const double rows[] = {2, 6}, columns[] = {1, 2, 3, 4, 5};
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 5; ++j)
      statistics.fishers[0].sum[i * 5 + j] = rows[i] * columns[j];
  statistics.fishers[1].sum.assign(statistics.fishers[1].sum.size(), 0);
  statistics.fishers[0].sum[4] = 1000;
  statistics.fishers[0].sum[9] = 3000;
  std::string path = folder.file("a"), small = folder.file("small");
  llvm::cantFail(statistics.write(path));
  llvm::cantFail(exportCompact(path, small, 0.2));
  auto reader = llvm::cantFail(StatisticsReader::open(small));
  EXPECT_EQ(reader->compactShare(), 0.2);
  auto fisher = llvm::cantFail(reader->fisher("w.q", 2, 5));
  for (int i = 0; i < 10; ++i)
    EXPECT_NEAR(fisher[i], statistics.fishers[0].sum[i] / 2,
                i % 5 == 4 ? 0 : 0.3 * fisher[i])
        << i;
  EXPECT_EQ(llvm::cantFail(reader->fisher("w.down", 5, 3)),
            std::vector<float>(15, 0));
  EXPECT_EQ(llvm::cantFail(reader->meanSquares("w.q", 2, 5)),
            statistics.inputs[0].meanSquares());
  EXPECT_TRUE(reader->hasGram("w.q"));

  std::string other = folder.file("b"), merged = folder.file("c");
  llvm::cantFail(smallStatistics(2, 2).write(other));
  EXPECT_NE(llvm::toString(mergeStatisticsFiles({other, small}, merged))
                .find("compact store"),
            std::string::npos);
  EXPECT_NE(
      llvm::toString(Statistics::read(small).takeError()).find("compact store"),
      std::string::npos);
  EXPECT_NE(llvm::toString(exportCompact(small, merged)), "");
  EXPECT_NE(llvm::toString(exportCompact(path, merged, 0)), "");
  EXPECT_FALSE(llvm::sys::fs::exists(merged));
}
