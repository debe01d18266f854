//===- WeightLossTest.cpp - Losses of single weights -------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Measure/WeightLoss.h"
#include "llvm/Support/FileSystem.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>

using namespace mlir::cq;

static constexpr int64_t n = 19, k = 70; // ragged in every way

namespace {
/// A statistics file with moments, Gram matrix and Fisher sums of one weight.
struct Fixture {
  std::vector<float> w, x;
  std::string path;
  Statistics statistics;
  std::unique_ptr<StatisticsReader> reader;

  explicit Fixture(bool gram) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    int64_t tokens = 200;
    for (int64_t i = 0; i < n * k; ++i)
      w.push_back(normal(random));
    for (int64_t t = 0; t < tokens; ++t) {
      float common = normal(random);
      for (int64_t j = 0; j < k; ++j)
        x.push_back(common + normal(random) * (1 + 0.1f * j));
    }
    InputStatistics input;
    input.weights = {"w"};
    input.k = k;
    input.add(x.data(), tokens, 1);
    if (gram) {
      std::vector<float> product(k * k);
      for (int64_t i = 0; i < k; ++i)
        for (int64_t j = 0; j < k; ++j)
          for (int64_t t = 0; t < tokens; ++t)
            product[i * k + j] += x[t * k + i] * x[t * k + j];
      input.addGram(product.data(), 1);
    }
    FisherStatistics fisher;
    fisher.weight = "w";
    fisher.n = n;
    fisher.k = k;
    fisher.sequences = 2;
    for (int64_t i = 0; i < n * k; ++i)
      fisher.sum.push_back(2 * std::exp(normal(random)));
    statistics.fisherKind = FisherKind::Sequence;
    statistics.provenance.model = "test";
    statistics.inputs = {input};
    statistics.fishers = {fisher};
    llvm::SmallString<128> name;
    llvm::sys::fs::createUniquePath("/tmp/cq-loss-%%%%%%.stats", name, false);
    path = name.str().str();
    llvm::cantFail(statistics.write(path));
    reader = llvm::cantFail(StatisticsReader::open(path));
  }
  ~Fixture() { llvm::sys::fs::remove(path); }

  std::vector<double> delta(llvm::StringRef text) {
    StorageChoice choice = llvm::cantFail(StorageChoice::parse(text));
    QuantizedWeight q = llvm::cantFail(
        quantizeWeight(w.data(), n, k, choice.scheme, choice.quantizer));
    std::vector<float> stored(n * k);
    dequantizeWeight(q, nullptr, stored.data(), 1);
    std::vector<double> result;
    for (int64_t i = 0; i < n * k; ++i)
      result.push_back(static_cast<double>(w[i]) -
                       static_cast<double>(stored[i]));
    return result;
  }
  double measure(LossKind kind, llvm::StringRef text, unsigned threads = 1) {
    WeightLossMeter meter(kind, reader.get(), threads);
    return llvm::cantFail(
               meter.measure("w", w.data(), n, k,
                             llvm::cantFail(StorageChoice::parse(text))))
        .front();
  }
};
} // namespace

/// Σ over rows of weight_i · d_i H d_iᵀ from the inputs themselves.
static double outputError(const Fixture &f, const std::vector<double> &d,
                          const std::vector<double> &rows) {
  double sum = 0;
  int64_t tokens = f.x.size() / k;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t t = 0; t < tokens; ++t) {
      double y = 0;
      for (int64_t j = 0; j < k; ++j)
        y += d[i * k + j] * static_cast<double>(f.x[t * k + j]);
      sum += rows[i] * y * y / tokens;
    }
  return sum;
}

TEST(WeightLossTest, WeightIsTheRelativeSquaredError) {
  Fixture f(false);
  std::vector<double> d = f.delta("b3-g32");
  double error = 0, size = 0;
  for (int64_t i = 0; i < n * k; ++i) {
    error += d[i] * d[i];
    size += static_cast<double>(f.w[i]) * static_cast<double>(f.w[i]);
  }
  EXPECT_NEAR(f.measure(LossKind::Weight, "b3-g32"), n * k * error / size,
              1e-9);
}

TEST(WeightLossTest, OutputIsTheErrorOfTheProduct) {
  Fixture f(true);
  std::vector<double> ones(n, 1), own(f.w.begin(), f.w.end());
  double expected = n * k * outputError(f, f.delta("b3-g32"), ones) /
                    outputError(f, own, ones);
  EXPECT_NEAR(f.measure(LossKind::Output, "b3-g32"), expected, 1e-4 * expected);
}

TEST(WeightLossTest, FisherWeighsOutputsByTheirGradients) {
  Fixture f(true);
  std::vector<double> rows(n);
  double squares = 0;
  for (float x : f.x)
    squares += static_cast<double>(x) * static_cast<double>(x);
  squares /= static_cast<double>(f.x.size() / k);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < k; ++j)
      rows[i] += f.statistics.fishers[0].sum[i * k + j] / 2 / squares;
  double expected = 0.5 * outputError(f, f.delta("b3-g32"), rows);
  EXPECT_NEAR(f.measure(LossKind::Fisher, "b3-g32"), expected, 1e-4 * expected);
}

/// Rows of two widths: put together from the losses of uniform weights, the
/// same number as measured on the stored weight itself.
TEST(WeightLossTest, SharesOfRowsNeedNoQuantizationOfTheirOwn) {
  Fixture f(true);
  std::vector<StorageChoice> choices;
  for (const char *text :
       {"b3-g32+rows=1/2:b4/gptq", "b3-g32+rows=1/2:b8/rtn/element2-magnitude",
        "b2-g32+rows=1/2:b4/mse/element3-quant-error", "b2-g32/gptq",
        "b2-g32+rows=1/2:b3/rtn/column2-quant-error"})
    choices.push_back(llvm::cantFail(StorageChoice::parse(text)));
  for (LossKind kind : {LossKind::Weight, LossKind::Output, LossKind::Fisher}) {
    WeightLossMeter meter(kind, f.reader.get(), 1);
    std::vector<std::vector<float>> decoded;
    auto composed =
        llvm::cantFail(meter.measure("w", f.w.data(), n, k, choices));
    auto measured =
        llvm::cantFail(meter.measure("w", f.w.data(), n, k, choices, &decoded));
    EXPECT_EQ(composed, measured);
    EXPECT_EQ(decoded.size(), choices.size());
    double narrow = f.measure(kind, "b3-g32/gptq");
    EXPECT_LT(composed[0], narrow);
    EXPECT_GT(composed[0], f.measure(kind, "b4-g32/gptq"));
  }
}

TEST(WeightLossTest, FisherWithoutGramIsTheDiagonal) {
  Fixture f(false);
  std::vector<double> d = f.delta("b3-g32");
  double expected = 0;
  for (int64_t i = 0; i < n * k; ++i)
    expected += 0.5 * f.statistics.fishers[0].sum[i] / 2 * d[i] * d[i];
  EXPECT_NEAR(f.measure(LossKind::Fisher, "b3-g32"), expected, 1e-5 * expected);
}

TEST(WeightLossTest, ThreadsDoNotChangeANumber) {
  Fixture f(true);
  for (LossKind kind : {LossKind::Weight, LossKind::Output, LossKind::Fisher})
    EXPECT_EQ(f.measure(kind, "b2-g32", 1), f.measure(kind, "b2-g32", 5));
}

TEST(WeightLossTest, GptqLowersTheOutputError) {
  Fixture f(true);
  EXPECT_LT(f.measure(LossKind::Output, "b3-g32/gptq"),
            0.9 * f.measure(LossKind::Output, "b3-g32"));
}

TEST(WeightLossTest, MissingStatisticsAreNamed) {
  Fixture f(false);
  WeightLossMeter meter(LossKind::Output, f.reader.get(), 1);
  auto losses = meter.measure("other", f.w.data(), n, k,
                              llvm::cantFail(StorageChoice::parse("b3-g32")));
  EXPECT_TRUE(llvm::StringRef(llvm::toString(losses.takeError()))
                  .contains("weight 'other'"));
  EXPECT_EQ(defaultLoss(Fixture(true).reader.get(), {"w"}), LossKind::Fisher);
  EXPECT_EQ(defaultLoss(f.reader.get(), {"w"}), LossKind::Weight);
  EXPECT_EQ(defaultLoss(f.reader.get(), {"w", "other"}), LossKind::Weight);
  EXPECT_EQ(defaultLoss(nullptr, {"w"}), LossKind::Weight);
}
