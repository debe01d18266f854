//===- ReadAheadTest.cpp - What comes after what --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ReadAhead.h"
#include "cq/Runtime/Runtime.h"
#include "gtest/gtest.h"
#include <memory>
#include <vector>

using namespace mlir::cq;

static ReadAhead::Planes planesOf(std::vector<ReadAhead::Plane> list) {
  ReadAhead::Planes planes;
  for (const ReadAhead::Plane &plane : list)
    planes.add(plane.begin, plane.bytes);
  return planes;
}

/// All that a thread still fetches.
static std::vector<const char *> rest(const ReadAhead &ahead,
                                      ReadAhead::Cursor &cursor, int64_t thread,
                                      int64_t threads) {
  std::vector<const char *> list;
  while (const char *at = ahead.next(cursor, thread, threads))
    list.push_back(at);
  return list;
}

TEST(ReadAhead, FetchesWhatCameNextTheLastTime) {
  static const char memory[4096] = {};
  auto a = planesOf({{memory, 256}}), b = planesOf({{memory + 1024, 1024}}),
       none = ReadAhead::Planes();
  auto ahead = std::make_unique<ReadAhead>();
  ReadAhead::Cursor cursor;
  EXPECT_EQ(ahead->next(cursor, 0, 2), nullptr);
  for (const auto &planes : {a, none, b, none}) {
    ahead->begin(planes);
    EXPECT_EQ(ahead->next(cursor, 0, 2), nullptr) << "nothing is known yet";
  }
  ahead->begin(a); // then b, then a
  EXPECT_EQ(ahead->next(cursor, 0, 2), memory + 1024);
  ahead->begin(none); // still
  EXPECT_EQ(rest(*ahead, cursor, 0, 2),
            (std::vector<const char *>{memory + 1280, memory}));
  ReadAhead::Cursor other;
  EXPECT_EQ(
      rest(*ahead, other, 1, 2),
      (std::vector<const char *>{memory + 1536, memory + 1792, memory + 128}));
  ahead->begin(b);
  EXPECT_EQ(rest(*ahead, cursor, 0, 1),
            (std::vector<const char *>{memory, memory + 1024, memory + 1280,
                                       memory + 1536, memory + 1792}));
}

/// What thread 1 of 2 fetches when it knows what comes after the launch.
static std::vector<const char *> secondShare(const ReadAhead::Planes &after) {
  auto first = planesOf({{after.plane[0].begin - 64, 2}});
  auto ahead = std::make_unique<ReadAhead>();
  for (const auto &planes : {first, after, first})
    ahead->begin(planes);
  ReadAhead::Cursor cursor;
  std::vector<const char *> list = rest(*ahead, cursor, 1, 2);
  EXPECT_EQ(list.back(), first.plane[0].begin + 1);
  list.pop_back();
  return list;
}

TEST(ReadAhead, PlanesOfOneSizeArePiecesInTurn) {
  static const char memory[8192] = {};
  const char *gate = memory + 64, *up = memory + 4096;
  EXPECT_EQ(secondShare(planesOf({{gate, 2048}, {up, 2048}})),
            (std::vector<const char *>{gate + 1024, up + 1024, gate + 1280,
                                       up + 1280, gate + 1536, up + 1536,
                                       gate + 1792, up + 1792}));
}

TEST(ReadAhead, OtherPlanesAreARow) {
  static const char memory[8192] = {};
  const char *q = memory + 64, *k = memory + 4096;
  EXPECT_EQ(secondShare(planesOf({{q, 1024}, {k, 512}})),
            (std::vector<const char *>{q + 768, k, k + 256}));
}

TEST(ReadAhead, NoMoreThanAPartOfTheCache) {
  std::vector<char> memory(1 << 20);
  auto first = planesOf({{memory.data(), 64}});
  auto ahead = std::make_unique<ReadAhead>();
  ahead->begin(first);
  ahead->begin(planesOf({{memory.data() + 64, (1 << 20) - 64}}));
  ahead->begin(first);
  ReadAhead::Cursor cursor;
  EXPECT_EQ(rest(*ahead, cursor, 0, 2).size(),
            size_t(ReadAhead::kMostBytes / ReadAhead::kStep));
}

TEST(ReadAhead, MorePlanesThanItTakes) {
  static const char memory[64] = {};
  ReadAhead::Planes planes;
  for (int i = 0; i < 10; ++i)
    planes.add(memory, 64);
  planes.add(memory, 0);
  EXPECT_EQ(planes.count, ReadAhead::kMostPlanes);
}

// Whatever launches say that they read, they run, even memory that is gone.
TEST(ReadAhead, ChangesNoResult) {
  std::vector<int64_t> sums(1000);
  auto body = [](void *context, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      static_cast<int64_t *>(context)[i] += i;
  };
  for (int threads : {1, 2, 3}) {
    cq_set_threads(threads);
    for (int repeat = 0; repeat < 100; ++repeat) {
      auto gone = std::make_unique<std::vector<char>>(1 << 20);
      cq_reads(gone->data(), 1 << 20);
      cq_reads(gone->data() + 64, 1 << 19);
      gone.reset();
      cq_parallel_for(body, sums.data(), 1000);
      cq_parallel_for(body, sums.data(), 1000);
    }
  }
  for (int64_t i = 0; i < 1000; ++i)
    ASSERT_EQ(sums[i], 600 * i);
  cq_set_threads(0);
}
