//===- ObserverTest.cpp - cq_observe reaches the observer -----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Runtime.h"
#include "gtest/gtest.h"
#include <vector>

namespace {
struct Seen {
  int64_t number, operands;
  float first;
  int64_t rows, columns;
};

TEST(Observer, SeesWhatIsShownWhileItIsSet) {
  std::vector<Seen> seen;
  auto observer = [](void *user, int64_t number, int64_t operands,
                     const float *const *data, const int64_t *sizes) {
    static_cast<std::vector<Seen> *>(user)->push_back(
        {number, operands, data[0][0], sizes[0], sizes[1]});
  };
  float x[6] = {1.5f};
  const float *data[] = {x};
  int64_t sizes[] = {2, 3};
  cq_observe(1, 1, data, sizes); // nobody is there
  cq_set_observer(observer, &seen);
  cq_observe(7, 1, data, sizes);
  cq_set_observer(nullptr, nullptr);
  cq_observe(8, 1, data, sizes);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].number, 7);
  EXPECT_EQ(seen[0].operands, 1);
  EXPECT_EQ(seen[0].first, 1.5f);
  EXPECT_EQ(seen[0].rows, 2);
  EXPECT_EQ(seen[0].columns, 3);
}
} // namespace
