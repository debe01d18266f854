//===- AllocationTest.cpp - Buffers of generated code ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Runtime.h"
#include "gtest/gtest.h"
#include <cstring>
#include <random>
#include <thread>
#include <vector>

TEST(Allocation, BuffersAreAlignedAndApart) {
  std::mt19937 random(1);
  std::vector<std::pair<unsigned char *, size_t>> live;
  for (int i = 0; i < 4000; ++i) {
    if (live.size() > 40 || (!live.empty() && random() % 3 == 0)) {
      size_t at = random() % live.size();
      auto [data, bytes] = live[at];
      for (size_t b = 0; b < bytes; b += 61)
        ASSERT_EQ(data[b], static_cast<unsigned char>(bytes));
      cq_deallocate(data);
      live[at] = live.back();
      live.pop_back();
    }
    size_t bytes = random() % (1u << random() % 18);
    auto *data =
        static_cast<unsigned char *>(cq_allocate(static_cast<int64_t>(bytes)));
    ASSERT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
    std::memset(data, static_cast<unsigned char>(bytes), bytes);
    live.emplace_back(data, bytes);
  }
  for (auto [data, bytes] : live)
    cq_deallocate(data);
  cq_deallocate(nullptr);
}

TEST(Allocation, FreedMemoryIsUsedAgain) {
  for (int64_t bytes : {1, 64, 65, 255, 257, 4096, 5000, 1 << 20, 3 << 20}) {
    void *first = cq_allocate(bytes);
    cq_deallocate(first);
    void *second = cq_allocate(bytes);
    EXPECT_EQ(first, second) << bytes;
    cq_deallocate(second);
  }
}

TEST(Allocation, AnotherThreadMayFree) {
  std::vector<void *> buffers;
  for (int i = 0; i < 100; ++i)
    buffers.push_back(cq_allocate(1000 * i));
  std::thread([&] {
    for (void *buffer : buffers)
      cq_deallocate(buffer);
    cq_deallocate(cq_allocate(7));
  }).join();
}

/// More than a thread keeps goes back to the system.
TEST(Allocation, KeepsABoundedAmount) {
  std::vector<void *> buffers;
  for (int i = 0; i < 12; ++i)
    buffers.push_back(cq_allocate(int64_t(32) << 20));
  for (void *buffer : buffers)
    cq_deallocate(buffer);
  for (int i = 0; i < 12; ++i)
    cq_deallocate(cq_allocate(int64_t(32) << 20));
}

TEST(AllocationDeathTest, ImpossibleSizesEndTheProgram) {
  EXPECT_DEATH(cq_allocate(-1), "out of memory");
  EXPECT_DEATH(cq_allocate(INT64_MAX), "out of memory");
}
