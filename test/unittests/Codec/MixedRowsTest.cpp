//===- MixedRowsTest.cpp - Laws of rows of several widths -----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Codec/MixedRows.h"
#include "CodecTestUtils.h"
#include "cq/Codec/ReferenceGemm.h"
#include "llvm/ADT/STLExtras.h"
#include <numeric>

using namespace mlir::cq;
using namespace mlir::cq::test;

namespace {

struct Mixed {
  std::vector<uint32_t> order;
  CherryPositions cherries;
  QuantizedWeight q;
};

Mixed quantizeMixed(const std::vector<float> &w, Shape shape,
                    const Scheme &scheme, WideRows wide, QuantizerKind kind,
                    const CherrySpec &spec,
                    const SecondMoments *moments = nullptr) {
  Mixed m;
  m.order = valueOf(rankRows(w.data(), shape.n, shape.k, scheme, wide.count));
  auto v = permuteRows(w.data(), shape.k, m.order);
  m.cherries = valueOf(selectCherries(v.data(), shape.n, shape.k, spec,
                                      CherryCriterion::Magnitude, scheme));
  Layout layout = wide.layout(LayoutKind::Panel16, shape.n, scheme.bits);
  QuantizerInputs inputs;
  inputs.segments = layout.segments;
  inputs.moments = moments;
  m.q = valueOf(quantizeWeight(v.data(), shape.n, shape.k, scheme, kind,
                               &m.cherries, inputs));
  m.q.order = m.order;
  return m;
}

/// Whether a row is one of the wide ones.
bool isWide(const Mixed &m, int64_t row, int64_t count) {
  return std::find(m.order.begin(), m.order.begin() + count, row) !=
         m.order.begin() + count;
}

} // namespace

TEST(MixedRowsTest, SharesAreRoundedToPanels) {
  struct Case {
    int64_t numerator, denominator, n, count;
  };
  // N = 192 has 12 panels; 1/8 of them are 1.5.
  for (Case c : {Case{0, 1, 192, 0},
                 {1, 8, 192, 32},
                 {1, 12, 192, 16},
                 {1, 50, 192, 16},
                 {1, 4, 192, 48},
                 {1, 1, 192, 176},
                 {9, 10, 192, 176},
                 {1, 8, 576, 80}, // 4.5 panels
                 {1, 2, 17, 16},
                 {1, 2, 16, 0},
                 {1, 2, 1, 0},
                 {1, 2, 100, 48}, // 3.125
                 {1, INT64_MAX, 192, 16},
                 {INT64_MAX, 1, 192, 176},
                 {1, 2, INT64_MAX, INT64_MAX / 32 * 16},
                 {-1, 2, 192, 0},
                 {1, 0, 192, 0}}) {
    int64_t count = WideRows::roundedCount(c.numerator, c.denominator, c.n);
    EXPECT_EQ(count % 16, 0);
    EXPECT_LT(count, c.n);
    if (c.n < 1000)
      EXPECT_EQ(count, c.count)
          << c.numerator << "/" << c.denominator << " of " << c.n;
  }
}

TEST(MixedRowsTest, ImpossibleMixesAreRefused) {
  Scheme scheme{3, 64};
  EXPECT_EQ(messageOf(WideRows{32, 4}.check(192, scheme)), "");
  EXPECT_EQ(messageOf(WideRows{}.check(192, scheme)), "");
  for (WideRows bad : {WideRows{24, 4},
                       {192, 4},
                       {208, 4},
                       {-16, 4},
                       {32, 3},
                       {32, 2},
                       {32, 7},
                       {32, 9},
                       {32, 16}})
    EXPECT_NE(messageOf(bad.check(192, scheme)), "")
        << bad.count << ":" << bad.bits;
  EXPECT_NE(messageOf(WideRows{32, 5}.check(
                192, {3, 64, Grid::HalfStep, ScaleType::F16})),
            "");
}

/// Rows know nothing of each other: those of a mixed weight are those of the
/// weight that has their width everywhere.
TEST(MixedRowsTest, RowsEqualThoseOfUniformWeights) {
  for (Shape shape : {Shape{33, 300}, {100, 64}, {48, 172}, {17, 257}})
    for (Scheme scheme :
         {Scheme{3, 64}, Scheme{2, 128, Grid::Affine, ScaleType::F32},
          Scheme{3, 32, Grid::HalfStep, ScaleType::BF16}, Scheme{4, 0}})
      for (unsigned bits : {4u, 5u, 8u})
        for (QuantizerKind kind : {QuantizerKind::RTN, QuantizerKind::MSE})
          for (CherrySpec spec : {CherrySpec{}, CherrySpec{CherryForm::Slot, 1},
                                  CherrySpec{CherryForm::Element, 2},
                                  CherrySpec{CherryForm::Column, 3}}) {
            WideRows wide{WideRows::roundedCount(1, 3, shape.n), bits};
            if (!messageOf(wide.check(shape.n, scheme)).empty())
              continue;
            auto w = randomWeights(shape.n * shape.k, 5);
            Mixed m = quantizeMixed(w, shape, scheme, wide, kind, spec);
            std::vector<float> decoded(w.size()), x(3 * shape.k),
                y(3 * shape.n);
            dequantizeWeight(m.q, &m.cherries, decoded.data());
            for (size_t i = 0; i < x.size(); ++i)
              x[i] = static_cast<float>(i % 13) - 6.0f;
            for (unsigned width : {scheme.bits, bits}) {
              Scheme uniform = scheme.withBits(width);
              auto cherries =
                  valueOf(selectCherries(w.data(), shape.n, shape.k, spec,
                                         CherryCriterion::Magnitude, uniform));
              auto q = valueOf(quantizeWeight(w.data(), shape.n, shape.k,
                                              uniform, kind, &cherries));
              std::vector<float> want(w.size()), wantY(y.size());
              dequantizeWeight(q, &cherries, want.data());
              for (ActivationMode mode :
                   {ActivationMode::Int8, ActivationMode::F32}) {
                referenceGemm(x.data(), 3, m.q, &m.cherries, mode, y.data());
                referenceGemm(x.data(), 3, q, &cherries, mode, wantY.data());
                for (int64_t row = 0; row < shape.n; ++row)
                  if (isWide(m, row, wide.count) == (width == bits))
                    for (int64_t t = 0; t < 3; ++t)
                      ASSERT_EQ(y[t * shape.n + row], wantY[t * shape.n + row]);
              }
              for (int64_t row = 0; row < shape.n; ++row)
                if (isWide(m, row, wide.count) == (width == bits))
                  ASSERT_TRUE(std::equal(want.begin() + row * shape.k,
                                         want.begin() + (row + 1) * shape.k,
                                         decoded.begin() + row * shape.k))
                      << "row " << row;
            }
          }
}

TEST(MixedRowsTest, GPTQRowsEqualThoseOfUniformWeights) {
  constexpr int64_t n = 50, k = 96;
  auto samples = randomWeights(200 * k, 9);
  std::vector<double> gram(k * (k + 1) / 2);
  size_t at = 0;
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = i; j < k; ++j, ++at)
      for (int64_t t = 0; t < 200; ++t)
        gram[at] += double(samples[t * k + i]) * double(samples[t * k + j]);
  auto moments = valueOf(SecondMoments::factorise(gram, k));
  auto w = randomWeights(n * k, 3);
  for (Scheme scheme : {Scheme{2, 32}, Scheme{3, 32, Grid::Affine}}) {
    WideRows wide{16, scheme.bits + 1};
    Mixed m = quantizeMixed(w, {n, k}, scheme, wide, QuantizerKind::GPTQ,
                            {CherryForm::Element, 2}, &moments);
    std::vector<float> decoded(w.size()), want(w.size());
    dequantizeWeight(m.q, &m.cherries, decoded.data());
    for (unsigned width : {scheme.bits, wide.bits}) {
      auto cherries =
          valueOf(selectCherries(w.data(), n, k, {CherryForm::Element, 2},
                                 CherryCriterion::Magnitude, scheme));
      QuantizerInputs inputs;
      inputs.moments = &moments;
      auto q = valueOf(quantizeWeight(w.data(), n, k, scheme.withBits(width),
                                      QuantizerKind::GPTQ, &cherries, inputs));
      dequantizeWeight(q, &cherries, want.data());
      for (int64_t row = 0; row < n; ++row)
        if (isWide(m, row, wide.count) == (width == wide.bits))
          ASSERT_TRUE(std::equal(want.begin() + row * k,
                                 want.begin() + (row + 1) * k,
                                 decoded.begin() + row * k));
    }
  }
}

TEST(MixedRowsTest, TheLargestImpactComesFirst) {
  constexpr int64_t n = 40, k = 64;
  std::vector<float> w = randomWeights(n * k, 1);
  // Errors grow with the size of a row: row 7·i mod 40 is the i-th smallest.
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < k; ++j)
      w[(7 * i % n) * k + j] *= static_cast<float>(1 << (i / 2));
  auto order = valueOf(rankRows(w.data(), n, k, {3, 32}, 16));
  std::vector<uint32_t> all(order);
  std::sort(all.begin(), all.end());
  for (uint32_t i = 0; i < n; ++i)
    EXPECT_EQ(all[i], i);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.begin() + 16));
  EXPECT_TRUE(std::is_sorted(order.begin() + 16, order.end()));
  // Rows two apart differ fourfold; 20 of the largest hold 16.
  for (int64_t i = 0; i < 16; ++i) {
    bool large = false;
    for (int64_t j = 22; j < n; ++j)
      large |= order[i] == static_cast<uint32_t>(7 * j % n);
    EXPECT_TRUE(large) << order[i];
  }
  // A gradient of zero makes any error harmless.
  std::vector<float> fisher(n * k, 1.0f);
  std::fill_n(fisher.begin() + order[0] * k, k, 0.0f);
  RowInputs inputs;
  inputs.fisher = fisher.data();
  auto other = valueOf(rankRows(w.data(), n, k, {3, 32}, 16, inputs));
  EXPECT_FALSE(
      llvm::is_contained(llvm::ArrayRef(other).take_front(16), order[0]));
  // So does an input of zero, for the columns it concerns.
  std::vector<float> moments(k, 0.0f);
  moments[3] = 1;
  inputs = {};
  inputs.columnWeights = moments.data();
  for (unsigned threads : {1u, 2u}) {
    inputs.threads = threads;
    EXPECT_EQ(valueOf(rankRows(w.data(), n, k, {3, 32}, 16, inputs)),
              valueOf(rankRows(w.data(), n, k, {3, 32}, 16, inputs)));
  }
}

TEST(MixedRowsTest, UnpackOfPackIsIdentityAndBytesAreCounted) {
  for (Shape shape : {Shape{33, 300}, {100, 64}, {192, 172}})
    for (LayoutKind kind : {LayoutKind::Panel16, LayoutKind::Linear})
      for (CherrySpec spec : {CherrySpec{}, CherrySpec{CherryForm::Slot, 1},
                              CherrySpec{CherryForm::Element, 2},
                              CherrySpec{CherryForm::Column, 3}}) {
        Scheme scheme{3, 64};
        WideRows wide{WideRows::roundedCount(1, 4, shape.n), 4};
        auto w = randomWeights(shape.n * shape.k, 2);
        Mixed m =
            quantizeMixed(w, shape, scheme, wide, QuantizerKind::RTN, spec);
        Layout layout = wide.layout(kind, shape.n, scheme.bits);
        PackedWeight p = packWeight(m.q, &m.cherries, layout);
        CherryPositions back;
        auto q = valueOf(unpackWeight(p, &back));
        EXPECT_EQ(q.codes, m.q.codes);
        EXPECT_EQ(q.scales, m.q.scales);
        EXPECT_EQ(q.deltas, m.q.deltas);
        EXPECT_EQ(q.segments, m.q.segments);
        EXPECT_EQ(q.order, m.order);
        EXPECT_EQ(back.columns, m.cherries.columns);
        PlaneBytes bytes = planeBytes(shape.n, shape.k, scheme, layout, spec);
        EXPECT_EQ(bytes.total(),
                  static_cast<int64_t>(p.codes.size() + p.scales.size() +
                                       p.zeros.size() + p.cherryColumns.size() +
                                       p.cherryDeltas.size() +
                                       p.rowOrder.size()));
        EXPECT_EQ(static_cast<int64_t>(p.rowOrder.size()), 2 * shape.n);
      }
}

/// 192 x 576 by hand: 3 bits g64, 32 rows of 4 bits, no cherries.
TEST(MixedRowsTest, BytesOfAnExample) {
  Layout layout = WideRows{32, 4}.layout(LayoutKind::Panel16, 192, 3);
  PlaneBytes bytes = planeBytes(192, 576, {3, 64}, layout, {});
  EXPECT_EQ(bytes.codes, 32 * 576 / 2 + 160 * 576 * 3 / 8);
  EXPECT_EQ(bytes.scales, 192 * 9 * 2);
  EXPECT_EQ(bytes.rowOrder, 192 * 2);
  EXPECT_EQ(bytes.total(), 9216 + 34560 + 3456 + 384);
}

TEST(MixedRowsTest, DamagedOrdersAreErrors) {
  Shape shape{48, 64};
  auto w = randomWeights(shape.n * shape.k, 2);
  Mixed m = quantizeMixed(w, shape, {3, 64}, {16, 4}, QuantizerKind::RTN, {});
  PackedWeight good = packWeight(
      m.q, &m.cherries, WideRows{16, 4}.layout(LayoutKind::Panel16, 48, 3));
  EXPECT_EQ(messageOf(unpackWeight(good, nullptr)), "");
  auto rejects = [&](auto damage) {
    PackedWeight bad = good;
    damage(bad);
    EXPECT_NE(messageOf(unpackWeight(bad, nullptr)), "");
  };
  rejects([](PackedWeight &p) { p.rowOrder.pop_back(); });
  rejects([](PackedWeight &p) { p.rowOrder.clear(); });
  rejects([](PackedWeight &p) { p.rowOrder[1] = 0xFF; });
  rejects([](PackedWeight &p) { p.rowOrder[0] = p.rowOrder[2]; });
  rejects([](PackedWeight &p) { p.layout.permuted = false; });
  rejects([](PackedWeight &p) { p.layout.segments[0].bits = 7; });
  rejects([](PackedWeight &p) { p.layout.segments[0].bits = 5; });
  rejects([](PackedWeight &p) { p.layout.segments[0].rows = 32; });
}
