//===- QuantizerTest.cpp - Laws of quantizers -----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CodecTestUtils.h"
#include "GroupKernels.h"
#include "Half.h"
#include "RowQuantizer.h"
#include <cmath>

using namespace mlir::cq;
using namespace mlir::cq::test;

static const QuantizerKind allQuantizers[] = {QuantizerKind::RTN,
                                              QuantizerKind::MSE};

/// Visits every weight with its place and its group's scale and zero point.
template <typename Visit>
static void forEachWeight(const QuantizedWeight &q, Visit visit) {
  int64_t groups = q.scheme.numGroups(q.k), length = q.scheme.groupLength(q.k);
  for (int64_t row = 0; row < q.n; ++row)
    for (int64_t column = 0; column < q.k; ++column) {
      int64_t g = row * groups + column / length;
      visit(row * q.k + column, q.scales[g], q.zeros.empty() ? 0 : q.zeros[g],
            g);
    }
}

/// The level of a code by the formulas of Scheme.h, in double.
static double level(const Scheme &scheme, int code, double scale, int zero) {
  int half = 1 << (scheme.bits - 1);
  switch (scheme.grid) {
  case Grid::Symmetric:
    return scale * (code - half);
  case Grid::Affine:
    return scale * (code - zero);
  case Grid::HalfStep:
    return scale / 2 * (2 * code - (2 * half - 1));
  }
  return 0;
}

TEST(QuantizerTest, EachCodeIsTheNearestLevel) {
  for (Shape shape : {Shape{5, 172}, {3, 31}, {2, 257}, {1, 1}})
    for (const Scheme &scheme : schemes())
      for (QuantizerKind quantizer : allQuantizers) {
        auto w = randomWeights(shape.n * shape.k, 11);
        auto q = valueOf(
            quantizeWeight(w.data(), shape.n, shape.k, scheme, quantizer));
        int wrong = 0;
        forEachWeight(q, [&](int64_t i, float scale, int zero, int64_t) {
          wrong +=
              q.codes[i] < scheme.minCode() || q.codes[i] > scheme.maxCode();
          double best = INFINITY;
          for (int code = scheme.minCode(); code <= scheme.maxCode(); ++code)
            best = std::min(best,
                            std::fabs(w[i] - level(scheme, code, scale, zero)));
          double error =
              std::fabs(w[i] - level(scheme, q.codes[i], scale, zero));
          // A quotient rounded to f32 may call a tie what is none by one part
          // in 2^24 of the level range.
          wrong += error > best + std::fabs(scale) * 0x1p-15;
        });
        EXPECT_EQ(wrong, 0)
            << scheme.str() << " " << stringifyQuantizerKind(quantizer).str();
      }
}

TEST(QuantizerTest, ErrorAtMostHalfAScale) {
  // Inside the level range; in it lie all weights under rtn, up to the rounding
  // of the scale, except where a symmetric grid has its shorter side.
  for (const Scheme &scheme : schemes())
    for (QuantizerKind quantizer : allQuantizers) {
      Shape shape{5, 300};
      auto w = randomWeights(shape.n * shape.k, 12);
      auto q = valueOf(
          quantizeWeight(w.data(), shape.n, shape.k, scheme, quantizer));
      int wrong = 0, inside = 0;
      forEachWeight(q, [&](int64_t i, float scale, int zero, int64_t) {
        double a = level(scheme, scheme.minCode(), scale, zero);
        double b = level(scheme, scheme.maxCode(), scale, zero);
        if (w[i] < std::min(a, b) || w[i] > std::max(a, b))
          return;
        ++inside;
        double decoded = decode(scheme, q.codes[i], scale, zero);
        wrong += std::fabs(w[i] - decoded) > std::fabs(scale) * (0.5 + 0x1p-14);
      });
      EXPECT_EQ(wrong, 0) << scheme.str();
      EXPECT_GT(inside, shape.n * shape.k / 2);
    }
}

TEST(QuantizerTest, ScalesAreThoseOfTheFormulas) {
  const float w[] = {0.5f, -1.0f, 0.25f, 0.75f};
  auto scaleOf = [&](Scheme scheme) {
    return valueOf(quantizeWeight(w, 1, 4, scheme, QuantizerKind::RTN))
        .scales[0];
  };
  EXPECT_EQ(scaleOf({3, 64, Grid::Symmetric}), 0.25f); // −(−1) / 4
  EXPECT_EQ(scaleOf({8, 64, Grid::Symmetric, ScaleType::F32}), 1.0f / 127);
  EXPECT_EQ(scaleOf({3, 64, Grid::Affine, ScaleType::F32}), 1.75f / 7);
  EXPECT_EQ(scaleOf({3, 64, Grid::HalfStep}), 0.25f);
  const float positive[] = {0.5f, 1.0f, -1.0f};
  auto q = valueOf(quantizeWeight(positive, 1, 3, {2, 64}, QuantizerKind::RTN));
  EXPECT_EQ(q.scales[0], -0.5f); // of +1 and −1 the positive one
  EXPECT_EQ(q.codes, (std::vector<uint8_t>{1, 0, 3}));
}

TEST(QuantizerTest, TiesGoToTheEvenLevel) {
  // S = 1: w = 0.5, 1.5, 2.5 and their negatives lie between two integers.
  const float w[] = {-4, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f};
  auto q = valueOf(quantizeWeight(w, 1, 7, {3, 64}, QuantizerKind::RTN));
  EXPECT_EQ(q.codes, (std::vector<uint8_t>{0, 4, 6, 6, 4, 2, 2}));
  // Half-step levels are the halves themselves, so that integers are the ties.
  const float v[] = {-4, 4, 0, 1, 2, -1};
  q = valueOf(
      quantizeWeight(v, 1, 6, {3, 64, Grid::HalfStep}, QuantizerKind::RTN));
  EXPECT_EQ(q.codes, (std::vector<uint8_t>{0, 7, 4, 4, 6, 2}));
}

TEST(QuantizerTest, ZeroAndConstantGroups) {
  for (const Scheme &scheme : schemes())
    for (QuantizerKind quantizer : allQuantizers) {
      std::vector<float> w(200, 0.0f), out(200, 1.0f);
      auto q = valueOf(quantizeWeight(w.data(), 1, 200, scheme, quantizer));
      dequantizeWeight(q, nullptr, out.data());
      for (float scale : q.scales)
        EXPECT_TRUE(scale == 0 && !std::signbit(scale));
      for (float x : out)
        EXPECT_TRUE(x == 0 && !std::signbit(x)) << scheme.str();
      for (float value : {0.3f, -0.3f}) {
        w.assign(200, value);
        q = valueOf(quantizeWeight(w.data(), 1, 200, scheme, quantizer));
        dequantizeWeight(q, nullptr, out.data());
        // Only the half-step grid's outermost level misses a constant.
        double bound =
            scheme.grid == Grid::HalfStep && quantizer == QuantizerKind::RTN
                ? 0.3 / (1 << scheme.bits) + 0.004
                : 0.004;
        for (float x : out)
          EXPECT_LE(std::fabs(x - value), bound) << scheme.str();
      }
    }
}

TEST(QuantizerTest, AffineRangesIncludeZero) {
  const float w[] = {1.0f, 1.5f, 2.0f, 3.0f};
  Scheme scheme{2, 64, Grid::Affine};
  auto q = valueOf(quantizeWeight(w, 1, 4, scheme, QuantizerKind::RTN));
  EXPECT_EQ(q.scales[0], 1.0f);
  EXPECT_EQ(q.zeros[0], 0);
  EXPECT_EQ(q.codes, (std::vector<uint8_t>{1, 2, 2, 3}));
  const float v[] = {-3.0f, -1.0f};
  q = valueOf(quantizeWeight(v, 1, 2, scheme, QuantizerKind::RTN));
  EXPECT_EQ(q.zeros[0], 3);
  EXPECT_EQ(q.codes, (std::vector<uint8_t>{0, 2}));
}

TEST(QuantizerTest, ScalesBelowTheirTypeDecodeToZero) {
  std::vector<float> w = {1e-9f, -1e-9f, 1e-10f}, out(3, 1.0f);
  for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep}) {
    auto q = valueOf(
        quantizeWeight(w.data(), 1, 3, {3, 32, grid}, QuantizerKind::MSE));
    dequantizeWeight(q, nullptr, out.data());
    EXPECT_EQ(out, std::vector<float>(3, 0.0f));
  }
}

TEST(QuantizerTest, BadWeightsAreErrorsThatNameTheirPlace) {
  for (float bad : {NAN, INFINITY, -INFINITY})
    for (int64_t k : {300, 320})
      for (unsigned threads : {1u, 3u}) {
        std::vector<float> w(40 * k, 0.1f);
        w[37 * k + 299] = bad;
        w[21 * k + 70] = bad;
        std::string message = messageOf(
            quantizeWeight(w.data(), 40, k, {3, 64}, QuantizerKind::MSE,
                           nullptr, {nullptr, threads}));
        EXPECT_NE(message.find("row 21, column 70 "), std::string::npos)
            << message;
      }
  std::vector<float> w(64, 1e6f);
  std::string message =
      messageOf(quantizeWeight(w.data(), 1, 64, {3, 32}, QuantizerKind::RTN));
  EXPECT_NE(message.find("use bf16 or f32 scales"), std::string::npos)
      << message;
  EXPECT_EQ(messageOf(quantizeWeight(w.data(), 1, 64,
                                     {3, 32, Grid::Symmetric, ScaleType::BF16},
                                     QuantizerKind::RTN)),
            "");
  w.assign(64, 3e38f);
  w[0] = -3e38f; // max − min overflows f32 itself
  EXPECT_NE(messageOf(quantizeWeight(w.data(), 1, 64,
                                     {8, 0, Grid::Affine, ScaleType::F32},
                                     QuantizerKind::MSE)),
            "");
}

TEST(QuantizerTest, BadArgumentsAreErrors) {
  std::vector<float> w(64, 0.1f), columnWeights(64, 1.0f);
  auto quantize = [&](Scheme scheme, int64_t n, int64_t k) {
    return messageOf(quantizeWeight(w.data(), n, k, scheme, QuantizerKind::MSE,
                                    nullptr, {columnWeights.data()}));
  };
  EXPECT_EQ(quantize({3, 32}, 1, 64), "");
  EXPECT_NE(quantize({7, 32}, 1, 64), "");
  EXPECT_NE(quantize({3, 32}, 0, 64), "");
  EXPECT_NE(quantize({3, 32}, INT64_MAX, 64), "");
  for (float bad : {-1.0f, NAN, INFINITY}) {
    columnWeights[40] = bad;
    EXPECT_NE(quantize({3, 32}, 1, 64).find("column 40 "), std::string::npos);
  }
}

TEST(QuantizerTest, MseNeverWorseThanRtn) {
  double gain = 0;
  for (Shape shape : {Shape{7, 172}, {3, 640}, {2, 31}})
    for (const Scheme &scheme : schemes())
      for (bool weighted : {false, true}) {
        auto w = randomWeights(shape.n * shape.k, 13);
        std::vector<float> c(shape.k, 1.0f);
        for (size_t i = 0; weighted && i < c.size(); ++i)
          c[i] = i % 7 == 3 ? 0.0f : static_cast<float>(i * 37 % 11);
        int64_t groups = scheme.numGroups(shape.k);
        std::vector<double> errors[2];
        for (QuantizerKind quantizer : allQuantizers) {
          auto q = valueOf(quantizeWeight(w.data(), shape.n, shape.k, scheme,
                                          quantizer, nullptr,
                                          {weighted ? c.data() : nullptr}));
          auto &sums = errors[quantizer == QuantizerKind::MSE];
          sums.resize(shape.n * groups);
          forEachWeight(q, [&](int64_t i, float scale, int zero, int64_t g) {
            double e = w[i] - level(scheme, q.codes[i], scale, zero);
            sums[g] += e * e * c[i % shape.k];
          });
        }
        double rtn = 0, mse = 0;
        for (size_t g = 0; g < errors[0].size(); ++g) {
          // Sums of f32 decided; these are doubles.
          EXPECT_LE(errors[1][g], errors[0][g] * (1 + 1e-5) + 1e-15)
              << scheme.str();
          rtn += errors[0][g];
          mse += errors[1][g];
        }
        if (scheme.bits == 3)
          gain = std::max(gain, rtn / mse);
      }
  EXPECT_GT(gain, 1.3); // it does find something
}

TEST(QuantizerTest, ThreadCountDoesNotChangeBytes) {
  Shape shape{83, 300};
  auto w = randomWeights(shape.n * shape.k, 14);
  for (const Scheme &scheme : {Scheme{3, 64}, Scheme{4, 0, Grid::Affine},
                               Scheme{2, 32, Grid::HalfStep, ScaleType::F32}}) {
    auto one =
        valueOf(quantizeWeight(w.data(), shape.n, shape.k, scheme,
                               QuantizerKind::MSE, nullptr, {nullptr, 1}));
    for (unsigned threads : {0u, 2u, 5u, 200u}) {
      auto many = valueOf(quantizeWeight(w.data(), shape.n, shape.k, scheme,
                                         QuantizerKind::MSE, nullptr,
                                         {nullptr, threads}));
      EXPECT_EQ(one.codes, many.codes);
      EXPECT_EQ(one.scales, many.scales);
      EXPECT_EQ(one.zeros, many.zeros);
    }
  }
}

TEST(QuantizerTest, InstructionSetDoesNotChangeBytes) {
  using namespace mlir::cq::detail;
  const GroupKernels *baseline = groupKernels(GroupIsa::Baseline);
  int compared = 0;
  for (GroupIsa isa : {GroupIsa::AVX2, GroupIsa::AVX512})
    if (const GroupKernels *kernels = groupKernels(isa)) {
      ++compared;
      for (const Scheme &scheme : schemes()) {
        int64_t k = 333, groups = scheme.numGroups(k);
        auto w = randomWeights(k, 15), c = randomWeights(k, 16);
        for (float &x : c)
          x *= x;
        std::vector<uint8_t> cherries(k), codes[2], zeros[2];
        cherries[5] = cherries[300] = 1;
        std::vector<float> scales[2];
        for (int i : {0, 1}) {
          codes[i].resize(k);
          scales[i].resize(groups);
          zeros[i].resize(groups);
          RowQuantizer::Scratch scratch;
          RowQuantizer rows(k, scheme, QuantizerKind::MSE, c.data(), {},
                            i ? *kernels : *baseline);
          EXPECT_FALSE(rows.quantize(w.data(), cherries.data(), codes[i].data(),
                                     scales[i].data(), zeros[i].data(),
                                     scratch));
        }
        EXPECT_EQ(codes[0], codes[1]) << scheme.str();
        EXPECT_EQ(scales[0], scales[1]) << scheme.str();
        EXPECT_EQ(zeros[0], zeros[1]) << scheme.str();
      }
    }
  if (!compared)
    GTEST_SKIP() << "this machine has neither AVX2 nor AVX-512";
}

TEST(QuantizerTest, DequantizeIsDecode) {
  for (const Scheme &scheme : schemes()) {
    Shape shape{3, 172};
    auto w = randomWeights(shape.n * shape.k, 17);
    auto q = valueOf(
        quantizeWeight(w.data(), shape.n, shape.k, scheme, QuantizerKind::RTN));
    std::vector<float> out(w.size());
    dequantizeWeight(q, nullptr, out.data(), 2);
    forEachWeight(q, [&](int64_t i, float scale, int zero, int64_t) {
      EXPECT_EQ(out[i], decode(scheme, q.codes[i], scale, zero));
      EXPECT_EQ(out[i],
                static_cast<float>(level(scheme, q.codes[i], scale, zero)));
    });
  }
}
