//===- CalibrationTest.cpp - A toy model's statistics by hand -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Two blocks y = x + x Wᵀ and a head z = y Hᵀ; the loss of a token is ½ |z|².
// Everything that calibration measures of it is written down here as plain
// sums in double.
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/Calibration.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "gtest/gtest.h"
#include <cmath>
#include <fstream>
#include <random>

using namespace mlir::cq;

namespace {

constexpr int64_t T = 9, R = T - 1, V = 7, D = 5, N = 4;

std::string moduleText() {
  std::string block = R"(
  func.func private @block_%(%x: tensor<9x5xf32>, %w: tensor<5x5xf32>) -> tensor<9x5xf32> {
    %e = tensor.empty() : tensor<9x5xf32>
    %zero = arith.constant 0.0 : f32
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<9x5xf32>) -> tensor<9x5xf32>
    %y = linalg.matmul indexing_maps = [#x, #w, #y] ins(%x, %w : tensor<9x5xf32>, tensor<5x5xf32>) outs(%f : tensor<9x5xf32>) -> tensor<9x5xf32>
    %z = linalg.add ins(%x, %y : tensor<9x5xf32>, tensor<9x5xf32>) outs(%e : tensor<9x5xf32>) -> tensor<9x5xf32>
    return %z : tensor<9x5xf32>
  })";
  std::string text = R"(
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(i) -> (i)>
#rows = affine_map<(i, j) -> (i)>
#all = affine_map<(i, j) -> (i, j)>
module attributes {cq.parameters = "w.safetensors", cq.model = {vocabulary = 7 : i64}} {
  ml_program.global private @embedding(#ml_program.extern : tensor<7x5xf32>) : tensor<7x5xf32>
  ml_program.global private @w0(#ml_program.extern : tensor<5x5xf32>) : tensor<5x5xf32>
  ml_program.global private @w1(#ml_program.extern : tensor<5x5xf32>) : tensor<5x5xf32>
  ml_program.global private @head(#ml_program.extern : tensor<4x5xf32>) : tensor<4x5xf32>)";
  for (const char *number : {"0", "1"}) {
    std::string copy = block;
    copy.replace(copy.find("block_%") + 6, 1, number);
    text += copy;
  }
  text += R"(
  func.func @loss(%tokens: tensor<9xi32>) -> tensor<8xf32> {
    %embedding = ml_program.global_load @embedding : tensor<7x5xf32>
    %w0 = ml_program.global_load @w0 : tensor<5x5xf32>
    %w1 = ml_program.global_load @w1 : tensor<5x5xf32>
    %head = ml_program.global_load @head : tensor<4x5xf32>
    %e = tensor.empty() : tensor<9x5xf32>
    %x = linalg.generic {indexing_maps = [#rows, #all], iterator_types = ["parallel", "parallel"]}
        ins(%tokens : tensor<9xi32>) outs(%e : tensor<9x5xf32>) {
    ^bb0(%t: i32, %o: f32):
      %i = arith.index_cast %t : i32 to index
      %j = linalg.index 1 : index
      %v = tensor.extract %embedding[%i, %j] : tensor<7x5xf32>
      linalg.yield %v : f32
    } -> tensor<9x5xf32>
    %y = call @block_0(%x, %w0) {cq.block = 0 : i64} : (tensor<9x5xf32>, tensor<5x5xf32>) -> tensor<9x5xf32>
    %z = call @block_1(%y, %w1) {cq.block = 1 : i64} : (tensor<9x5xf32>, tensor<5x5xf32>) -> tensor<9x5xf32>
    %p = tensor.extract_slice %z[0, 0] [8, 5] [1, 1] : tensor<9x5xf32> to tensor<8x5xf32>
    %zero = arith.constant 0.0 : f32
    %half = arith.constant 0.5 : f32
    %e4 = tensor.empty() : tensor<8x4xf32>
    %f4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<8x4xf32>) -> tensor<8x4xf32>
    %l = linalg.matmul indexing_maps = [#x, #w, #y] ins(%p, %head : tensor<8x5xf32>, tensor<4x5xf32>) outs(%f4 : tensor<8x4xf32>) -> tensor<8x4xf32>
    %e1 = tensor.empty() : tensor<8xf32>
    %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<8xf32>) -> tensor<8xf32>
    %losses = linalg.generic {indexing_maps = [#all, #rows], iterator_types = ["parallel", "reduction"]}
        ins(%l : tensor<8x4xf32>) outs(%f1 : tensor<8xf32>) {
    ^bb0(%v: f32, %o: f32):
      %s = arith.mulf %v, %v : f32
      %h = arith.mulf %s, %half : f32
      %a = arith.addf %o, %h : f32
      linalg.yield %a : f32
    } -> tensor<8xf32>
    return %losses : tensor<8xf32>
  }
})";
  return text;
}

using Matrix = std::vector<double>; // row-major

/// a [m, k] · bᵀ, b [n, k].
Matrix times(const Matrix &a, const Matrix &b, int64_t m, int64_t n,
             int64_t k) {
  Matrix c(m * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t l = 0; l < k; ++l)
        c[i * n + j] += a[i * k + l] * b[j * k + l];
  return c;
}

/// What one sequence should show.
struct Expected {
  Matrix x, y, z;         ///< entering block 0, block 1, the head
  Matrix gradient[3];     ///< of w0, w1, head
  Matrix tokenSquares[3]; ///< Σ_t g_t² of the same
  double loss = 0;
};

class CalibrationTest : public testing::Test {
protected:
  void SetUp() override {
    llvm::SmallString<128> path;
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("cq-calibration", path));
    folder = std::string(path);
    std::mt19937 engine(7);
    auto fill = [&](std::vector<float> &values, int64_t count) {
      values.resize(count);
      for (float &value : values)
        value = float(int32_t(engine())) / float(1u << 31);
    };
    fill(embedding, V * D);
    fill(weights[0], D * D);
    fill(weights[1], D * D);
    fill(weights[2], N * D);
    auto writer = llvm::cantFail(SafetensorsWriter::create(
        file("w.safetensors"), {{"embedding", DType::F32, {V, D}},
                                {"w0", DType::F32, {D, D}},
                                {"w1", DType::F32, {D, D}},
                                {"head", DType::F32, {N, D}}}));
    for (const auto *values :
         {&embedding, &weights[0], &weights[1], &weights[2]})
      llvm::cantFail(
          writer->append({reinterpret_cast<const uint8_t *>(values->data()),
                          values->size() * sizeof(float)}));
    llvm::cantFail(writer->commit());
    std::ofstream(file("m.mlir")) << moduleText();
    for (int i = 0; i < 4; ++i) {
      sequences.emplace_back();
      for (int64_t t = 0; t < T; ++t)
        sequences.back().push_back(int32_t(engine() % V));
    }
  }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }

  std::string file(const char *name) { return folder + "/" + name; }

  std::unique_ptr<ObservedModel> load(const char *fisher, bool gram = true) {
    ObservedModelOptions options;
    options.fisher = fisher;
    options.gram = gram;
    options.useCache = false;
    auto model = ObservedModel::load(file("m.mlir"), options);
    if (model)
      return std::move(*model);
    ADD_FAILURE() << llvm::toString(model.takeError());
    return nullptr;
  }

  Expected expect(llvm::ArrayRef<int32_t> tokens) {
    Expected e;
    Matrix w[3];
    for (int i = 0; i < 3; ++i)
      w[i].assign(weights[i].begin(), weights[i].end());
    for (int32_t token : tokens)
      e.x.insert(e.x.end(), embedding.begin() + token * D,
                 embedding.begin() + (token + 1) * D);
    auto block = [&](const Matrix &in, const Matrix &weight) {
      Matrix out = times(in, weight, T, D, D);
      for (size_t i = 0; i < out.size(); ++i)
        out[i] += in[i];
      return out;
    };
    e.y = block(e.x, w[0]);
    e.z = block(e.y, w[1]);
    Matrix logits = times(e.z, w[2], R, N, D);
    for (double value : logits)
      e.loss += value * value / 2;
    // One token at a time: gradients are sums of δ xᵀ.
    for (int i = 0; i < 3; ++i) {
      e.gradient[i].assign(weights[i].size(), 0);
      e.tokenSquares[i].assign(weights[i].size(), 0);
    }
    for (int64_t t = 0; t < R; ++t) {
      Matrix delta(logits.begin() + t * N, logits.begin() + (t + 1) * N);
      const Matrix *inputs[] = {&e.x, &e.y, &e.z};
      for (int i = 2; i >= 0; --i) {
        int64_t n = int64_t(delta.size());
        Matrix back(D);
        for (int64_t row = 0; row < n; ++row)
          for (int64_t k = 0; k < D; ++k) {
            double g = delta[row] * (*inputs[i])[t * D + k];
            e.gradient[i][row * D + k] += g;
            e.tokenSquares[i][row * D + k] += g * g;
            back[k] += delta[row] * w[i][row * D + k];
          }
        if (i < 2) // the residual
          for (int64_t k = 0; k < D; ++k)
            back[k] += delta[k];
        delta = back;
      }
    }
    return e;
  }

  static void expectNear(double value, double wanted) {
    EXPECT_NEAR(value, wanted, 1e-4 * std::max(1e-3, std::abs(wanted)));
  }

  std::string folder;
  std::vector<float> embedding, weights[3];
  std::vector<std::vector<int32_t>> sequences;
};

TEST_F(CalibrationTest, MomentsGramAndBlocksAreTheSums) {
  auto model = load("none");
  ASSERT_TRUE(model);
  EXPECT_EQ(model->tokens(), T);
  auto calibration =
      llvm::cantFail(Calibration::create(*model, FisherKind::None));
  Matrix squares[3], magnitudes[3], largest[3], gram[3];
  int64_t rows[3] = {};
  for (int i = 0; i < 3; ++i) {
    squares[i].assign(D, 0);
    magnitudes[i] = largest[i] = squares[i];
    gram[i].assign(D * D, 0);
  }
  double loss = 0, cosine[2] = {}, dot[2] = {};
  for (const auto &sequence : sequences) {
    ASSERT_FALSE(bool(calibration.add(sequence)));
    Expected e = expect(sequence);
    loss += e.loss;
    const Matrix *inputs[] = {&e.x, &e.y, &e.z};
    for (int i = 0; i < 3; ++i) {
      int64_t count = i < 2 ? T : R;
      rows[i] += count;
      for (int64_t t = 0; t < count; ++t)
        for (int64_t a = 0; a < D; ++a) {
          double value = (*inputs[i])[t * D + a];
          squares[i][a] += value * value;
          magnitudes[i][a] += std::abs(value);
          largest[i][a] = std::max(largest[i][a], std::abs(value));
          for (int64_t b = 0; b < D; ++b)
            gram[i][a * D + b] += value * (*inputs[i])[t * D + b];
        }
    }
    for (int i = 0; i < 2; ++i)
      for (int64_t t = 0; t < T; ++t) {
        double inner = 0, in = 0, out = 0;
        for (int64_t a = 0; a < D; ++a) {
          double p = (*inputs[i])[t * D + a], q = (*inputs[i + 1])[t * D + a];
          inner += p * q, in += p * p, out += q * q;
        }
        cosine[i] += inner / std::sqrt(in * out);
        dot[i] += inner;
      }
  }
  Statistics &sums = calibration.statistics();
  expectNear(sums.sumLoss, loss);
  EXPECT_EQ(sums.lossTokens, R * int64_t(sequences.size()));
  ASSERT_EQ(sums.inputs.size(), 3u);
  EXPECT_TRUE(sums.fishers.empty());
  const char *names[] = {"w0", "w1", "head"};
  for (int i = 0; i < 3; ++i) {
    const InputStatistics *input = sums.findInput(names[i]);
    ASSERT_TRUE(input) << names[i];
    EXPECT_EQ(input->tokens, rows[i]);
    ASSERT_EQ(input->k, D);
    size_t at = 0;
    for (int64_t a = 0; a < D; ++a) {
      expectNear(input->sumSquares[a], squares[i][a]);
      expectNear(input->sumMagnitudes[a], magnitudes[i][a]);
      expectNear(input->maxMagnitude[a], largest[i][a]);
      for (int64_t b = a; b < D; ++b)
        expectNear(input->gram[at++], gram[i][a * D + b]);
    }
  }
  ASSERT_EQ(sums.blocks.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(sums.blocks[i].block, i);
    expectNear(sums.blocks[i].sumCosine, cosine[i]);
    expectNear(sums.blocks[i].dot, dot[i]);
  }
  // ZD of a block: of its only weight.
  calibration.measureZScores();
  double mean = 0, variance = 0, above = 0;
  for (float w : weights[0])
    mean += w / double(D * D);
  for (float w : weights[0])
    variance += (w - mean) * (w - mean) / double(D * D);
  for (float w : weights[0])
    above += (w - mean) / std::sqrt(variance) > 1;
  EXPECT_EQ(sums.blocks[0].zScore, above / double(D * D));
}

TEST_F(CalibrationTest, FisherIsThatOfTheHandCalculation) {
  for (FisherKind kind : {FisherKind::Sequence, FisherKind::Token}) {
    auto model = load(stringifyFisherKind(kind).data(), /*gram=*/false);
    ASSERT_TRUE(model);
    auto calibration = llvm::cantFail(Calibration::create(*model, kind));
    Matrix sums[3];
    for (int i = 0; i < 3; ++i)
      sums[i].assign(weights[i].size(), 0);
    for (const auto &sequence : sequences) {
      ASSERT_FALSE(bool(calibration.add(sequence)));
      Expected e = expect(sequence);
      for (int i = 0; i < 3; ++i)
        for (size_t j = 0; j < sums[i].size(); ++j)
          sums[i][j] += kind == FisherKind::Token
                            ? e.tokenSquares[i][j]
                            : e.gradient[i][j] * e.gradient[i][j];
    }
    const char *names[] = {"w0", "w1", "head"};
    for (int i = 0; i < 3; ++i) {
      const FisherStatistics *fisher =
          calibration.statistics().findFisher(names[i]);
      ASSERT_TRUE(fisher) << names[i];
      EXPECT_EQ(fisher->sequences, int64_t(sequences.size()));
      ASSERT_EQ(fisher->sum.size(), sums[i].size());
      for (size_t j = 0; j < sums[i].size(); ++j)
        expectNear(fisher->sum[j], sums[i][j]);
    }
    // Blocks and inputs of the forward pass are seen once, not recomputed.
    EXPECT_EQ(calibration.statistics().findInput("w0")->tokens,
              T * int64_t(sequences.size()));
    EXPECT_EQ(calibration.statistics().blocks[1].tokens,
              T * int64_t(sequences.size()));
  }
}

TEST_F(CalibrationTest, ResumedIsWholeAndHalvesMerge) {
  auto model = load("sequence");
  ASSERT_TRUE(model);
  auto begin = [&] {
    auto result =
        llvm::cantFail(Calibration::create(*model, FisherKind::Sequence));
    return result;
  };
  auto bytes = [&](Statistics &sums, int64_t first, int64_t count,
                   const char *name) {
    sums.provenance = {"m", "t", "o", {{"text", "hash", first, count}}};
    EXPECT_EQ(llvm::toString(sums.write(file(name))), "");
    return llvm::cantFail(
               llvm::errorOrToExpected(llvm::MemoryBuffer::getFile(file(name))))
        ->getBuffer()
        .str();
  };
  auto add = [&](Calibration &to, int first, int last) {
    for (int i = first; i < last; ++i)
      EXPECT_EQ(llvm::toString(to.add(sequences[i])), "");
  };
  Calibration whole = begin(), half = begin(), rest = begin();
  add(whole, 0, 4);
  add(half, 0, 2);
  add(rest, 2, 4);
  std::string wanted = bytes(whole.statistics(), 0, 4, "whole");
  (void)bytes(half.statistics(), 0, 2, "half");
  (void)bytes(rest.statistics(), 2, 2, "rest");

  Calibration resumed = begin();
  ASSERT_EQ(llvm::toString(
                resumed.resume(llvm::cantFail(Statistics::read(file("half"))))),
            "");
  add(resumed, 2, 4);
  EXPECT_EQ(bytes(resumed.statistics(), 0, 4, "resumed"), wanted);

  Statistics merged = llvm::cantFail(Statistics::read(file("half")));
  ASSERT_EQ(llvm::toString(
                merged.merge(llvm::cantFail(Statistics::read(file("rest"))))),
            "");
  const Statistics &all = whole.statistics();
  EXPECT_NEAR(merged.sumLoss, all.sumLoss, 1e-12 * all.sumLoss);
  for (size_t i = 0; i < all.fishers.size(); ++i)
    for (size_t j = 0; j < all.fishers[i].sum.size(); ++j)
      EXPECT_NEAR(merged.fishers[i].sum[j], all.fishers[i].sum[j],
                  1e-12 * all.fishers[i].sum[j]);
  for (size_t i = 0; i < all.inputs.size(); ++i)
    for (size_t j = 0; j < all.inputs[i].gram.size(); ++j)
      EXPECT_NEAR(merged.inputs[i].gram[j], all.inputs[i].gram[j],
                  1e-12 * all.inputs[i].sumSquares[0]);

  // Sums of something else are refused.
  Statistics other = llvm::cantFail(Statistics::read(file("half")));
  other.fishers.pop_back();
  EXPECT_NE(llvm::toString(resumed.resume(std::move(other))), "");
}

TEST_F(CalibrationTest, ParametersAreReplaced) {
  auto model = load("none", /*gram=*/false);
  ASSERT_TRUE(model);
  std::vector<float> losses(R), changed(R), again(R);
  ASSERT_FALSE(bool(model->run(sequences[0], losses, nullptr)));
  std::vector<float> zeros(N * D, 0.0f);
  ASSERT_FALSE(bool(model->setParameter("head", zeros.data())));
  EXPECT_EQ(model->parameter("head"), zeros.data());
  ASSERT_FALSE(bool(model->run(sequences[0], changed, nullptr)));
  EXPECT_EQ(changed, std::vector<float>(R, 0.0f));
  ASSERT_FALSE(bool(model->setParameter("head", nullptr)));
  ASSERT_FALSE(bool(model->run(sequences[0], again, nullptr)));
  EXPECT_EQ(again, losses);
  EXPECT_EQ(llvm::toString(model->setParameter("absent", zeros.data())),
            "the model has no f32 parameter 'absent' to replace");
}

TEST_F(CalibrationTest, RefusesSequencesThatDoNotFit) {
  auto model = load("none", /*gram=*/false);
  ASSERT_TRUE(model);
  std::vector<float> losses(R);
  std::vector<int32_t> tokens(T, 0);
  tokens[3] = V;
  EXPECT_EQ(llvm::toString(model->run(tokens, losses, nullptr)),
            "token 7 is outside the vocabulary of 7");
  tokens.pop_back();
  EXPECT_NE(llvm::toString(model->run(tokens, losses, nullptr)), "");
}

} // namespace
