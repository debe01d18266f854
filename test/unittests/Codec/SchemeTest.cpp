//===- SchemeTest.cpp - Laws of schemes -----------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CodecTestUtils.h"

using namespace mlir::cq;
using namespace mlir::cq::test;

TEST(SchemeTest, SchemeStringRoundTrip) {
  for (const Scheme &scheme : schemes()) {
    EXPECT_EQ(messageOf(scheme.check()), "");
    EXPECT_EQ(valueOf(Scheme::parse(scheme.str())), scheme) << scheme.str();
  }
  EXPECT_EQ((Scheme{8, 0, Grid::Symmetric, ScaleType::F32}.str()),
            "b8-row-symmetric-f32");
}

TEST(SchemeTest, LastFieldsMayBeLeftOut) {
  EXPECT_EQ(valueOf(Scheme::parse("b3-g64")),
            (Scheme{3, 64, Grid::Symmetric, ScaleType::F16}));
  EXPECT_EQ(valueOf(Scheme::parse("b4-row-half-step")),
            (Scheme{4, 0, Grid::HalfStep, ScaleType::F16}));
  EXPECT_EQ(valueOf(Scheme::parse("b4-g32-bf16")),
            (Scheme{4, 32, Grid::Symmetric, ScaleType::BF16}));
}

TEST(SchemeTest, MalformedSchemesAreRejected) {
  for (const char *text : {"",
                           "b",
                           "b3",
                           "3-g64",
                           "b7-g64",
                           "b3-g48",
                           "b3-g0",
                           "b3-g-64",
                           "b-3-g64",
                           "b3-g64-",
                           "b3-g64-symmetric-",
                           "b3-g64-f16-symmetric",
                           "b3-g64-f64",
                           "b5-g64-half-step",
                           "b3-g64-symmetric-f16-",
                           "b3-g64symmetric",
                           "B3-g64",
                           "b99999999999999999999-g64",
                           "b3-g99999999999999999999",
                           "b3-rows"})
    EXPECT_NE(messageOf(Scheme::parse(text)), "") << text;
  EXPECT_NE(messageOf(Scheme{4, -1}.check()), "");
}

TEST(SchemeTest, RatiosBecomeCounts) {
  auto element = [](double ratio, int64_t k) {
    return CherrySpec::fromRatio(CherryForm::Element, ratio, k).count;
  };
  EXPECT_EQ(element(1.0 / 256, 4096), 16);
  EXPECT_EQ(element(1.0 / 256, 11008), 40);
  EXPECT_EQ(element(1.0 / 256, 576), 1);
  auto column = CherrySpec::fromRatio(CherryForm::Column, 1.0 / 256, 4096);
  EXPECT_EQ(column.count, 16);
  EXPECT_EQ(column.bytes(10, 4096), 16 * 2 + 16 * 10 * 2);
  auto slot = CherrySpec::fromRatio(CherryForm::Slot, 1.0 / 256, 576);
  EXPECT_EQ(slot.count, 1);
  EXPECT_EQ(CherrySpec::slotBlocks(576), 2);
  EXPECT_EQ(CherrySpec::slotBlocks(640), 3);
  EXPECT_EQ(slot.bytes(17, 576), 2 * 2 * 16 * 3);
}

TEST(SchemeTest, ImpossibleCherriesAreRejected) {
  auto check = [](CherryForm form, int64_t count, int64_t n, int64_t k) {
    return messageOf(CherrySpec{form, count}.check(n, k));
  };
  EXPECT_EQ(check(CherryForm::Element, 31, 3, 31), "");
  EXPECT_NE(check(CherryForm::Element, 32, 3, 31), "");
  EXPECT_NE(check(CherryForm::Element, 0, 3, 31), "");
  EXPECT_NE(check(CherryForm::Column, -1, 3, 31), "");
  EXPECT_NE(check(CherryForm::Column, 1, 3, 65537), "");
  EXPECT_EQ(check(CherryForm::Slot, 1, 3, 65537), "");
  EXPECT_NE(check(CherryForm::Slot, 257, 3, 1024), "");
  EXPECT_NE(check(CherryForm::Slot, 200, 3, 256 + 130), "");
  EXPECT_NE(check(CherryForm::None, 1, 3, 31), "");
  EXPECT_NE(check(CherryForm::Slot, 1, INT64_MAX, INT64_MAX), "");
  EXPECT_NE(check(CherryForm::Element, 1, int64_t(1) << 40, int64_t(1) << 20),
            "");
}
