//===- ReferenceGemmTest.cpp - The oracle against plain arithmetic --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Codec/ReferenceGemm.h"
#include "CodecTestUtils.h"
#include <cmath>

using namespace mlir::cq;
using namespace mlir::cq::test;

namespace {
struct Problem {
  QuantizedWeight q;
  CherryPositions cherries;
  std::vector<float> x, decoded;
  int64_t m;
};
} // namespace

static Problem makeProblem(Shape shape, const Scheme &scheme,
                           const CherrySpec &spec) {
  Problem p;
  p.m = 11;
  auto w = randomWeights(shape.n * shape.k, 51);
  p.cherries = valueOf(selectCherries(w.data(), shape.n, shape.k, spec,
                                      CherryCriterion::Magnitude, scheme));
  p.q = valueOf(quantizeWeight(w.data(), shape.n, shape.k, scheme,
                               QuantizerKind::RTN, &p.cherries));
  p.x = randomWeights(p.m * shape.k, 52);
  p.decoded.resize(w.size());
  dequantizeWeight(p.q, &p.cherries, p.decoded.data());
  return p;
}

static const CherrySpec allSpecs[] = {{},
                                      {CherryForm::Element, 1},
                                      {CherryForm::Column, 1},
                                      {CherryForm::Slot, 1}};

TEST(ReferenceGemmTest, F32IsTheProductWithTheDecodedWeight) {
  for (Shape shape : {Shape{17, 300}, {3, 31}, {5, 576}, {1, 1}})
    for (const Scheme &scheme : schemes())
      for (const CherrySpec &spec : allSpecs) {
        Problem p = makeProblem(shape, scheme, spec);
        std::vector<float> y(p.m * shape.n, NAN);
        referenceGemm(p.x.data(), p.m, p.q, &p.cherries, ActivationMode::F32,
                      y.data());
        for (int64_t t = 0; t < p.m; ++t)
          for (int64_t row = 0; row < shape.n; ++row) {
            double sum = 0, size = 0;
            for (int64_t c = 0; c < shape.k; ++c) {
              double product = static_cast<double>(p.x[t * shape.k + c]) *
                               p.decoded[row * shape.k + c];
              sum += product;
              size += std::fabs(product);
            }
            EXPECT_NEAR(y[t * shape.n + row], sum,
                        size * 0x1p-23 * shape.k + 1e-9)
                << scheme.str();
          }
      }
}

TEST(ReferenceGemmTest, Int8DiffersByTheRoundingOfActivationsOnly) {
  for (Shape shape : {Shape{17, 300}, {3, 31}, {5, 576}, {1, 1}})
    for (const Scheme &scheme : schemes())
      for (const CherrySpec &spec : allSpecs) {
        Problem p = makeProblem(shape, scheme, spec);
        std::vector<float> y(p.m * shape.n, NAN);
        referenceGemm(p.x.data(), p.m, p.q, &p.cherries, ActivationMode::Int8,
                      y.data());
        int64_t group = activationGroup(scheme);
        for (int64_t t = 0; t < p.m; ++t)
          for (int64_t row = 0; row < shape.n; ++row) {
            double sum = 0, bound = 1e-7;
            for (int64_t begin = 0; begin < shape.k; begin += group) {
              int64_t end = std::min(shape.k, begin + group);
              double largest = 0;
              for (int64_t c = begin; c < end; ++c)
                largest =
                    std::max<double>(largest, std::fabs(p.x[t * shape.k + c]));
              for (int64_t c = begin; c < end; ++c) {
                double weight = p.decoded[row * shape.k + c];
                sum += p.x[t * shape.k + c] * weight;
                bound += largest / 127 * 0.5001 * std::fabs(weight);
              }
            }
            // Cherry deltas meet exact activations, so they only loosen it.
            EXPECT_NEAR(y[t * shape.n + row], sum, bound * (spec.count ? 3 : 1))
                << scheme.str();
          }
      }
}

TEST(ReferenceGemmTest, OneStepOfEachFormulaByHand) {
  // k = 1: int8 code 127 at s = x / 127; every grid at S = 0.5, u = 3.
  float x = 2.0f, y;
  auto product = [&](Grid grid, ActivationMode mode) {
    QuantizedWeight q{1,   1, {3, 64, grid, ScaleType::F32}, {3}, {0.5f},
                      {1}, {}};
    referenceGemm(&x, 1, q, nullptr, mode, &y);
    return y;
  };
  float s = 2.0f / 127;
  EXPECT_EQ(product(Grid::Symmetric, ActivationMode::F32), -1.0f);
  EXPECT_EQ(product(Grid::Affine, ActivationMode::F32), 2.0f);
  EXPECT_EQ(product(Grid::HalfStep, ActivationMode::F32), -0.5f);
  EXPECT_EQ(product(Grid::Symmetric, ActivationMode::Int8), -127 * (0.5f * s));
  EXPECT_EQ(product(Grid::Affine, ActivationMode::Int8), 254 * (0.5f * s));
  EXPECT_EQ(product(Grid::HalfStep, ActivationMode::Int8), -127 * (0.25f * s));
}

TEST(ReferenceGemmTest, ActivationCodesAreTheFormula) {
  const float x[] = {127.0f, 0.5f, 1.5f, -2.5f, -127.0f, 0.0f, 0.0f};
  auto q = quantizeActivations(x, 1, 7, 5);
  EXPECT_EQ(q.codes, (std::vector<int8_t>{127, 0, 2, -2, -127, 0, 0}));
  EXPECT_EQ(q.scales, (std::vector<float>{1.0f, 0.0f}));
  EXPECT_EQ(q.sums, (std::vector<int32_t>{0, 0}));
  const float odd[] = {NAN, INFINITY, 1.0f}; // anything but undefined behaviour
  quantizeActivations(odd, 1, 3, 3);
}

TEST(ReferenceGemmTest, TokensDoNotInfluenceEachOther) {
  Problem p = makeProblem({19, 333}, {3, 64}, {CherryForm::Slot, 1});
  for (ActivationMode mode : {ActivationMode::F32, ActivationMode::Int8}) {
    std::vector<float> all(p.m * 19), one(19);
    referenceGemm(p.x.data(), p.m, p.q, &p.cherries, mode, all.data());
    for (int64_t t = 0; t < p.m; ++t) {
      referenceGemm(p.x.data() + t * 333, 1, p.q, &p.cherries, mode,
                    one.data());
      EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + t * 19));
    }
  }
}
