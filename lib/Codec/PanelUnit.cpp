//===- PanelUnit.cpp - The fields of the panel16 layout -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Codec/Layout.h"
#include "llvm/Support/ErrorHandling.h"

using namespace mlir::cq;

// Each entry is one quad: its terms {vector, shift, mask}, then its shift
// class.
static const PanelUnit units[] = {
    // Two bits a quad.
    {2,
     1,
     {{{{0, 0, 0x03}}, 0},
      {{{0, 0, 0x0C}}, 2},
      {{{0, 0, 0x30}}, 4},
      {{{0, 0, 0xC0}}, 6}}},
    // Two quads in the low six bits of each of A, B, C; the two bits left over
    // in
    // A and C are the high bits of quads 6 and 7, whose low bits lie in B.
    {3,
     3,
     {{{{0, 0, 0x07}}, 0},
      {{{0, 0, 0x38}}, 3},
      {{{1, 0, 0x07}}, 0},
      {{{1, 0, 0x38}}, 3},
      {{{2, 0, 0x07}}, 0},
      {{{2, 0, 0x38}}, 3},
      {{{0, 0, 0xC0}, {1, 1, 0x20}}, 5},
      {{{2, 0, 0xC0}, {1, 2, 0x20}}, 5}}},
    // Two nibbles.
    {4, 1, {{{{0, 0, 0x0F}}, 0}, {{{0, 0, 0xF0}}, 4}}},
    // Four nibble vectors, then one bit a quad. An even quad wants its bit at
    // 4,
    // an odd one at 7: pairs that lie three apart share a shift.
    {5,
     5,
     {{{{0, 0, 0x0F}, {4, 0, 0x10}}, 0},
      {{{0, 1, 0x78}, {4, 0, 0x80}}, 3},
      {{{1, 0, 0x0F}, {4, -1, 0x10}}, 0},
      {{{1, 1, 0x78}, {4, -1, 0x80}}, 3},
      {{{2, 0, 0x0F}, {4, -2, 0x10}}, 0},
      {{{2, 1, 0x78}, {4, -2, 0x80}}, 3},
      {{{3, 0, 0x0F}, {4, -4, 0x10}}, 0},
      {{{3, 1, 0x78}, {4, -6, 0x80}}, 3}}},
    // Two nibble vectors, then two bits a quad.
    {6,
     3,
     {{{{0, 0, 0x0F}, {2, 0, 0x30}}, 0},
      {{{0, 2, 0x3C}, {2, 0, 0xC0}}, 2},
      {{{1, 0, 0x0F}, {2, -4, 0x30}}, 0},
      {{{1, 2, 0x3C}, {2, -4, 0xC0}}, 2}}},
    // The code as it is.
    {8, 1, {{{{0, 0, 0xFF}}, 0}}},
};

const PanelUnit &PanelUnit::get(unsigned bits) {
  for (const PanelUnit &unit : units)
    if (unit.bits == bits)
      return unit;
  llvm_unreachable("no panel unit of this bit width");
}
