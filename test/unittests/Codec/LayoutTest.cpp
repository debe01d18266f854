//===- LayoutTest.cpp - Laws of layouts -----------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Codec/Layout.h"
#include "CodecTestUtils.h"
#include <set>

using namespace mlir::cq;
using namespace mlir::cq::test;

static const unsigned allBits[] = {2, 3, 4, 5, 6, 8};
static const LayoutKind allKinds[] = {LayoutKind::Linear, LayoutKind::Panel16,
                                      LayoutKind::MmaFragment};

static std::vector<uint8_t>
pack(const Layout &layout, const std::vector<uint8_t> &codes, Shape shape) {
  // Neither garbage nor bytes behind the end may survive.
  int64_t bytes = layout.codeBytes(shape.n, shape.k);
  std::vector<uint8_t> packed(bytes + 64, 0xA5);
  layout.pack(codes.data(), shape.n, shape.k, packed.data());
  for (int64_t i = bytes; i < bytes + 64; ++i)
    EXPECT_EQ(packed[i], 0xA5);
  packed.resize(bytes);
  return packed;
}

TEST(PanelUnitTest, OrOfTermsIsTheCodeAtItsShiftClass) {
  for (unsigned bits : allBits) {
    const PanelUnit &unit = PanelUnit::get(bits);
    EXPECT_EQ(unit.bits, bits);
    EXPECT_LE(unit.vectors, 8u); // the packer's buffer
    // Exactly `bits` bits a code: no bit of the unit is spare.
    EXPECT_EQ(unit.vectors * 8, bits * unit.quads.size());
    std::set<std::pair<unsigned, unsigned>> used;
    for (const PanelQuad &quad : unit.quads) {
      unsigned covered = 0;
      for (const PanelTerm &term : quad.terms) {
        EXPECT_LT(term.vector, unit.vectors);
        EXPECT_EQ(covered & term.mask, 0u);
        covered |= term.mask;
        for (int bit = 0; bit < 8; ++bit)
          if (term.mask >> bit & 1) {
            int source = bit + term.shift;
            // Within the byte, so that shifts of wider lanes are harmless.
            EXPECT_TRUE(source >= 0 && source < 8);
            EXPECT_TRUE(used.insert({term.vector, source}).second);
          }
      }
      EXPECT_EQ(covered, ((1u << bits) - 1) << quad.shiftClass);
    }
  }
}

TEST(LayoutTest, UnpackOfPackIsIdentity) {
  for (Shape shape : shapes())
    for (unsigned bits : allBits)
      for (LayoutKind kind : allKinds) {
        Layout layout = Layout::uniform(kind, shape.n, bits);
        EXPECT_EQ(messageOf(layout.check(shape.n, shape.k)), "");
        auto codes = randomCodes(shape.n * shape.k, bits, 1);
        auto packed = pack(layout, codes, shape);
        std::vector<uint8_t> back(codes.size() + 64, 0xA5);
        layout.unpack(packed.data(), shape.n, shape.k, back.data());
        for (int i = 0; i < 64; ++i)
          EXPECT_EQ(back[codes.size() + i], 0xA5);
        back.resize(codes.size());
        EXPECT_EQ(back, codes) << shape.n << "x" << shape.k << " at " << bits;
      }
}

TEST(LayoutTest, LayoutOffsetsAreABijection) {
  // Every single code owns `bits` bits that no other code touches.
  for (Shape shape : {Shape{17, 33}, {3, 31}, {16, 64}, {1, 1}})
    for (unsigned bits : allBits)
      for (LayoutKind kind : allKinds) {
        Layout layout = Layout::uniform(kind, shape.n, bits);
        std::vector<uint8_t> codes(shape.n * shape.k);
        std::vector<uint8_t> taken(layout.codeBytes(shape.n, shape.k));
        for (uint8_t &code : codes) {
          code = (1u << bits) - 1;
          auto packed = pack(layout, codes, shape);
          code = 0;
          int owned = 0;
          for (size_t i = 0; i < packed.size(); ++i) {
            EXPECT_EQ(packed[i] & taken[i], 0);
            taken[i] |= packed[i];
            owned += __builtin_popcount(packed[i]);
          }
          EXPECT_EQ(owned, static_cast<int>(bits));
        }
      }
}

TEST(LayoutTest, PaddingIsIgnoredByUnpackAndZeroInPack) {
  Shape shape{17, 33};
  for (unsigned bits : allBits)
    for (LayoutKind kind : allKinds) {
      Layout layout = Layout::uniform(kind, shape.n, bits);
      std::vector<uint8_t> full(shape.n * shape.k, (1u << bits) - 1);
      auto owned = pack(layout, full, shape);
      int64_t ones = 0;
      for (uint8_t byte : owned)
        ones += __builtin_popcount(byte);
      EXPECT_EQ(ones, shape.n * shape.k * bits);
      auto codes = randomCodes(shape.n * shape.k, bits, 2);
      auto packed = pack(layout, codes, shape);
      for (size_t i = 0; i < packed.size(); ++i)
        packed[i] |= ~owned[i];
      std::vector<uint8_t> back(codes.size());
      layout.unpack(packed.data(), shape.n, shape.k, back.data());
      EXPECT_EQ(back, codes);
    }
}

TEST(FragmentChunkTest, EveryBitOfTheWordsIsOneOfACode) {
  for (unsigned bits : allBits) {
    const FragmentChunk &chunk = FragmentChunk::get(bits);
    EXPECT_EQ(chunk.chunksPerBlock * bits % 4, 0u); // whole 16-byte loads
    std::set<std::pair<unsigned, unsigned>> used;
    for (const auto &pair : chunk.fields) {
      unsigned covered = 0;
      for (const FragmentField &field : pair)
        for (unsigned i = 0; i < field.width; ++i) {
          EXPECT_LT(field.word, bits);
          EXPECT_LT(field.bit + i, 16);
          EXPECT_TRUE(used.insert({field.word, field.bit + i}).second);
          covered |= 1u << (field.codeBit + i);
        }
      EXPECT_EQ(covered, (1u << bits) - 1);
    }
    EXPECT_EQ(used.size(), 16u * bits);
  }
}

TEST(FragmentChunkTest, PlacesAreThoseOfTheDocument) {
  // Row 9 = lanes 4 … 7, odd registers; column 64 + 8·2 + 5 = lane 6, step 1,
  // register 1, high half: pair 5 = first field of word 1.
  Shape shape{16, 5 * 64};
  std::vector<uint8_t> codes(shape.n * shape.k);
  codes[9 * shape.k + 64 + 21] = 5;
  auto packed =
      pack(Layout::uniform(LayoutKind::MmaFragment, 16, 3), codes, shape);
  ASSERT_EQ(packed.size(), 5u * 384);
  // Word 3 + 1 of the block: second 16-byte load, its first word.
  size_t at = 512 + 6 * 16 + 2;
  for (size_t i = 0; i < packed.size(); ++i)
    EXPECT_EQ(packed[i], i == at ? 5 : 0) << i;
  // The fifth chunk is left over: single words.
  codes.assign(codes.size(), 0);
  codes[0 * shape.k + 256 + 6] = 7; // lane 0, step 1, register 2: pair 6
  packed = pack(Layout::uniform(LayoutKind::MmaFragment, 16, 3), codes, shape);
  for (size_t i = 0; i < packed.size(); ++i)
    EXPECT_EQ(packed[i], i == 4 * 384 + 128 ? 7 << 3 : 0) << i;
}

TEST(LayoutTest, PackedBytesAreThoseOfTheDocument) {
  // Row 0, columns 0–3 of W3: low three bits of the first four bytes of A; quad
  // 6 (columns 24–27): two high bits in A, the low one in bit 6 of B.
  std::vector<uint8_t> codes(16 * 32);
  codes[1] = 5;
  codes[26] = 7;
  auto packed =
      pack(Layout::uniform(LayoutKind::Panel16, 16, 3), codes, {16, 32});
  ASSERT_EQ(packed.size(), 192u);
  EXPECT_EQ(packed[1], 5);
  EXPECT_EQ(packed[2], 0xC0);
  EXPECT_EQ(packed[64 + 2], 0x40);
  EXPECT_EQ(pack(Layout::uniform(LayoutKind::Linear, 1, 3), {1, 2, 3}, {1, 3}),
            (std::vector<uint8_t>{0b11010001, 0b0}));
}

TEST(LayoutTest, SegmentsArePackedOneAfterTheOther) {
  Shape shape{37, 100};
  for (LayoutKind kind : allKinds) {
    Layout mixed;
    mixed.kind = kind;
    mixed.segments = {{16, 3}, {16, 2}, {5, 8}};
    ASSERT_EQ(messageOf(mixed.check(shape.n, shape.k)), "");
    auto codes = randomCodes(shape.n * shape.k, 2, 3);
    auto packed = pack(mixed, codes, shape);
    std::vector<uint8_t> back(codes.size());
    mixed.unpack(packed.data(), shape.n, shape.k, back.data());
    EXPECT_EQ(back, codes);
    int64_t bytes = 0;
    for (RowSegment segment : mixed.segments)
      bytes += Layout::uniform(kind, segment.rows, segment.bits)
                   .codeBytes(segment.rows, shape.k);
    EXPECT_EQ(static_cast<int64_t>(packed.size()), bytes);
  }
}

TEST(LayoutTest, ScaleIndicesAreABijectionIntoTheEntries) {
  for (Shape shape : shapes())
    for (int64_t group : {32, 128, 0})
      for (LayoutKind kind : allKinds) {
        Scheme scheme{4, group};
        Layout layout = Layout::uniform(kind, shape.n, 4);
        int64_t entries = layout.scaleEntries(shape.n, shape.k, scheme);
        std::set<int64_t> seen;
        for (int64_t row = 0; row < shape.n; ++row)
          for (int64_t g = 0; g < scheme.numGroups(shape.k); ++g) {
            int64_t at = layout.scaleIndex(row, g, shape.n, shape.k, scheme);
            EXPECT_TRUE(at >= 0 && at < entries && seen.insert(at).second);
          }
      }
}

TEST(LayoutTest, MalformedLayoutsAreRejected) {
  auto check = [](LayoutKind kind, llvm::ArrayRef<RowSegment> segments,
                  int64_t n, int64_t k) {
    Layout layout;
    layout.kind = kind;
    layout.segments.assign(segments.begin(), segments.end());
    return messageOf(layout.check(n, k));
  };
  EXPECT_EQ(check(LayoutKind::Panel16, {{16, 3}, {1, 4}}, 17, 5), "");
  EXPECT_EQ(check(LayoutKind::Linear, {{1, 3}, {16, 4}}, 17, 5), "");
  EXPECT_NE(check(LayoutKind::Panel16, {{1, 3}, {16, 4}}, 17, 5), "");
  EXPECT_NE(check(LayoutKind::Linear, {}, 17, 5), "");
  EXPECT_NE(check(LayoutKind::Linear, {{17, 7}}, 17, 5), "");
  EXPECT_NE(check(LayoutKind::Linear, {{17, 0}}, 17, 5), "");
  EXPECT_NE(check(LayoutKind::Linear, {{16, 3}}, 17, 5), "");
  EXPECT_NE(check(LayoutKind::Linear, {{18, 3}}, 17, 5), "");
  EXPECT_NE(check(LayoutKind::Linear, {{18, 3}, {-1, 3}}, 17, 5), "");
  EXPECT_NE(check(LayoutKind::Linear, {{INT64_MAX, 3}, {INT64_MAX, 3}, {19, 3}},
                  17, 5),
            "");
  EXPECT_NE(check(LayoutKind::Linear, {{0, 3}}, 0, 5), "");
  EXPECT_NE(check(LayoutKind::Linear, {{4, 3}}, 4, 0), "");
  EXPECT_NE(check(LayoutKind::Linear, {{4, 3}}, 4, -8), "");
}

TEST(LayoutTest, HostileShapesAreErrors) {
  for (auto [n, k] : {std::pair<int64_t, int64_t>{INT64_MAX, 1},
                      {1, INT64_MAX},
                      {INT64_MAX, INT64_MAX},
                      {int64_t(1) << 32, int64_t(1) << 32},
                      {int64_t(1) << 30, int64_t(1) << 30}})
    for (LayoutKind kind : allKinds)
      EXPECT_NE(messageOf(Layout::uniform(kind, n, 8).check(n, k)), "");
}
