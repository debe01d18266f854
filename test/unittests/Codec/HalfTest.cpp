//===- HalfTest.cpp - Laws of sixteen-bit floats --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Half.h"
#include "CodecTestUtils.h"
#include "llvm/ADT/APFloat.h"

using namespace mlir::cq;

static uint16_t convert(float value, const llvm::fltSemantics &semantics) {
  llvm::APFloat number(value);
  bool lost;
  number.convert(semantics, llvm::APFloat::rmNearestTiesToEven, &lost);
  return number.bitcastToAPInt().getZExtValue();
}

TEST(HalfTest, EveryHalfComesBack) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00) != 0x7c00 || (bits & 0x3ff) == 0)
      EXPECT_EQ(detail::f32ToF16(detail::f16ToF32(bits)), bits);
    if ((bits & 0x7f80) != 0x7f80 || (bits & 0x7f) == 0)
      EXPECT_EQ(detail::f32ToBF16(detail::bf16ToF32(bits)), bits);
  }
}

TEST(HalfTest, RoundingAgreesWithLLVM) {
  std::mt19937 random(7);
  for (int i = 0; i < 400000; ++i) {
    uint32_t bits = random();
    if (i % 2) // around the range of f16, and often on ties
      bits = (bits & 0x80000fff) | ((100u + bits % 50) << 23) |
             (random() & 0x7ff000);
    if (i % 4 == 3)
      bits &= ~0xfffu;
    float value = detail::floatOf(bits);
    if (!detail::isFinite(value))
      continue;
    EXPECT_EQ(detail::f32ToF16(value),
              convert(value, llvm::APFloat::IEEEhalf()))
        << bits;
    EXPECT_EQ(detail::f32ToBF16(value), convert(value, llvm::APFloat::BFloat()))
        << bits;
  }
}

TEST(HalfTest, ScalesTooSmallForTheirTypeAreZero) {
  EXPECT_EQ(detail::roundScale(0x1p-25f, ScaleType::F16), 0.0f);
  EXPECT_EQ(detail::roundScale(0x1.8p-25f, ScaleType::F16), 0x1p-24f);
  EXPECT_EQ(detail::roundScale(0x1p-127f, ScaleType::F32), 0.0f);
  EXPECT_EQ(detail::roundScale(-0x1p-127f, ScaleType::BF16), 0.0f);
  EXPECT_FALSE(std::signbit(detail::roundScale(-0.0f, ScaleType::F16)));
  EXPECT_FALSE(detail::isFinite(detail::roundScale(65520.0f, ScaleType::F16)));
}
