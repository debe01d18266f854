//===- ChunkChoiceTest.cpp - Which chunk for so many tokens ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/ChunkChoice.h"
#include <algorithm>
#include <gtest/gtest.h>
#include <vector>

using namespace mlir::cq;

/// Sizes of the calls that take `tokens` tokens.
static std::vector<int64_t> calls(const std::vector<int64_t> &sizes,
                                  int64_t tokens) {
  std::vector<int64_t> result;
  while (tokens > 0) {
    int64_t size = sizes[chooseChunk(sizes.data(), sizes.size(), tokens)];
    result.push_back(size);
    tokens -= std::min(size, tokens);
  }
  return result;
}

using Calls = std::vector<int64_t>;

TEST(ChunkChoice, FilledChunksAreTaken) {
  Calls sizes{1, 8, 64};
  EXPECT_EQ(calls(sizes, 1), Calls({1}));
  EXPECT_EQ(calls(sizes, 8), Calls({8}));
  EXPECT_EQ(calls(sizes, 64), Calls({64}));
  EXPECT_EQ(calls(sizes, 128), Calls({64, 64}));
  EXPECT_EQ(calls(sizes, 137), Calls({64, 64, 8, 1}));
}

TEST(ChunkChoice, RowsToSpareWhereSmallerCallsTakeLonger) {
  Calls sizes{1, 8, 64};
  EXPECT_EQ(calls(sizes, 2), Calls({1, 1}));
  EXPECT_EQ(calls(sizes, 3), Calls({8}));
  EXPECT_EQ(calls(sizes, 16), Calls({8, 8}));
  EXPECT_EQ(calls(sizes, 21), Calls({8, 8, 8}));
  EXPECT_EQ(calls(sizes, 40), Calls(5, 8));
  EXPECT_EQ(calls(sizes, 48), Calls({64}));
  EXPECT_EQ(calls(sizes, 100), Calls({64, 8, 8, 8, 8, 8}));
}

TEST(ChunkChoice, AnySizes) {
  EXPECT_EQ(calls({4}, 3), Calls({4}));
  EXPECT_EQ(calls({4}, 9), Calls({4, 4, 4}));
  EXPECT_EQ(calls({8, 64}, 3), Calls({8}));
  EXPECT_EQ(calls({1, 8, 32, 64}, 40), Calls({32, 8}));
}
