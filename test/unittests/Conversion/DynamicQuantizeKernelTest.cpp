//===- DynamicQuantizeKernelTest.cpp - Codes against the oracle -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelCases.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;
using namespace mlir::cq::x86::test;

namespace {

std::vector<float> activations(int64_t m, int64_t k, unsigned seed) {
  std::vector<float> x = randomValues(m * k, seed, 2.0f);
  // Zeros, numbers whose scale underflows to 0 or is subnormal, and exact
  // halves.
  for (int64_t i = 0; i < m * k; ++i) {
    int64_t stretch = i / 40 % 7;
    if (stretch == 1)
      x[i] = 0;
    else if (stretch == 3)
      x[i] = (i % 2 ? -1e-45f : 1e-44f);
    else if (stretch == 5)
      x[i] = i % 40 == 0 ? 127.0f : static_cast<float>(i % 11) + 0.5f;
    else if (stretch == 6)
      x[i] *= 1e-40f;
  }
  return x;
}

} // namespace

TEST(DynamicQuantizeKernel, EqualsReference) {
  struct Case {
    int64_t m, k, group;
    std::string name;
  };
  std::vector<Case> cases;
  for (int64_t k : {576, 100, 64, 172, 31, 1, 1536, 257})
    for (int64_t group : {32, 64, 128})
      cases.push_back(
          {1 + k % 3, k, group, "q" + std::to_string(cases.size())});
  KernelHarness harness;
  OpBuilder builder = harness.builder();
  for (const Case &c : cases)
    buildDynamicQuantizeKernel(
        builder, builder.getUnknownLoc(), c.name, c.k, c.group,
        DynamicQuantizeTypes::get(harness.context(), c.m, c.k, c.group));
  ASSERT_TRUE(harness.compile());
  for (const Case &c : cases) {
    int64_t groups = (c.k + c.group - 1) / c.group;
    std::vector<float> x = activations(c.m, c.k, c.k);
    QuantizedActivations want =
        quantizeActivations(x.data(), c.m, c.k, c.group);
    GuardedBuffer in(x.data(), 4 * c.m * c.k), codes(c.m * c.k),
        scales(4 * c.m * groups), sums(4 * c.m * groups);
    ASSERT_TRUE(harness.call(c.name,
                             {{in.as<void>(), {c.m, c.k}},
                              {codes.as<void>(), {c.m, c.k}},
                              {scales.as<void>(), {c.m, groups}},
                              {sums.as<void>(), {c.m, groups}}},
                             0, c.m));
    const void *expected[] = {want.codes.data(), want.scales.data(),
                              want.sums.data()};
    const int64_t sizes[] = {codes.size(), scales.size(), sums.size()};
    for (int i = 0; i < 3; ++i)
      EXPECT_TRUE(harness.holds(i + 1, expected[i], sizes[i]))
          << "k " << c.k << " group " << c.group << " result " << i;
  }
}
