//===- InteractionMeterTest.cpp - Interactions of a linear block ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// One block y = x + x Uᵀ Vᵀ and a head: what storing U and V in fewer bits
// changes is written down here as plain sums in double.
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/InteractionMeter.h"
#include "cq/Codec/Quantizer.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "gtest/gtest.h"
#include <cmath>
#include <fstream>
#include <random>

using namespace mlir::cq;

namespace {

constexpr int64_t T = 4, V = 7, D = 32;

const char *text = R"(
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#rows = affine_map<(i, j) -> (i)>
#all = affine_map<(i, j) -> (i, j)>
module attributes {cq.parameters = "w.safetensors", cq.model = {vocabulary = 7 : i64}} {
  ml_program.global private @embedding(#ml_program.extern : tensor<7x32xf32>) : tensor<7x32xf32>
  ml_program.global private @u(#ml_program.extern : tensor<32x32xf32>) : tensor<32x32xf32>
  ml_program.global private @v(#ml_program.extern : tensor<32x32xf32>) : tensor<32x32xf32>
  func.func private @block(%x: tensor<4x32xf32>, %u: tensor<32x32xf32>, %v: tensor<32x32xf32>) -> tensor<4x32xf32> {
    %e = tensor.empty() : tensor<4x32xf32>
    %zero = arith.constant 0.0 : f32
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x32xf32>) -> tensor<4x32xf32>
    %h = linalg.matmul indexing_maps = [#x, #w, #y] ins(%x, %u : tensor<4x32xf32>, tensor<32x32xf32>) outs(%f : tensor<4x32xf32>) -> tensor<4x32xf32>
    %y = linalg.matmul indexing_maps = [#x, #w, #y] ins(%h, %v : tensor<4x32xf32>, tensor<32x32xf32>) outs(%f : tensor<4x32xf32>) -> tensor<4x32xf32>
    %z = linalg.add ins(%x, %y : tensor<4x32xf32>, tensor<4x32xf32>) outs(%x : tensor<4x32xf32>) -> tensor<4x32xf32>
    return %z : tensor<4x32xf32>
  }
  func.func @divergence(%tokens: tensor<4xi32>, %reference: tensor<4x32xf32>) -> tensor<4xf32> {
    %embedding = ml_program.global_load @embedding : tensor<7x32xf32>
    %u = ml_program.global_load @u : tensor<32x32xf32>
    %v = ml_program.global_load @v : tensor<32x32xf32>
    %e = tensor.empty() : tensor<4x32xf32>
    %x = linalg.generic {indexing_maps = [#rows, #all], iterator_types = ["parallel", "parallel"]}
        ins(%tokens : tensor<4xi32>) outs(%e : tensor<4x32xf32>) {
    ^bb0(%t: i32, %o: f32):
      %i = arith.index_cast %t : i32 to index
      %j = linalg.index 1 : index
      %n = tensor.extract %embedding[%i, %j] : tensor<7x32xf32>
      linalg.yield %n : f32
    } -> tensor<4x32xf32>
    %y = call @block(%x, %u, %v) {cq.block = 3 : i64} : (tensor<4x32xf32>, tensor<32x32xf32>, tensor<32x32xf32>) -> tensor<4x32xf32>
    %two = arith.constant 2.0 : f32
    %scaled = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
        ins(%y : tensor<4x32xf32>) outs(%e : tensor<4x32xf32>) {
    ^bb0(%a: f32, %o: f32):
      %b = arith.mulf %a, %two : f32
      linalg.yield %b : f32
    } -> tensor<4x32xf32>
    %zero = arith.constant 0.0 : f32
    %e7 = tensor.empty() : tensor<4x7xf32>
    %f7 = linalg.fill ins(%zero : f32) outs(%e7 : tensor<4x7xf32>) -> tensor<4x7xf32>
    %l = linalg.matmul indexing_maps = [#x, #w, #y] ins(%scaled, %embedding : tensor<4x32xf32>, tensor<7x32xf32>) outs(%f7 : tensor<4x7xf32>) -> tensor<4x7xf32>
    %e1 = tensor.empty() : tensor<4xf32>
    %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<4xf32>) -> tensor<4xf32>
    %losses = linalg.generic {indexing_maps = [#all, #rows], iterator_types = ["parallel", "reduction"]}
        ins(%l : tensor<4x7xf32>) outs(%f1 : tensor<4xf32>) {
    ^bb0(%a: f32, %o: f32):
      %s = arith.addf %o, %a : f32
      linalg.yield %s : f32
    } -> tensor<4xf32>
    return %losses : tensor<4xf32>
  }
})";

using Matrix = std::vector<double>; // row-major

/// a [m, D] · bᵀ, b [n, D].
Matrix times(const Matrix &a, const Matrix &b) {
  int64_t m = a.size() / D, n = b.size() / D;
  Matrix c(m * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t l = 0; l < D; ++l)
        c[i * n + j] += a[i * D + l] * b[j * D + l];
  return c;
}

class InteractionMeterTest : public testing::Test {
protected:
  void SetUp() override {
    llvm::SmallString<128> path;
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("cq-pairs", path));
    folder = std::string(path);
    std::mt19937 engine(7);
    auto fill = [&](std::vector<float> &values, int64_t count, float scale) {
      values.resize(count);
      for (float &value : values)
        value = scale * float(int32_t(engine())) / float(1u << 31);
    };
    fill(embedding, V * D, 0.3f);
    fill(u, D * D, 0.3f);
    fill(v, D * D, 0.3f);
    auto writer = llvm::cantFail(SafetensorsWriter::create(
        folder + "/w.safetensors", {{"embedding", DType::F32, {V, D}},
                                    {"u", DType::F32, {D, D}},
                                    {"v", DType::F32, {D, D}}}));
    for (const auto *values : {&embedding, &u, &v})
      llvm::cantFail(
          writer->append({reinterpret_cast<const uint8_t *>(values->data()),
                          values->size() * sizeof(float)}));
    llvm::cantFail(writer->commit());
    std::ofstream(folder + "/m.mlir") << text;
    for (const char *name : {"b4-g32", "b8-g32"})
      options.choices.push_back(llvm::cantFail(StorageChoice::parse(name)));
    options.threads = 1;
    ObservedModelOptions model;
    model.useCache = false;
    auto made = BlockRunner::create(folder + "/m.mlir", model);
    ASSERT_TRUE(bool(made)) << llvm::toString(made.takeError());
    runner = std::move(*made);
    llvm::cantFail(runner->setSequences({{1, 5, 0, 2}, {6, 6, 3, 4}}));
  }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }

  Measurements measure(PairKind kind) {
    options.pairs = kind;
    options.probes = {options.choices[0]};
    options.changesPath = folder + "/changes";
    MeasurementHeader header{lossName(options), "s", ""};
    auto writer = llvm::cantFail(MeasurementWriter::open(
        folder + "/" + std::to_string(int(kind)), header));
    llvm::Error error =
        measureInteractions(*runner, options, *writer, [](llvm::StringRef) {});
    EXPECT_FALSE(bool(error)) << llvm::toString(std::move(error));
    return writer->measurements();
  }

  Matrix stored(const std::vector<float> &w, const StorageChoice &choice) {
    QuantizedWeight q = llvm::cantFail(
        quantizeWeight(w.data(), D, D, choice.scheme, choice.quantizer));
    std::vector<float> decoded(D * D);
    dequantizeWeight(q, nullptr, decoded.data(), 1);
    return Matrix(decoded.begin(), decoded.end());
  }
  /// y of both sequences.
  Matrix run(const Matrix &u, const Matrix &v) {
    Matrix x;
    for (int token : {1, 5, 0, 2, 6, 6, 3, 4})
      x.insert(x.end(), &embedding[token * D], &embedding[token * D] + D);
    Matrix y = times(times(x, u), v);
    for (size_t i = 0; i < y.size(); ++i)
      y[i] += x[i];
    return y;
  }
  /// The change with U at a and V at c (−1: as they are), over the token's
  /// norm and the root of the tokens.
  Matrix change(int a, int c) {
    Matrix u0(u.begin(), u.end()), v0(v.begin(), v.end());
    Matrix y = run(u0, v0);
    Matrix z = run(a < 0 ? u0 : stored(u, options.choices[a]),
                   c < 0 ? v0 : stored(v, options.choices[c]));
    for (size_t t = 0; t < y.size() / D; ++t) {
      double energy = 0;
      for (int64_t d = 0; d < D; ++d)
        energy += y[t * D + d] * y[t * D + d];
      for (int64_t d = 0; d < D; ++d)
        z[t * D + d] = (z[t * D + d] - y[t * D + d]) /
                       std::sqrt(energy * double(y.size() / D));
    }
    return z;
  }
  static double dot(const Matrix &a, const Matrix &b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i)
      sum += a[i] * b[i];
    return sum;
  }
  /// The change of variable i of (u, b4), (u, b8), (v, b4), (v, b8).
  Matrix variable(int i) { return i < 2 ? change(i, -1) : change(-1, i - 2); }

  std::string folder;
  std::vector<float> embedding, u, v;
  InteractionOptions options;
  std::unique_ptr<BlockRunner> runner;
};

} // namespace

TEST_F(InteractionMeterTest, RunsBlocksAsTheModelDoes) {
  ASSERT_EQ(runner->blocks().size(), 1u);
  EXPECT_EQ(runner->blocks()[0].number, 3);
  EXPECT_EQ(runner->blocks()[0].weights, (std::vector<std::string>{"u", "v"}));
  EXPECT_EQ(runner->head(), "embedding");
  Matrix y = run(Matrix(u.begin(), u.end()), Matrix(v.begin(), v.end()));
  std::vector<float> last(T * D);
  for (int64_t s = 0; s < 2; ++s) {
    for (int64_t i = 0; i < T * D; ++i)
      EXPECT_NEAR(runner->input(s, 1)[i], y[s * T * D + i], 1e-5);
    runner->runFinal(runner->input(s, 1).data(), last.data());
    for (int64_t i = 0; i < T * D; ++i)
      EXPECT_EQ(last[i], 2 * runner->input(s, 1)[i]);
  }
}

TEST_F(InteractionMeterTest, GramIsTheInnerProductsOfTheChanges) {
  Measurements held = measure(PairKind::Gram);
  EXPECT_EQ(held.header.loss, "block");
  ASSERT_EQ(held.blocks.size(), 1u);
  EXPECT_EQ(held.blocks[0].block, "3");
  ASSERT_EQ(held.blocks[0].variables.size(), 4u);
  for (int a = 0; a < 4; ++a) {
    double own = dot(variable(a), variable(a));
    EXPECT_NEAR(held.weights[a / 2].losses[a % 2].second, own, 1e-4 * own);
    for (int c = 0; c < 4; ++c) {
      double size = std::sqrt(own * dot(variable(c), variable(c)));
      EXPECT_NEAR(held.blocks[0].matrix[a * 4 + c],
                  2 * dot(variable(a), variable(c)), 3e-4 * size);
    }
  }
}

TEST_F(InteractionMeterTest, ExactIsTheDifferenceOfLosses) {
  Measurements held = measure(PairKind::Exact);
  ASSERT_EQ(held.blocks.size(), 1u);
  for (int a = 0; a < 2; ++a)
    for (int c = 0; c < 2; ++c) {
      Matrix both = change(a, c);
      double lossA = dot(change(a, -1), change(a, -1)),
             lossC = dot(change(-1, c), change(-1, c));
      EXPECT_NEAR(held.blocks[0].matrix[a * 4 + 2 + c],
                  dot(both, both) - lossA - lossC,
                  1e-3 * std::sqrt(lossA * lossC));
    }
}

TEST_F(InteractionMeterTest, GramIsExactToFirstOrder) {
  // The third change, of U and V at once, is the product of both errors: its
  // share of the pair's entry falls with them.
  Measurements gram = measure(PairKind::Gram), exact = measure(PairKind::Exact);
  auto difference = [&](int a, int c) {
    Matrix both = change(a, c), one = change(a, -1), other = change(-1, c);
    double second = 0;
    for (size_t i = 0; i < both.size(); ++i)
      second += std::pow(both[i] - one[i] - other[i], 2);
    // |‖a + c + s‖² − ‖a + c‖²| ≤ 2 ‖a + c‖ ‖s‖ + ‖s‖².
    double size = std::sqrt(dot(one, one)) + std::sqrt(dot(other, other));
    double entry = gram.blocks[0].matrix[a * 4 + 2 + c] -
                   exact.blocks[0].matrix[a * 4 + 2 + c];
    EXPECT_LE(std::fabs(entry),
              2 * size * std::sqrt(second) + second + 1e-3 * size * size)
        << a << ' ' << c;
    return std::fabs(entry) / (size * size);
  };
  EXPECT_LT(difference(1, 1), difference(0, 0) + 1e-3);
}

TEST_F(InteractionMeterTest, ModelIsTheDivergenceOfSmallChanges) {
  // All words are drawn: the quadratic form of the divergence itself.
  options.samples = 4096;
  Measurements held = measure(PairKind::Model);
  EXPECT_EQ(held.header.loss, "predictions");
  ASSERT_EQ(held.blocks.size(), 1u);
  EXPECT_EQ(held.blocks[0].block, "*");
  ASSERT_EQ(held.blocks[0].variables.size(), 2u);
  Matrix head(embedding.begin(), embedding.end());
  Matrix u0(u.begin(), u.end()), v0(v.begin(), v.end());
  auto predictions = [&](Matrix y) {
    for (double &x : y)
      x *= 2;
    Matrix z = times(y, head);
    for (size_t t = 0; t < z.size() / V; ++t) {
      double sum = 0;
      for (int64_t i = 0; i < V; ++i)
        sum += std::exp(z[t * V + i]);
      for (int64_t i = 0; i < V; ++i)
        z[t * V + i] = std::exp(z[t * V + i]) / sum;
    }
    return z;
  };
  Matrix p = predictions(run(u0, v0));
  for (int a = 0; a < 2; ++a) {
    Matrix q = predictions(a == 0 ? run(stored(u, options.choices[0]), v0)
                                  : run(u0, stored(v, options.choices[0])));
    double divergence = 0;
    for (size_t i = 0; i < p.size(); ++i)
      divergence += p[i] * std::log(p[i] / q[i]) / 8;
    EXPECT_NEAR(held.blocks[0].matrix[a * 2 + a] / 2, divergence,
                0.15 * divergence);
    EXPECT_EQ(held.blocks[0].matrix[a * 2 + a] / 2,
              held.weights[a].losses[0].second);
  }
  EXPECT_FALSE(llvm::sys::fs::exists(options.changesPath));
}
