//===- UnpackUnitTest.cpp - Laws of the planned fields --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "UnpackUnit.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::cq;
using namespace mlir::cq::x86;

/// What emitField computes, on one 16-bit lane.
static uint16_t evaluate(const Field &field,
                         const std::vector<uint16_t> &vectors) {
  uint16_t result = 0;
  for (const PanelTerm &term : field.terms) {
    uint16_t v = vectors[term.vector];
    v = term.shift >= 0 ? v >> term.shift : v << -term.shift;
    result |= v & (term.mask * 0x0101u);
  }
  return result;
}

/// The fields of a quad, scaled by their exponents, add up to its code, and no
/// operand is larger than planned or than the multiplier takes.
TEST(UnpackUnit, FieldsAddUpToTheCode) {
  std::mt19937 random(5);
  for (unsigned bits : {2u, 3u, 4u, 5u, 6u, 8u})
    for (ISALevel level :
         {ISALevel::AVX2, ISALevel::AVX512, ISALevel::AVX512VNNI})
      for (bool inPlace : {false, true}) {
        ISA isa{level, false};
        const PanelUnit &unit = PanelUnit::get(bits);
        auto fields = planFields(unit, (1u << bits) - 1, isa, inPlace);
        for (int round = 0; round < 200; ++round) {
          std::vector<uint16_t> vectors(unit.vectors);
          for (uint16_t &v : vectors)
            v = static_cast<uint16_t>(random());
          for (unsigned byte : {0u, 1u}) {
            std::vector<int64_t> scaled(unit.quads.size()); // in 1/256
            for (const Field &field : fields) {
              unsigned operand = evaluate(field, vectors) >> (8 * byte) & 0xFF;
              if (!field.centered) {
                EXPECT_LE(operand, field.max);
              }
              EXPECT_LE(field.max, isa.maxOperand());
              scaled[field.quad] += int64_t(operand) << (8 + field.exponent);
            }
            for (size_t q = 0; q < unit.quads.size(); ++q) {
              Field whole;
              whole.terms = unit.quads[q].terms;
              unsigned code = (evaluate(whole, vectors) >> (8 * byte) & 0xFF) >>
                              unit.quads[q].shiftClass;
              EXPECT_EQ(scaled[q], int64_t(code) << 8)
                  << bits << " bits, quad " << q;
            }
          }
        }
      }
}

TEST(UnpackUnit, OneAccumulatorUnlessInPlaceOrSplit) {
  auto count = [](unsigned bits, ISALevel level, bool inPlace) {
    return exponents(planFields(PanelUnit::get(bits), (1u << bits) - 1,
                                ISA{level, false}, inPlace))
        .size();
  };
  for (unsigned bits : {2u, 3u, 4u, 5u, 6u, 8u})
    EXPECT_EQ(count(bits, ISALevel::AVX2, false), 1u);
  EXPECT_EQ(count(8, ISALevel::AVX512, false), 2u);
  EXPECT_EQ(count(8, ISALevel::AVX512VNNI, true), 1u);
  EXPECT_EQ(count(3, ISALevel::AVX512VNNI, true), 3u);
}
