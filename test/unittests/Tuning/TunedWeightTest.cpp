//===- TunedWeightTest.cpp - Laws of training packed weights --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Tuning/TunedWeight.h"
#include "cq/Codec/MixedRows.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::cq;

namespace {

constexpr int64_t n = 20, k = 300;

std::vector<float> randomNumbers(int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(count);
  for (float &number : numbers)
    number = 0.05f * normal(engine);
  return numbers;
}

struct Start {
  std::vector<float> w;
  QuantizedWeight q;
  CherryPositions cherries;
};

Start start(const Scheme &scheme, CherrySpec spec, unsigned seed = 1) {
  Start s{randomNumbers(n * k, seed), {}, {}};
  s.cherries = llvm::cantFail(selectCherries(
      s.w.data(), n, k, spec, CherryCriterion::Magnitude, scheme));
  s.q = llvm::cantFail(quantizeWeight(s.w.data(), n, k, scheme,
                                      QuantizerKind::RTN, &s.cherries));
  return s;
}

/// Sixteen rows, spread over W, at two more bits than the others.
Start startMixed(const Scheme &scheme, CherrySpec spec) {
  Start s{randomNumbers(n * k, 1), {}, {}};
  std::vector<uint32_t> order(n);
  for (uint32_t row = 0; row < n; ++row)
    order[row] = (7 * row + 3) % n;
  RowSegment segments[] = {{16, scheme.bits + 2}, {n - 16, scheme.bits}};
  std::vector<float> stored = permuteRows(s.w.data(), k, order);
  CherryInputs cherryInputs;
  cherryInputs.segments = segments;
  s.cherries = llvm::cantFail(selectCherries(stored.data(), n, k, spec,
                                             CherryCriterion::Magnitude, scheme,
                                             cherryInputs));
  QuantizerInputs inputs;
  inputs.segments = segments;
  s.q = llvm::cantFail(quantizeWeight(stored.data(), n, k, scheme,
                                      QuantizerKind::RTN, &s.cherries, inputs));
  s.q.order = order;
  return s;
}

std::vector<Scheme> schemes() {
  return {{3, 64, Grid::Symmetric, ScaleType::F16},
          {2, 128, Grid::HalfStep, ScaleType::F16},
          {4, 32, Grid::Affine, ScaleType::F32},
          {8, 0, Grid::Symmetric, ScaleType::BF16}};
}

std::vector<CherrySpec> specs() {
  return {
      {CherryForm::Slot, 1}, {CherryForm::Element, 3}, {CherryForm::Column, 2}};
}

/// ½ Σ (ŵ − target)², and its gradient.
double loss(const std::vector<float> &decoded, const std::vector<float> &target,
            std::vector<float> *gradient = nullptr) {
  double sum = 0;
  for (size_t i = 0; i < decoded.size(); ++i) {
    double difference = decoded[i] - target[i];
    sum += 0.5 * difference * difference;
    if (gradient)
      (*gradient)[i] = static_cast<float>(difference);
  }
  return sum;
}

double train(TunedWeight &tuned, const std::vector<float> &target,
             const TuningRates &rates, int64_t steps) {
  std::vector<float> decoded(n * k), gradient(n * k);
  for (int64_t i = 1; i <= steps; ++i) {
    tuned.decode(decoded.data());
    loss(decoded, target, &gradient);
    tuned.addGradient(gradient.data());
    tuned.step(Adam(i, learningRateFactor(i, steps, 0.1)), rates);
  }
  tuned.decode(decoded.data());
  return loss(decoded, target);
}

} // namespace

TEST(TunedWeightTest, StartsAsItCame) {
  for (const Scheme &scheme : schemes())
    for (const CherrySpec &spec : specs())
      for (bool latent : {false, true}) {
        Start s = start(scheme, spec);
        std::vector<float> expected(n * k), decoded(n * k);
        dequantizeWeight(s.q, &s.cherries, expected.data());
        TunedWeight tuned = llvm::cantFail(TunedWeight::create(
            s.q, s.cherries, latent ? s.w.data() : nullptr));
        tuned.decode(decoded.data());
        EXPECT_EQ(decoded, expected) << scheme.str();
        QuantizedWeight same = tuned.get();
        EXPECT_EQ(same.codes, s.q.codes);
        EXPECT_EQ(same.scales, s.q.scales);
        EXPECT_EQ(same.deltas, s.q.deltas);
        // A step without gradients requantizes the latent weights only.
        tuned.step(Adam(1), {});
        EXPECT_EQ(tuned.get().codes, s.q.codes) << scheme.str();
      }
}

TEST(TunedWeightTest, DecodesWhatItGives) {
  for (const Scheme &scheme : schemes()) {
    Start s = start(scheme, {CherryForm::Slot, 2});
    TunedWeight tuned =
        llvm::cantFail(TunedWeight::create(s.q, s.cherries, s.w.data()));
    train(tuned, randomNumbers(n * k, 2), {1e-2f, 1e-1f, 1e-1f}, 5);
    std::vector<float> decoded(n * k), packed(n * k);
    tuned.decode(decoded.data());
    PackedWeight planes =
        packWeight(tuned.get(), &tuned.positions(),
                   Layout::uniform(LayoutKind::Panel16, n, scheme.bits));
    CherryPositions positions;
    QuantizedWeight read = llvm::cantFail(unpackWeight(planes, &positions));
    dequantizeWeight(read, &positions, packed.data());
    EXPECT_EQ(decoded, packed) << scheme.str();
    EXPECT_GT(tuned.changedCodes(), 0);
  }
}

TEST(TunedWeightTest, RowsOfSeveralWidths) {
  for (const Scheme &scheme : {Scheme{3, 64, Grid::Symmetric, ScaleType::F16},
                               Scheme{2, 128, Grid::HalfStep, ScaleType::F16},
                               Scheme{4, 32, Grid::Affine, ScaleType::F32}}) {
    Start s = startMixed(scheme, {CherryForm::Slot, 1});
    std::vector<float> expected(n * k), decoded(n * k), packed(n * k);
    dequantizeWeight(s.q, &s.cherries, expected.data());
    TunedWeight tuned =
        llvm::cantFail(TunedWeight::create(s.q, s.cherries, s.w.data()));
    tuned.decode(decoded.data());
    EXPECT_EQ(decoded, expected) << scheme.str();
    // Gradients come in the order of W's rows: towards W itself, the start is
    // already near, towards another matrix codes must follow.
    std::vector<float> target = randomNumbers(n * k, 2);
    double before = loss(decoded, target);
    double after = train(tuned, target, {1e-2f, 3e-1f, 3e-1f}, 60);
    EXPECT_LT(after, 0.5 * before) << scheme.str();
    EXPECT_GT(tuned.changedCodes(), 0);
    tuned.decode(decoded.data());
    Layout layout{LayoutKind::Panel16, s.q.segments, /*permuted=*/true};
    CherryPositions positions;
    QuantizedWeight read = llvm::cantFail(unpackWeight(
        packWeight(tuned.get(), &tuned.positions(), layout), &positions));
    dequantizeWeight(read, &positions, packed.data());
    EXPECT_EQ(decoded, packed) << scheme.str();
  }
}

/// The first step of Adam moves every parameter by its rate against the sign of
/// its gradient; central differences of the loss give the signs.
TEST(TunedWeightTest, ScalesGoDownhill) {
  Scheme scheme{3, 64, Grid::Symmetric, ScaleType::F32};
  Start s = start(scheme, {CherryForm::Slot, 1});
  std::vector<float> target = randomNumbers(n * k, 3);
  std::vector<float> decoded(n * k), gradient(n * k);
  TunedWeight tuned = llvm::cantFail(TunedWeight::create(s.q, s.cherries));
  tuned.decode(decoded.data());
  loss(decoded, target, &gradient);
  tuned.addGradient(gradient.data());
  tuned.step(Adam(1), {1e-3f, 0, 0});
  QuantizedWeight moved = tuned.get();
  int64_t groups = scheme.numGroups(k);
  std::vector<bool> isCherry(n * k);
  // Scales move the levels of the other weights only: cherries keep values.
  std::vector<float> plain(n * k), full(n * k);
  dequantizeWeight(s.q, nullptr, plain.data());
  dequantizeWeight(s.q, &s.cherries, full.data());
  for (int64_t row = 0; row < n; ++row)
    for (int64_t g = 0; g < groups; ++g) {
      auto lossAt = [&](double factor) {
        double sum = 0;
        for (int64_t c = g * 64; c < std::min<int64_t>(k, (g + 1) * 64); ++c) {
          int64_t i = row * k + c;
          if (full[i] != plain[i])
            continue;
          double difference = factor * plain[i] - target[i];
          sum += 0.5 * difference * difference;
        }
        return sum;
      };
      double slope = lossAt(1.001) - lossAt(0.999);
      float before = s.q.scales[row * groups + g];
      float ratio = moved.scales[row * groups + g] / before;
      EXPECT_NEAR(ratio, slope > 0 ? 0.999f : 1.001f, 1e-5f) << row << ' ' << g;
    }
}

TEST(TunedWeightTest, TrainingLowersTheLossAndWeightsMore) {
  for (const Scheme &scheme : schemes()) {
    Start s = start(scheme, {CherryForm::Slot, 1});
    std::vector<float> target = randomNumbers(n * k, 1);
    for (float &value : target)
      value += 0.01f;
    std::vector<float> decoded(n * k);
    dequantizeWeight(s.q, &s.cherries, decoded.data());
    double before = loss(decoded, target);
    TunedWeight scales = llvm::cantFail(TunedWeight::create(s.q, s.cherries));
    TunedWeight weights =
        llvm::cantFail(TunedWeight::create(s.q, s.cherries, s.w.data()));
    double some = train(scales, target, {1e-2f, 1e-1f, 0}, 60);
    double more = train(weights, target, {1e-2f, 1e-1f, 5e-2f}, 60);
    EXPECT_LT(some, before) << scheme.str();
    // Two-bit codes without a zero swing between levels at this rate.
    EXPECT_LT(more, scheme.grid == Grid::HalfStep ? before : 0.9 * some)
        << scheme.str();
    EXPECT_EQ(scales.get().codes, s.q.codes);
  }
}

TEST(TunedWeightTest, ThreadsDoNotMatter) {
  Start s =
      start({3, 64, Grid::Symmetric, ScaleType::F16}, {CherryForm::Slot, 1});
  std::vector<float> target = randomNumbers(n * k, 2), decoded(n * k),
                     gradient(n * k);
  QuantizedWeight results[2];
  for (unsigned threads : {1, 3}) {
    TunedWeight tuned =
        llvm::cantFail(TunedWeight::create(s.q, s.cherries, s.w.data()));
    for (int64_t i = 1; i < 4; ++i) {
      tuned.decode(decoded.data(), threads);
      loss(decoded, target, &gradient);
      tuned.addGradient(gradient.data(), threads);
      tuned.step(Adam(i), {1e-2f, 1e-1f, 1e-1f}, threads);
    }
    results[threads == 3] = tuned.get();
  }
  EXPECT_EQ(results[0].codes, results[1].codes);
  EXPECT_EQ(results[0].scales, results[1].scales);
  EXPECT_EQ(results[0].deltas, results[1].deltas);
}

/// Codes that error feedback chose against the nearest level must survive small
/// steps, whatever their gradient; started on the edge, they would not.
TEST(TunedWeightTest, MovedCodesStayForAWhile) {
  Scheme scheme{3, 64, Grid::Symmetric, ScaleType::F16};
  Start s = start(scheme, {CherryForm::None, 0});
  // Codes as feedback might leave them: every third one level up or down.
  for (size_t i = 0; i < s.q.codes.size(); i += 3)
    s.q.codes[i] = s.q.codes[i] >= 4 ? s.q.codes[i] - 1 : s.q.codes[i] + 1;
  TunedWeight tuned =
      llvm::cantFail(TunedWeight::create(s.q, s.cherries, s.w.data()));
  EXPECT_EQ(tuned.get().codes, s.q.codes);
  std::vector<float> decoded(n * k), gradient(n * k);
  for (int64_t step = 1; step <= 5; ++step) {
    tuned.decode(decoded.data());
    loss(decoded, s.w, &gradient); // pulls every code back
    tuned.addGradient(gradient.data());
    tuned.step(Adam(step), {0, 0, 5e-3f});
  }
  // Those moved by less than half a step may have gone back.
  EXPECT_LT(tuned.changedCodes(), n * k / 8);
  EXPECT_GT(tuned.changedCodes(), 0);
}

TEST(LearningRateTest, WarmsUpAndFallsToItsFloor) {
  EXPECT_NEAR(learningRateFactor(1, 100, 0.25), 0.2, 1e-12);
  EXPECT_NEAR(learningRateFactor(5, 100, 0.25), 1, 1e-12);
  EXPECT_NEAR(learningRateFactor(100, 100, 0.25), 0.25, 1e-12);
  EXPECT_NEAR(learningRateFactor(1, 1, 0.25), 1, 1e-12);
}
