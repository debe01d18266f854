//===- SmallStatistics.h - Statistics of a made-up model --------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TEST_UNITTESTS_STATS_SMALLSTATISTICS_H
#define CQ_TEST_UNITTESTS_STATS_SMALLSTATISTICS_H

#include "../Model/TestFiles.h"
#include "cq/Stats/Statistics.h"
#include "llvm/Support/MemoryBuffer.h"
#include <random>

namespace mlir::cq::test {

inline std::string contents(llvm::StringRef path) {
  return llvm::cantFail(
             llvm::errorOrToExpected(llvm::MemoryBuffer::getFile(path)))
      ->getBuffer()
      .str();
}

inline std::vector<float> randomValues(int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<float> values(count);
  for (float &value : values)
    value = float(int32_t(engine())) / float(1u << 31);
  return values;
}

/// Sequences [first, first + count) of 8 tokens: a block of two inputs, one of
/// them with a Gram matrix, and Fisher matrices of two weights.
inline Statistics smallStatistics(int64_t first, int64_t count) {
  constexpr int64_t tokens = 8;
  Statistics result;
  result.provenance = {"model",
                       "tokenizer",
                       "tokens=8 fisher=sequence",
                       {{"text", "hash", first, count}}};
  result.fisherKind = FisherKind::Sequence;
  result.inputs.resize(2);
  result.inputs[0].weights = {"w.q", "w.k"};
  result.inputs[0].k = 5;
  result.inputs[1].weights = {"w.down"};
  result.inputs[1].k = 3;
  result.fishers = {{"w.q", 2, 5, 0, {}}, {"w.down", 5, 3, 0, {}}};
  result.blocks.resize(2);
  result.blocks[1].block = 1;
  result.weightHashes = {{"w.q", "h1", 2, 5}, {"w.down", "h2", 5, 3}};
  for (int64_t i = first; i < first + count; ++i) {
    std::vector<float> x = randomValues(tokens * 5, 10 * i);
    result.inputs[0].add(x.data(), tokens);
    std::vector<float> xtx(25);
    for (int64_t t = 0; t < tokens; ++t)
      for (int a = 0; a < 5; ++a)
        for (int b = 0; b < 5; ++b)
          xtx[a * 5 + b] += x[t * 5 + a] * x[t * 5 + b];
    result.inputs[0].addGram(xtx.data());
    std::vector<float> y = randomValues(tokens * 3, 10 * i + 1);
    result.inputs[1].add(y.data(), tokens);
    result.fishers[0].addGradient(randomValues(10, 10 * i + 2).data());
    result.fishers[1].addGradient(randomValues(15, 10 * i + 3).data());
    std::vector<float> out = randomValues(tokens * 5, 10 * i + 4);
    result.blocks[0].add(x.data(), out.data(), tokens, 5);
    result.blocks[1].add(out.data(), x.data(), tokens, 5);
  }
  return result;
}

template <typename T>
void expectNear(const std::vector<T> &a, const std::vector<T> &b,
                double relative) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_NEAR(a[i], b[i], relative * std::abs(a[i])) << i;
}

/// The same entries in the same order, sums to a relative error.
inline void expectSame(const Statistics &a, const Statistics &b,
                       double relative) {
  EXPECT_EQ(a.provenance.model, b.provenance.model);
  EXPECT_EQ(a.provenance.tokenizer, b.provenance.tokenizer);
  EXPECT_EQ(a.provenance.options, b.provenance.options);
  ASSERT_EQ(a.provenance.data.size(), b.provenance.data.size());
  for (size_t i = 0; i < a.provenance.data.size(); ++i) {
    EXPECT_EQ(a.provenance.data[i].name, b.provenance.data[i].name);
    EXPECT_EQ(a.provenance.data[i].hash, b.provenance.data[i].hash);
    EXPECT_EQ(a.provenance.data[i].first, b.provenance.data[i].first);
    EXPECT_EQ(a.provenance.data[i].sequences, b.provenance.data[i].sequences);
  }
  EXPECT_EQ(a.fisherKind, b.fisherKind);
  ASSERT_EQ(a.inputs.size(), b.inputs.size());
  for (size_t i = 0; i < a.inputs.size(); ++i) {
    EXPECT_EQ(a.inputs[i].weights, b.inputs[i].weights);
    EXPECT_EQ(a.inputs[i].k, b.inputs[i].k);
    EXPECT_EQ(a.inputs[i].tokens, b.inputs[i].tokens);
    expectNear(a.inputs[i].sumSquares, b.inputs[i].sumSquares, relative);
    expectNear(a.inputs[i].sumMagnitudes, b.inputs[i].sumMagnitudes, relative);
    EXPECT_EQ(a.inputs[i].maxMagnitude, b.inputs[i].maxMagnitude);
    // Sums of both signs: relative to the diagonal's size.
    ASSERT_EQ(a.inputs[i].gram.size(), b.inputs[i].gram.size());
    for (size_t j = 0; j < a.inputs[i].gram.size(); ++j)
      EXPECT_NEAR(a.inputs[i].gram[j], b.inputs[i].gram[j],
                  relative * a.inputs[i].sumSquares[0]);
  }
  ASSERT_EQ(a.fishers.size(), b.fishers.size());
  for (size_t i = 0; i < a.fishers.size(); ++i) {
    EXPECT_EQ(a.fishers[i].weight, b.fishers[i].weight);
    EXPECT_EQ(a.fishers[i].n, b.fishers[i].n);
    EXPECT_EQ(a.fishers[i].k, b.fishers[i].k);
    EXPECT_EQ(a.fishers[i].sequences, b.fishers[i].sequences);
    expectNear(a.fishers[i].sum, b.fishers[i].sum, relative);
  }
  ASSERT_EQ(a.blocks.size(), b.blocks.size());
  for (size_t i = 0; i < a.blocks.size(); ++i) {
    EXPECT_EQ(a.blocks[i].block, b.blocks[i].block);
    EXPECT_EQ(a.blocks[i].tokens, b.blocks[i].tokens);
    double size = relative * double(a.blocks[i].tokens);
    EXPECT_NEAR(a.blocks[i].sumCosine, b.blocks[i].sumCosine, size);
    EXPECT_NEAR(a.blocks[i].dot, b.blocks[i].dot, 5 * size);
    EXPECT_NEAR(a.blocks[i].squaresIn, b.blocks[i].squaresIn, 5 * size);
    EXPECT_NEAR(a.blocks[i].squaresOut, b.blocks[i].squaresOut, 5 * size);
  }
  ASSERT_EQ(a.weightHashes.size(), b.weightHashes.size());
  for (size_t i = 0; i < a.weightHashes.size(); ++i) {
    EXPECT_EQ(a.weightHashes[i].weight, b.weightHashes[i].weight);
    EXPECT_EQ(a.weightHashes[i].hash, b.weightHashes[i].hash);
  }
}

} // namespace mlir::cq::test

#endif // CQ_TEST_UNITTESTS_STATS_SMALLSTATISTICS_H
