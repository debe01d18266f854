//===- PackedWeightTest.cpp - Laws of packed weights ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CodecTestUtils.h"

using namespace mlir::cq;
using namespace mlir::cq::test;

static const CherrySpec allSpecs[] = {{},
                                      {CherryForm::Element, 2},
                                      {CherryForm::Column, 3},
                                      {CherryForm::Slot, 1}};
static const LayoutKind allKinds[] = {LayoutKind::Linear, LayoutKind::Panel16,
                                      LayoutKind::MmaFragment};

static PackedWeight packed(Shape shape, const Scheme &scheme, LayoutKind kind,
                           const CherrySpec &spec,
                           QuantizedWeight *unpacked = nullptr,
                           CherryPositions *positions = nullptr) {
  auto w = randomWeights(shape.n * shape.k, 41);
  auto cherries = valueOf(selectCherries(w.data(), shape.n, shape.k, spec,
                                         CherryCriterion::Magnitude, scheme));
  auto q = valueOf(quantizeWeight(w.data(), shape.n, shape.k, scheme,
                                  QuantizerKind::RTN, &cherries));
  if (unpacked)
    *unpacked = q;
  if (positions)
    *positions = cherries;
  return packWeight(q, &cherries, Layout::uniform(kind, shape.n, scheme.bits));
}

TEST(PackedWeightTest, UnpackOfPackIsIdentity) {
  for (Shape shape : {Shape{17, 300}, {3, 31}, {16, 576}})
    for (const Scheme &scheme : schemes())
      for (LayoutKind kind : allKinds)
        for (const CherrySpec &spec : allSpecs) {
          QuantizedWeight before;
          CherryPositions positions, back;
          PackedWeight p =
              packed(shape, scheme, kind, spec, &before, &positions);
          auto after = valueOf(unpackWeight(p, &back));
          EXPECT_EQ(before.codes, after.codes);
          EXPECT_EQ(before.scales, after.scales);
          EXPECT_EQ(before.zeros, after.zeros);
          EXPECT_EQ(before.deltas, after.deltas);
          EXPECT_EQ(positions.columns, back.columns);
          EXPECT_EQ(positions.spec, back.spec);
        }
}

TEST(PackedWeightTest, PlaneBytesEqualBytesWritten) {
  for (Shape shape : shapes())
    for (const Scheme &scheme : {Scheme{3, 64}, Scheme{4, 128, Grid::Affine},
                                 Scheme{5, 0, Grid::Affine, ScaleType::F32},
                                 Scheme{2, 32, Grid::HalfStep}})
      for (LayoutKind kind : allKinds)
        for (const CherrySpec &spec : allSpecs) {
          if (spec.count > shape.k)
            continue;
          PackedWeight p = packed(shape, scheme, kind, spec);
          PlaneBytes bytes =
              planeBytes(shape.n, shape.k, scheme, p.layout, spec);
          auto size = [](const std::vector<uint8_t> &plane) {
            return static_cast<int64_t>(plane.size());
          };
          EXPECT_EQ(bytes.codes, size(p.codes));
          EXPECT_EQ(bytes.scales, size(p.scales));
          EXPECT_EQ(bytes.zeros, size(p.zeros));
          EXPECT_EQ(bytes.cherryColumns, size(p.cherryColumns));
          EXPECT_EQ(bytes.cherryDeltas, size(p.cherryDeltas));
          EXPECT_EQ(spec.bytes(shape.n, shape.k),
                    bytes.cherryColumns + bytes.cherryDeltas);
        }
}

TEST(PackedWeightTest, BitsPerWeightAreThoseOfTheDocument) {
  auto bpw = [](Scheme scheme, int64_t k, CherrySpec spec = {}) {
    return planeBytes(4096, k, scheme,
                      Layout::uniform(LayoutKind::Panel16, 4096, scheme.bits),
                      spec)
        .bitsPerWeight(4096, k);
  };
  EXPECT_DOUBLE_EQ(bpw({3, 128}, 4096), 3.125);
  EXPECT_DOUBLE_EQ(bpw({4, 128}, 4096), 4.125);
  EXPECT_DOUBLE_EQ(bpw({2, 128}, 4096), 2.125);
  EXPECT_DOUBLE_EQ(bpw({3, 64, Grid::Affine}, 4096), 3 + 16.0 / 64 + 8.0 / 64);
  EXPECT_NEAR(bpw({3, 128}, 576), 3.139, 0.001);
  EXPECT_NEAR(bpw({3, 64}, 4096, {CherryForm::Slot, 1}) - bpw({3, 64}, 4096),
              0.094, 0.001);
  EXPECT_DOUBLE_EQ(bpw({3, 64}, 4096, {CherryForm::Element, 16}) -
                       bpw({3, 64}, 4096),
                   0.125);
}

TEST(PackedWeightTest, MalformedPlanesAreRejected) {
  Scheme scheme{3, 64, Grid::Affine};
  for (LayoutKind kind : allKinds)
    for (CherryForm form :
         {CherryForm::Element, CherryForm::Column, CherryForm::Slot}) {
      PackedWeight good = packed({17, 300}, scheme, kind, {form, 1});
      EXPECT_EQ(messageOf(unpackWeight(good, nullptr)), "");
      auto rejects = [&](auto change) {
        PackedWeight bad = good;
        change(bad);
        EXPECT_NE(messageOf(unpackWeight(bad, nullptr)), "");
      };
      for (auto plane :
           {&PackedWeight::codes, &PackedWeight::scales, &PackedWeight::zeros,
            &PackedWeight::cherryColumns, &PackedWeight::cherryDeltas}) {
        rejects([&](PackedWeight &p) { (p.*plane).pop_back(); });
        rejects([&](PackedWeight &p) { (p.*plane).push_back(0); });
        rejects([&](PackedWeight &p) { (p.*plane).clear(); });
      }
      rejects([](PackedWeight &p) { p.n = INT64_MAX; });
      rejects([](PackedWeight &p) { p.k = INT64_MAX; });
      rejects([](PackedWeight &p) { p.n = -17; });
      rejects([](PackedWeight &p) { p.k = 0; });
      rejects([](PackedWeight &p) { p.scheme.bits = 4; });
      rejects([](PackedWeight &p) { p.scheme.group = 63; });
      rejects([](PackedWeight &p) { p.layout.segments.clear(); });
      rejects([](PackedWeight &p) { p.cherries.count = -1; });
      rejects([](PackedWeight &p) { p.cherries.count = INT64_MAX; });
      if (form != CherryForm::Slot) // K = 300 < 0xFFFF
        rejects([](PackedWeight &p) {
          p.cherryColumns[0] = p.cherryColumns[1] = 0xFF;
        });
    }
  // The last block has 140 columns, so that a u8 can point outside.
  PackedWeight bad =
      packed({17, 396}, scheme, LayoutKind::Panel16, {CherryForm::Slot, 1});
  bad.cherryColumns[16] = 140;
  EXPECT_NE(messageOf(unpackWeight(bad, nullptr)), "");
}
