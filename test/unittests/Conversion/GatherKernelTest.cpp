//===- GatherKernelTest.cpp - Gathered rows equal the codec's -------------===//
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

static void checkLayout(LayoutKind kind) {
  constexpr int64_t rows[] = {33, 16, 5}, columns[] = {576, 100, 31, 257, 64};
  struct Case {
    WeightCase weight;
    std::string name;
  };
  std::vector<Case> cases;
  constexpr int64_t kTokens = 6;
  KernelHarness harness;
  OpBuilder builder = harness.builder();
  for (const Scheme &scheme : allSchemes()) {
    unsigned i = cases.size();
    int64_t n = rows[i % 3], k = columns[i % 5];
    Layout layout = Layout::uniform(kind, n, scheme.bits);
    cases.push_back({makeWeight(n, k, scheme, layout, cherriesOf(i, k), i),
                     "gather" + std::to_string(i)});
    const WeightSpec &spec = cases.back().weight.spec;
    buildGatherKernel(builder, builder.getUnknownLoc(), cases.back().name, spec,
                      GatherTypes::get(harness.context(), spec, kTokens));
  }
  ASSERT_TRUE(harness.compile());
  for (Case &c : cases) {
    const WeightSpec &s = c.weight.spec;
    std::vector<float> all(s.n * s.k);
    dequantizeWeight(c.weight.quantized, c.weight.positions(), all.data(), 1);
    int32_t last = static_cast<int32_t>(s.n - 1);
    int32_t rowsWanted[kTokens] = {0, last, last / 2, 1, 1, last - 1};
    GuardedBuffer indices(rowsWanted, sizeof(rowsWanted)),
        out(4 * kTokens * s.k);
    SmallVector<KernelHarness::Argument> arguments{
        {indices.as<void>(), {kTokens}}};
    appendPlanes(c.weight, arguments);
    arguments.push_back({out.as<void>(), {kTokens, s.k}});
    ASSERT_TRUE(harness.call(c.name, arguments, 0, kTokens));
    std::vector<float> want;
    for (int32_t row : rowsWanted)
      want.insert(want.end(), &all[row * s.k], &all[row * s.k] + s.k);
    EXPECT_TRUE(
        harness.holds(arguments.size() - 1, want.data(), 4 * want.size()))
        << s.name();
  }
}

TEST(GatherKernel, EqualsDequantizedRowsOfPanels) {
  checkLayout(LayoutKind::Panel16);
}
TEST(GatherKernel, EqualsDequantizedRowsOfLinearPlanes) {
  checkLayout(LayoutKind::Linear);
}
