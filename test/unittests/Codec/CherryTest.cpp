//===- CherryTest.cpp - Laws of cherries ----------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CherryWalk.h"
#include "CodecTestUtils.h"
#include "Half.h"
#include <algorithm>
#include <cmath>

using namespace mlir::cq;
using namespace mlir::cq::test;

static const CherrySpec allSpecs[] = {{CherryForm::Element, 1},
                                      {CherryForm::Element, 8},
                                      {CherryForm::Column, 5},
                                      {CherryForm::Slot, 1},
                                      {CherryForm::Slot, 3}};

static std::vector<int64_t> columnsOf(const CherryPositions &cherries,
                                      Shape shape, int64_t row) {
  std::vector<int64_t> columns;
  detail::forEachCherry(
      cherries.spec, cherries.columns.data(), shape.n, shape.k, row,
      [&](int64_t column, int64_t) { columns.push_back(column); });
  return columns;
}

TEST(CherryTest, CherriesAreTheLargestOfTheirUnit) {
  for (Shape shape : {Shape{5, 172}, {17, 576}, {33, 384}, {2, 100}})
    for (const CherrySpec &spec : allSpecs) {
      auto scores = randomWeights(shape.n * shape.k, 31);
      for (float &score : scores)
        score = std::floor(std::fabs(score) * 200); // many ties
      auto cherries = valueOf(selectCherries(
          nullptr, shape.n, shape.k, spec, CherryCriterion::Magnitude, {},
          {nullptr, nullptr, scores.data()}));
      std::vector<double> sums(shape.k);
      for (size_t i = 0; i < scores.size(); ++i)
        sums[i % shape.k] += scores[i];
      for (int64_t row = 0; row < shape.n; ++row) {
        std::vector<double> score(scores.begin() + row * shape.k,
                                  scores.begin() + (row + 1) * shape.k);
        if (spec.form == CherryForm::Column)
          score = sums;
        // The definition: sort every unit by score, then column.
        int64_t unit = spec.form == CherryForm::Slot ? 256 : shape.k;
        std::vector<int64_t> expected;
        for (int64_t begin = 0; begin < shape.k; begin += unit) {
          int64_t end = std::min(shape.k, begin + unit);
          if (spec.form == CherryForm::Slot && end - begin < 128)
            break;
          std::vector<int64_t> order;
          for (int64_t column = begin; column < end; ++column)
            order.push_back(column);
          std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
            return score[a] != score[b] ? score[a] > score[b] : a < b;
          });
          order.resize(spec.count);
          std::sort(order.begin(), order.end());
          expected.insert(expected.end(), order.begin(), order.end());
        }
        EXPECT_EQ(columnsOf(cherries, shape, row), expected);
      }
    }
}

TEST(CherryTest, CriteriaScoreWhatTheySay) {
  // One large weight on a level, one small weight between two levels.
  std::vector<float> w(64, 0.0f);
  w[10] = -4.0f;
  w[20] = 0.49f;
  auto select = [&](CherryCriterion criterion, const float *columnWeights) {
    auto cherries =
        valueOf(selectCherries(w.data(), 1, 64, {CherryForm::Element, 1},
                               criterion, {3, 64}, {columnWeights}));
    return columnsOf(cherries, {1, 64}, 0).front();
  };
  EXPECT_EQ(select(CherryCriterion::Magnitude, nullptr), 10);
  EXPECT_EQ(select(CherryCriterion::QuantError, nullptr), 20);
  w[30] = 0.3f;
  std::vector<float> columnWeights(64, 1.0f);
  columnWeights[30] = 9.0f;
  EXPECT_EQ(select(CherryCriterion::QuantError, columnWeights.data()), 30);
}

TEST(CherryTest, CherriesLeaveTheGroupMaximum) {
  for (QuantizerKind quantizer : {QuantizerKind::RTN, QuantizerKind::MSE})
    for (const Scheme &scheme : schemes())
      for (const CherrySpec &spec : allSpecs) {
        Shape shape{4, 300};
        auto w = randomWeights(shape.n * shape.k, 32);
        auto cherries =
            valueOf(selectCherries(w.data(), shape.n, shape.k, spec,
                                   CherryCriterion::Magnitude, scheme));
        // Scales must not depend on the cherries: make them zero, or enormous.
        auto changed = w;
        for (int64_t row = 0; row < shape.n; ++row)
          for (int64_t column : columnsOf(cherries, shape, row))
            changed[row * shape.k + column] *= 100;
        auto a = valueOf(quantizeWeight(w.data(), shape.n, shape.k, scheme,
                                        quantizer, &cherries));
        auto b = valueOf(quantizeWeight(changed.data(), shape.n, shape.k,
                                        scheme, quantizer, &cherries));
        EXPECT_EQ(a.scales, b.scales) << scheme.str();
        EXPECT_EQ(a.zeros, b.zeros) << scheme.str();
      }
}

TEST(CherryTest, CherriesLeaveTheSearch) {
  // One row: cherries count as little as columns without weight.
  int64_t k = 300;
  for (const Scheme &scheme : schemes()) {
    auto w = randomWeights(k, 37);
    CherryPositions cherries =
        valueOf(selectCherries(w.data(), 1, k, {CherryForm::Element, 24},
                               CherryCriterion::Magnitude, scheme));
    std::vector<float> all(k, 1.0f), kept = all;
    auto q = valueOf(quantizeWeight(w.data(), 1, k, scheme, QuantizerKind::MSE,
                                    &cherries, {all.data()}));
    for (int64_t column : columnsOf(cherries, {1, k}, 0))
      w[column] = kept[column] = 0.0f;
    auto expected = valueOf(quantizeWeight(
        w.data(), 1, k, scheme, QuantizerKind::MSE, nullptr, {kept.data()}));
    EXPECT_EQ(q.scales, expected.scales) << scheme.str();
    EXPECT_EQ(q.zeros, expected.zeros) << scheme.str();
  }
}

TEST(CherryTest, ScatterGivesCherriesBack) {
  for (Shape shape : {Shape{5, 172}, {17, 576}, {33, 384}, {2, 100}, {1, 31}})
    for (const CherrySpec &spec : allSpecs)
      for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep}) {
        Scheme scheme{3, 64, grid};
        auto w = randomWeights(shape.n * shape.k, 33);
        auto cherries =
            valueOf(selectCherries(w.data(), shape.n, shape.k, spec,
                                   CherryCriterion::QuantError, scheme));
        auto q = valueOf(quantizeWeight(w.data(), shape.n, shape.k, scheme,
                                        QuantizerKind::MSE, &cherries));
        std::vector<float> with(w.size()), without(w.size());
        dequantizeWeight(q, &cherries, with.data());
        dequantizeWeight(q, nullptr, without.data());
        for (int64_t row = 0; row < shape.n; ++row) {
          auto columns = columnsOf(cherries, shape, row);
          for (int64_t column = 0; column < shape.k; ++column) {
            int64_t i = row * shape.k + column;
            if (llvm::is_contained(columns, column))
              EXPECT_LE(std::fabs(with[i] - w[i]),
                        std::fabs(without[i] - w[i]) * 0x1p-10 + 0x1p-24);
            else
              EXPECT_EQ(with[i], without[i]);
          }
        }
      }
}

TEST(CherryTest, ThreadCountDoesNotChangeCherries) {
  Shape shape{700, 300};
  auto w = randomWeights(shape.n * shape.k, 34);
  for (const CherrySpec &spec : allSpecs)
    for (CherryCriterion criterion :
         {CherryCriterion::Magnitude, CherryCriterion::QuantError}) {
      auto select = [&](unsigned threads) {
        return valueOf(selectCherries(w.data(), shape.n, shape.k, spec,
                                      criterion, {3, 64},
                                      {nullptr, nullptr, nullptr, threads}))
            .columns;
      };
      EXPECT_EQ(select(1), select(3));
    }
}

TEST(CherryTest, PaddedSlotsAreZero) {
  Shape shape{3, 256};
  auto w = randomWeights(shape.n * shape.k, 35);
  CherrySpec spec{CherryForm::Slot, 2};
  auto cherries = valueOf(selectCherries(w.data(), shape.n, shape.k, spec,
                                         CherryCriterion::Magnitude, {}));
  auto q = valueOf(quantizeWeight(w.data(), shape.n, shape.k, {3, 64},
                                  QuantizerKind::RTN, &cherries));
  ASSERT_EQ(cherries.columns.size(), 32u);
  ASSERT_EQ(q.deltas.size(), 32u);
  for (int i = 0; i < 32; ++i)
    if (i % 16 >= 3) {
      EXPECT_EQ(cherries.columns[i], 0);
      EXPECT_EQ(q.deltas[i], 0);
    }
}

TEST(CherryTest, MatricesWithoutRoomForSlotsHaveNone) {
  std::vector<float> w(3 * 100, 0.1f);
  auto cherries = valueOf(selectCherries(
      w.data(), 3, 100, {CherryForm::Slot, 1}, CherryCriterion::Magnitude, {}));
  EXPECT_TRUE(cherries.columns.empty());
}

TEST(CherryTest, BadCherriesAreErrors) {
  auto w = randomWeights(2 * 64, 36);
  auto quantize = [&](CherryPositions cherries) {
    return messageOf(quantizeWeight(w.data(), 2, 64, {3, 64},
                                    QuantizerKind::RTN, &cherries));
  };
  CherrySpec spec{CherryForm::Element, 2};
  EXPECT_EQ(quantize({spec, {1, 0, 5, 0, 0, 0, 63, 0}}), "");
  EXPECT_NE(quantize({spec, {1, 0, 5, 0, 0, 0, 64, 0}}), "");
  EXPECT_NE(quantize({spec, {1, 0, 5, 0, 0, 0, 63, 1}}), "");
  EXPECT_NE(quantize({spec, {5, 0, 5, 0, 0, 0, 63, 0}}), "");
  EXPECT_NE(quantize({spec, {1, 0, 5, 0, 0, 0, 63}}), "");
  EXPECT_NE(quantize({{CherryForm::Column, 1}, {}}), "");
  float scores[64] = {};
  for (float bad : {-1.0f, NAN}) {
    scores[7] = bad;
    EXPECT_NE(messageOf(selectCherries(w.data(), 1, 64, spec,
                                       CherryCriterion::Magnitude, {},
                                       {nullptr, nullptr, scores})),
              "");
  }
  w[3] = 1e5f; // so far from its code that f16 cannot hold the difference
  EXPECT_NE(quantize({spec, {3, 0, 5, 0, 0, 0, 63, 0}}), "");
}
