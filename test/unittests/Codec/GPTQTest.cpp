//===- GPTQTest.cpp - Rounding with error feedback ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CodecTestUtils.h"
#include "FeedbackQuantizer.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir::cq;
using namespace mlir::cq::test;

/// E[x xᵀ] of inputs that mix a few hidden causes, so that columns are
/// correlated and differ in size. `rank` < k makes it singular.
static std::vector<double> correlatedMoments(int64_t k, int64_t rank,
                                             unsigned seed) {
  std::vector<float> mix = randomWeights(k * rank, seed);
  for (int64_t column = 0; column < k; ++column)
    for (int64_t cause = 0; cause < rank; ++cause)
      mix[column * rank + cause] *=
          (column % 11 == 3 ? 8.0f : 1.0f) / static_cast<float>(1 + cause);
  std::vector<double> packed;
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = i; j < k; ++j) {
      double sum = 0;
      for (int64_t cause = 0; cause < rank; ++cause)
        sum +=
            static_cast<double>(mix[i * rank + cause]) * mix[j * rank + cause];
      packed.push_back(sum * 30);
    }
  return packed;
}

/// [k, k] of an upper triangle, with `damping` of the mean diagonal added.
static std::vector<double> expand(const std::vector<double> &packed, int64_t k,
                                  double damping = 0) {
  std::vector<double> full(k * k);
  double mean = 0;
  for (int64_t i = 0, at = 0; i < k; ++i)
    for (int64_t j = i; j < k; ++j, ++at) {
      full[i * k + j] = full[j * k + i] = packed[at];
      mean += i == j ? packed[at] / static_cast<double>(k) : 0;
    }
  for (int64_t i = 0; i < k; ++i)
    full[i * k + i] += damping * mean;
  return full;
}

/// δ H δᵀ of every row.
static std::vector<double> rowErrors(const std::vector<float> &w,
                                     const QuantizedWeight &q,
                                     const CherryPositions *cherries,
                                     const std::vector<double> &h) {
  std::vector<float> decoded(w.size());
  dequantizeWeight(q, cherries, decoded.data());
  std::vector<double> errors(q.n);
  for (int64_t row = 0; row < q.n; ++row)
    for (int64_t i = 0; i < q.k; ++i) {
      double sum = 0, di = static_cast<double>(w[row * q.k + i]) -
                           decoded[row * q.k + i];
      for (int64_t j = 0; j < q.k; ++j)
        sum += h[i * q.k + j] *
               (static_cast<double>(w[row * q.k + j]) - decoded[row * q.k + j]);
      errors[row] += di * sum;
    }
  return errors;
}

static double sumOf(const std::vector<double> &values) {
  double sum = 0;
  for (double value : values)
    sum += value;
  return sum;
}

//===----------------------------------------------------------------------===//
// An oracle: GPTQ as the paper has it, in double, with an inverse
//===----------------------------------------------------------------------===//

/// Inverse of a positive definite matrix, by elimination.
static std::vector<double> inverseOf(std::vector<double> a, int64_t k) {
  std::vector<double> inverse(k * k);
  for (int64_t i = 0; i < k; ++i)
    inverse[i * k + i] = 1;
  for (int64_t i = 0; i < k; ++i) {
    double pivot = a[i * k + i];
    for (int64_t j = 0; j < k; ++j) {
      a[i * k + j] /= pivot;
      inverse[i * k + j] /= pivot;
    }
    for (int64_t r = 0; r < k; ++r) {
      double factor = a[r * k + i];
      if (r == i || factor == 0)
        continue;
      for (int64_t j = 0; j < k; ++j) {
        a[r * k + j] -= factor * a[i * k + j];
        inverse[r * k + j] -= factor * inverse[i * k + j];
      }
    }
  }
  return inverse;
}

/// Codes of one row, columns in `order`, with the scales of `q`. Removing a
/// column from the inverse by one step of elimination is the paper's equation
/// (3); no Cholesky factor is needed.
static std::vector<uint8_t> oracle(std::vector<double> w,
                                   const QuantizedWeight &q, int64_t row,
                                   const std::vector<int32_t> &order,
                                   std::vector<double> inverse) {
  int64_t k = q.k, groups = q.scheme.numGroups(k);
  std::vector<uint8_t> codes(k);
  for (int32_t column : order) {
    int64_t g = row * groups + column / q.scheme.groupLength(k);
    double best = INFINITY;
    double value = 0;
    for (int code = q.scheme.minCode(); code <= q.scheme.maxCode(); ++code) {
      float level = decode(q.scheme, static_cast<uint8_t>(code), q.scales[g],
                           q.zeros.empty() ? 0 : q.zeros[g]);
      double distance = std::fabs(w[column] - static_cast<double>(level));
      if (distance < best) {
        best = distance;
        value = level;
        codes[column] = static_cast<uint8_t>(code);
      }
    }
    double pivot = inverse[column * k + column];
    double error = (w[column] - value) / pivot;
    for (int64_t j = 0; j < k; ++j)
      w[j] -= error * inverse[column * k + j];
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j < k; ++j)
        if (i != column && j != column)
          inverse[i * k + j] -=
              inverse[i * k + column] * inverse[column * k + j] / pivot;
    for (int64_t j = 0; j < k; ++j)
      inverse[j * k + column] = inverse[column * k + j] = 0;
  }
  return codes;
}

TEST(GPTQTest, PlainAlgorithmIsThePapers) {
  for (const Scheme &scheme :
       {Scheme{3, 32}, Scheme{2, 64}, Scheme{4, 0, Grid::Affine},
        Scheme{3, 32, Grid::HalfStep}, Scheme{6, 32}}) {
    int64_t n = 24, k = 61;
    auto gram = correlatedMoments(k, k + 5, 3);
    auto moments = valueOf(SecondMoments::factorise(gram, k));
    EXPECT_EQ(moments.damping(), 0.01);
    auto w = randomWeights(n * k, 4);
    QuantizerInputs inputs;
    inputs.moments = &moments;
    inputs.gptq.sweeps = 0;
    auto q = valueOf(quantizeWeight(w.data(), n, k, scheme, QuantizerKind::GPTQ,
                                    nullptr, inputs));
    auto mse =
        valueOf(quantizeWeight(w.data(), n, k, scheme, QuantizerKind::MSE,
                               nullptr, {moments.meanSquares().data()}));
    EXPECT_EQ(q.scales, mse.scales);
    EXPECT_EQ(q.zeros, mse.zeros);
    std::vector<int32_t> order(moments.order().rbegin(),
                               moments.order().rend());
    EXPECT_GE(gram[0], 0);
    auto inverse = inverseOf(expand(gram, k, 0.01), k);
    int64_t same = 0, kept = 0;
    for (int64_t row = 0; row < n; ++row) {
      auto begin = q.codes.begin() + row * k;
      std::vector<uint8_t> codes(begin, begin + k);
      auto other = mse.codes.begin() + row * k;
      kept += codes == std::vector<uint8_t>(other, other + k);
      same += codes == oracle({w.begin() + row * k, w.begin() + (row + 1) * k},
                              mse, row, order, inverse);
    }
    // f32 may break a tie in another way, after which a row goes on otherwise;
    // a row whose plain rounding is better keeps it.
    EXPECT_GE(same + kept, n - 2) << scheme.str();
    EXPECT_GE(same, n / 2) << scheme.str();
  }
}

TEST(GPTQTest, FeedbackFactorsTheMoments) {
  int64_t k = 150; // more than two blocks of the factorisation
  auto gram = correlatedMoments(k, k, 8);
  auto moments = valueOf(SecondMoments::factorise(gram, k));
  auto h = expand(gram, k, moments.damping());
  // H = F D Fᵀ with F unit triangular by places: D follows from the diagonal,
  // from the first place, and then every entry has to fit.
  const auto &order = moments.order();
  const float *f = moments.feedback();
  auto at = [&](int64_t i, int64_t j) {
    return i == j ? 1.0 : static_cast<double>(f[i * k + j]);
  };
  std::vector<double> d(k);
  double scale = 0;
  for (int64_t i = 0; i < k; ++i)
    scale += h[i * k + i] / static_cast<double>(k);
  for (int64_t p = 0; p < k; ++p) {
    d[p] = h[order[p] * k + order[p]];
    for (int64_t r = 0; r < p; ++r)
      d[p] -= at(r, p) * at(r, p) * d[r];
    EXPECT_GT(d[p], 0);
  }
  for (int64_t a = 0; a < k; ++a)
    for (int64_t b = a; b < k; ++b) {
      double sum = 0;
      for (int64_t r = 0; r <= a; ++r)
        sum += at(r, a) * at(r, b) * d[r];
      EXPECT_NEAR(sum, h[order[a] * k + order[b]], 1e-5 * scale);
    }
  for (int64_t p = 1; p < k; ++p)
    EXPECT_LE(moments.meanSquares()[order[p - 1]],
              moments.meanSquares()[order[p]]);
}

//===----------------------------------------------------------------------===//
// Laws
//===----------------------------------------------------------------------===//

TEST(GPTQTest, NeverWorseThanWeightedSearchInAnyRow) {
  for (int64_t k : {64, 172, 100, 33, 257}) {
    auto gram = correlatedMoments(k, k / 2 + 1, 5);
    auto moments = valueOf(SecondMoments::factorise(gram, k));
    auto h = expand(gram, k, moments.damping());
    for (const Scheme &scheme : schemes()) {
      int64_t n = 35;
      auto w = randomWeights(n * k, 6);
      QuantizerInputs inputs;
      inputs.moments = &moments;
      std::vector<double> errors[3];
      int which = 0;
      for (QuantizerKind kind :
           {QuantizerKind::RTN, QuantizerKind::MSE, QuantizerKind::GPTQ}) {
        inputs.columnWeights = moments.meanSquares().data();
        auto q = valueOf(
            quantizeWeight(w.data(), n, k, scheme, kind, nullptr, inputs));
        errors[which++] = rowErrors(w, q, nullptr, h);
        for (uint8_t code : q.codes)
          ASSERT_TRUE(code >= scheme.minCode() && code <= scheme.maxCode());
        std::vector<uint8_t> stored(q.scales.size() * 4);
        std::vector<float> back(q.scales.size());
        encodeScales(q.scales.data(), q.scales.size(), scheme.scaleType,
                     stored.data());
        decodeScales(stored.data(), q.scales.size(), scheme.scaleType,
                     back.data());
        ASSERT_EQ(back, q.scales);
      }
      for (int64_t row = 0; row < n; ++row)
        EXPECT_LE(errors[2][row], errors[1][row] * 1.0001) << scheme.str();
      EXPECT_LT(sumOf(errors[2]), 0.9 * sumOf(errors[1]))
          << scheme.str() << " K = " << k;
      EXPECT_LT(sumOf(errors[2]), 0.9 * sumOf(errors[0])) << scheme.str();
    }
  }
}

TEST(GPTQTest, SweepsAndScalesEachHelp) {
  int64_t n = 64, k = 300;
  auto gram = correlatedMoments(k, 400, 9);
  auto moments = valueOf(SecondMoments::factorise(gram, k));
  auto h = expand(gram, k, moments.damping());
  auto w = randomWeights(n * k, 10);
  for (const Scheme &scheme : {Scheme{3, 64}, Scheme{2, 0, Grid::Affine}}) {
    auto errorOf = [&](unsigned sweeps, bool refit) {
      QuantizerInputs inputs;
      inputs.moments = &moments;
      inputs.gptq.sweeps = sweeps;
      inputs.gptq.refit = refit;
      auto q = valueOf(quantizeWeight(w.data(), n, k, scheme,
                                      QuantizerKind::GPTQ, nullptr, inputs));
      return sumOf(rowErrors(w, q, nullptr, h));
    };
    double plain = errorOf(0, true), codes = errorOf(4, false);
    EXPECT_LT(codes, plain);
    EXPECT_LT(errorOf(4, true), codes);
  }
}

TEST(GPTQTest, CherriesAbsorbErrors) {
  int64_t n = 33, k = 256;
  auto gram = correlatedMoments(k, 300, 11);
  auto moments = valueOf(SecondMoments::factorise(gram, k));
  auto h = expand(gram, k, moments.damping());
  auto w = randomWeights(n * k, 12);
  Scheme scheme{3, 64};
  for (const CherrySpec &spec :
       {CherrySpec{CherryForm::Slot, 2}, CherrySpec{CherryForm::Element, 3},
        CherrySpec{CherryForm::Column, 4}}) {
    auto cherries = valueOf(selectCherries(w.data(), n, k, spec,
                                           CherryCriterion::Activation, scheme,
                                           {moments.meanSquares().data()}));
    QuantizerInputs inputs;
    inputs.moments = &moments;
    auto error = [&](QuantizerKind kind) {
      auto q = valueOf(
          quantizeWeight(w.data(), n, k, scheme, kind, &cherries, inputs));
      // The deltas a kernel adds are small: against the nearest code.
      auto packed = packWeight(
          q, &cherries, Layout::uniform(LayoutKind::Panel16, n, scheme.bits));
      CherryPositions again;
      auto back = valueOf(unpackWeight(packed, &again));
      EXPECT_EQ(back.codes, q.codes);
      EXPECT_EQ(back.deltas, q.deltas);
      return sumOf(rowErrors(w, q, &cherries, h));
    };
    EXPECT_LT(error(QuantizerKind::GPTQ), 0.7 * error(QuantizerKind::MSE));
    // A weight that is all cherries but for one column has next to no error.
  }
  CherryPositions most =
      valueOf(selectCherries(w.data(), n, k, {CherryForm::Element, k - 8},
                             CherryCriterion::Magnitude, scheme));
  QuantizerInputs inputs;
  inputs.moments = &moments;
  inputs.gptq.sweeps = 30;
  auto errorOf = [&](const CherryPositions *cherries) {
    auto q = valueOf(quantizeWeight(w.data(), n, k, scheme, QuantizerKind::GPTQ,
                                    cherries, inputs));
    return sumOf(rowErrors(w, q, cherries, h));
  };
  EXPECT_LT(errorOf(&most), 0.02 * errorOf(nullptr));
}

TEST(GPTQTest, DeadColumnsAndSingularMoments) {
  int64_t n = 17, k = 90;
  for (int64_t rank : {1, 5, 40}) {
    auto gram = correlatedMoments(k, rank, 13);
    // Columns 7 and 8 never fire.
    for (int64_t i = 0, at = 0; i < k; ++i)
      for (int64_t j = i; j < k; ++j, ++at)
        if (i == 7 || i == 8 || j == 7 || j == 8)
          gram[at] = 0;
    for (double damping : {0.0, 0.01}) {
      auto moments = valueOf(SecondMoments::factorise(gram, k, {damping}));
      auto h = expand(gram, k, moments.damping());
      auto w = randomWeights(n * k, 14);
      QuantizerInputs inputs;
      inputs.moments = &moments;
      auto q = valueOf(quantizeWeight(w.data(), n, k, {3, 32},
                                      QuantizerKind::GPTQ, nullptr, inputs));
      auto mse =
          valueOf(quantizeWeight(w.data(), n, k, {3, 32}, QuantizerKind::MSE,
                                 nullptr, {moments.meanSquares().data()}));
      EXPECT_LE(sumOf(rowErrors(w, q, nullptr, h)),
                1.0001 * sumOf(rowErrors(w, mse, nullptr, h)));
      std::vector<float> decoded(n * k);
      dequantizeWeight(q, nullptr, decoded.data());
      for (float value : decoded)
        ASSERT_TRUE(std::isfinite(value));
    }
    // Without damping a matrix of this rank has none.
    EXPECT_GT(valueOf(SecondMoments::factorise(gram, k, {0.0})).damping(), 0);
  }
}

TEST(GPTQTest, RefusesWhatCannotBeFactorised) {
  int64_t k = 20;
  auto good = correlatedMoments(k, k, 15);
  auto message = [&](const std::vector<double> &gram, int64_t columns) {
    return messageOf(SecondMoments::factorise(gram, columns));
  };
  EXPECT_EQ(message(good, k), "");
  EXPECT_NE(message(good, k + 1), "");
  EXPECT_NE(message({}, INT64_MAX), "");
  EXPECT_NE(message({}, 0), "");
  EXPECT_NE(message(std::vector<double>(good.size()), k), "");
  auto bad = good;
  bad[5] = NAN;
  EXPECT_NE(message(bad, k), "");
  bad = good;
  bad[1] = 1e6; // no damping makes up for it
  EXPECT_NE(message(bad, k), "");
  bad = good;
  bad[0] = -1;
  EXPECT_NE(message(bad, k).find("negative"), std::string::npos);

  std::vector<float> w(2 * k, 0.5f);
  auto quantize = [&](const SecondMoments *moments, int64_t columns) {
    QuantizerInputs inputs;
    inputs.moments = moments;
    return messageOf(quantizeWeight(w.data(), 1, columns, {3, 32},
                                    QuantizerKind::GPTQ, nullptr, inputs));
  };
  auto moments = valueOf(SecondMoments::factorise(good, k));
  EXPECT_EQ(quantize(&moments, k), "");
  EXPECT_NE(quantize(&moments, k + 1), "");
  EXPECT_NE(quantize(nullptr, k), "");
}

//===----------------------------------------------------------------------===//
// Same bytes
//===----------------------------------------------------------------------===//

TEST(GPTQTest, ThreadsDoNotChangeBytes) {
  int64_t n = 300, k = 200;
  auto gram = correlatedMoments(k, 220, 16);
  auto w = randomWeights(n * k, 17);
  auto quantize = [&](unsigned threads) {
    auto moments = valueOf(SecondMoments::factorise(gram, k, {}, threads));
    QuantizerInputs inputs;
    inputs.moments = &moments;
    inputs.threads = threads;
    auto cherries =
        valueOf(selectCherries(w.data(), n, k, {CherryForm::Slot, 1},
                               CherryCriterion::Magnitude, {3, 64}));
    return valueOf(quantizeWeight(w.data(), n, k, {3, 64}, QuantizerKind::GPTQ,
                                  &cherries, inputs));
  };
  auto one = quantize(1);
  for (unsigned threads : {0u, 2u, 7u}) {
    auto many = quantize(threads);
    EXPECT_EQ(one.codes, many.codes);
    EXPECT_EQ(one.scales, many.scales);
    EXPECT_EQ(one.deltas, many.deltas);
  }
}

TEST(GPTQTest, InstructionSetDoesNotChangeBytes) {
  using namespace mlir::cq::detail;
  const FeedbackKernels *baseline = feedbackKernels(GroupIsa::Baseline);
  int compared = 0;
  for (GroupIsa isa : {GroupIsa::AVX2, GroupIsa::AVX512})
    if (const FeedbackKernels *kernels = feedbackKernels(isa)) {
      ++compared;
      int64_t n = 45, k = 203;
      auto w = randomWeights(n * k, 18);
      auto moments =
          valueOf(SecondMoments::factorise(correlatedMoments(k, k, 19), k));
      for (const Scheme &scheme : schemes()) {
        auto cherries =
            valueOf(selectCherries(w.data(), n, k, {CherryForm::Element, 3},
                                   CherryCriterion::Magnitude, scheme));
        auto q = valueOf(quantizeWeight(w.data(), n, k, scheme,
                                        QuantizerKind::MSE, &cherries));
        QuantizedWeight other = q;
        std::vector<float> values, otherValues;
        compensate(q, w.data(), &cherries, moments, {}, values, 1, *baseline);
        compensate(other, w.data(), &cherries, moments, {}, otherValues, 1,
                   *kernels);
        EXPECT_EQ(q.codes, other.codes) << scheme.str();
        EXPECT_EQ(q.scales, other.scales) << scheme.str();
        EXPECT_EQ(values, otherValues) << scheme.str();
      }
      // The factorisation's loops.
      auto full = expand(correlatedMoments(k, k, 20), k);
      auto otherFull = full;
      baseline->downdate(full.data(), k, 0, 37, 37, k);
      kernels->downdate(otherFull.data(), k, 0, 37, 37, k);
      baseline->subtract(full.data(), full.data() + k, 0.3, k);
      kernels->subtract(otherFull.data(), otherFull.data() + k, 0.3, k);
      for (int64_t i = 0; i < k; ++i)
        for (int64_t j = i; j < k; ++j)
          EXPECT_EQ(full[i * k + j], otherFull[i * k + j]);
    }
  if (!compared)
    GTEST_SKIP() << "this machine has neither AVX2 nor AVX-512";
}
