//===- ThreadPoolTest.cpp - Laws of cq_parallel_for -----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Runtime.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace {
struct Record {
  std::vector<std::atomic<int>> hits;
  std::mutex mutex;
  std::set<std::pair<int64_t, int64_t>> ranges;
  explicit Record(int64_t tasks) : hits(static_cast<size_t>(tasks)) {}
};

void record(void *context, int64_t begin, int64_t end) {
  auto *r = static_cast<Record *>(context);
  for (int64_t i = begin; i < end; ++i)
    r->hits[static_cast<size_t>(i)]++;
  std::lock_guard<std::mutex> lock(r->mutex);
  r->ranges.insert({begin, end});
}

TEST(ThreadPool, EveryIndexOnceAtAnyThreadCount) {
  for (int threads : {1, 2, 3, 7, 2, 1, 4}) {
    cq_set_threads(threads);
    EXPECT_EQ(cq_threads(), threads);
    for (int64_t tasks : {0, 1, 2, 3, 5, 64, 1000}) {
      Record r(tasks);
      cq_parallel_for(record, &r, tasks);
      for (auto &hit : r.hits)
        ASSERT_EQ(hit.load(), 1)
            << threads << " threads, " << tasks << " tasks";
      EXPECT_LE(r.ranges.size(), static_cast<size_t>(4 * threads));
    }
  }
}

TEST(ThreadPool, PartitionIsStatic) {
  cq_set_threads(3);
  for (int64_t tasks : {8, 100, 101}) {
    std::set<std::pair<int64_t, int64_t>> expected;
    for (int repeat = 0; repeat < 50; ++repeat) {
      Record r(tasks);
      cq_parallel_for(record, &r, tasks);
      if (repeat == 0)
        expected = r.ranges;
      ASSERT_EQ(r.ranges, expected);
      int64_t shortest = tasks, longest = 0;
      for (auto [begin, end] : r.ranges) {
        shortest = std::min(shortest, end - begin);
        longest = std::max(longest, end - begin);
        // Long ranges are whole pairs, but the last of an odd number.
        ASSERT_TRUE(tasks < 50 ||
                    (begin % 2 == 0 && (end % 2 == 0 || end == tasks)));
      }
      ASSERT_LE(longest - shortest, 2);
    }
  }
}

// Attention of 64 tokens and 9 heads: with shares of 8 and 10 tasks, or pieces
// of 4 and 6, one thread waits for a quarter of the other's time.
TEST(ThreadPool, FewTasksAreSharedEvenlyInShortPieces) {
  cq_set_threads(2);
  Record r(18);
  cq_parallel_for(record, &r, 18);
  bool half = false;
  for (auto [begin, end] : r.ranges) {
    half |= begin == 9;
    EXPECT_LE(end - begin, 3);
  }
  EXPECT_TRUE(half);
}

TEST(ThreadPool, OthersTakeWhatAHeldUpThreadHasNotBegun) {
  cq_set_threads(2);
  std::atomic<int64_t> done{0};
  // Whoever gets task 0 is held up until all other ranges are through.
  auto body = [](void *context, int64_t begin, int64_t end) {
    auto &done = *static_cast<std::atomic<int64_t> *>(context);
    auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (begin == 0 && done.load() < 1000 - end &&
           std::chrono::steady_clock::now() < limit)
      std::this_thread::yield();
    if (begin == 0)
      EXPECT_EQ(done.load(), 1000 - end);
    done += end - begin;
  };
  cq_parallel_for(body, &done, 1000);
  EXPECT_EQ(done.load(), 1000);
}

TEST(ThreadPool, ManyCallsWithSleepsBetween) {
  cq_set_threads(2);
  std::atomic<int64_t> sum{0};
  auto body = [](void *context, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      static_cast<std::atomic<int64_t> *>(context)->fetch_add(i);
  };
  for (int call = 0; call < 20000; ++call) {
    cq_parallel_for(body, &sum, 4);
    // Long enough for the worker to park: the wake-up path is under test too.
    if (call % 2000 == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(sum.load(), 20000 * 6);
}

TEST(ThreadPool, NestedCallsRunSerially) {
  cq_set_threads(4);
  std::atomic<int> inner{0}, foreign{0};
  struct Context {
    std::atomic<int> *inner, *foreign;
  } context{&inner, &foreign};
  cq_parallel_for(
      [](void *c, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          struct Nested {
            Context *outer;
            std::thread::id thread;
          } nested{static_cast<Context *>(c), std::this_thread::get_id()};
          cq_parallel_for(
              [](void *n, int64_t b, int64_t e) {
                auto *nested = static_cast<Nested *>(n);
                *nested->outer->inner += static_cast<int>(e - b);
                if (std::this_thread::get_id() != nested->thread)
                  ++*nested->outer->foreign;
              },
              &nested, 10);
        }
      },
      &context, 6);
  EXPECT_EQ(inner.load(), 60);
  EXPECT_EQ(foreign.load(), 0);
}

TEST(ThreadPool, CallersOnSeveralThreads) {
  cq_set_threads(2);
  std::vector<std::thread> callers;
  std::atomic<int> bad{0};
  for (int c = 0; c < 3; ++c)
    callers.emplace_back([&] {
      for (int call = 0; call < 200; ++call) {
        Record r(17);
        cq_parallel_for(record, &r, 17);
        for (auto &hit : r.hits)
          bad += hit.load() != 1;
      }
    });
  for (auto &caller : callers)
    caller.join();
  EXPECT_EQ(bad.load(), 0);
}

TEST(Scratch, AlignedDistinctAndGrowing) {
  for (int64_t bytes : {0, 1, 100, 5000, 100000, 1 << 20, 100}) {
    auto *a = static_cast<char *>(cq_scratch(bytes));
    auto *b = static_cast<char *>(cq_workspace(bytes));
    EXPECT_NE(a, b);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b) % 64, 0u);
    if (bytes)
      a[0] = a[bytes - 1] = b[0] = b[bytes - 1] = 1;
  }
  void *mine = cq_scratch(64), *other = nullptr;
  std::thread([&] { other = cq_scratch(64); }).join();
  EXPECT_NE(mine, other);
}
} // namespace
