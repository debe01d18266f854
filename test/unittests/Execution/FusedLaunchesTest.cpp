//===- FusedLaunchesTest.cpp - Launches put together change no bit --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LaunchModules.h"
#include "cq/Codec/MixedRows.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;
using namespace mlir::cq::x86::test;

namespace {

// q, k and v: shapes, schemes, cherries and row orders of their own, some with
// a bias.
TEST(FusedLaunches, SideBySide) {
  std::vector<Scheme> schemes = allSchemes();
  for (unsigned turn = 0; turn < numTurns(); ++turn) {
    SCOPED_TRACE(turn);
    int64_t m = kTokens[turn % 6], k = kColumns[turn % 5];
    std::vector<float> x = randomValues(m * k, turn, 1.0f);
    ModuleWriter writer(sharedContext());
    std::vector<std::string> names, types;
    std::vector<int64_t> sizes;
    std::vector<WeightCase> weights;
    weights.reserve(3);
    std::vector<std::vector<float>> biases(3);
    Outputs want;
    for (unsigned i = 0; i < 3; ++i) {
      int64_t n = kRows[(turn + 2 * i) % 6];
      weights.push_back(randomWeight(
          n, k, schemes[(turn * 7 + 23 * i) % schemes.size()], turn + i));
      const WeightCase &w = weights.back();
      want.emplace_back(m * n);
      referenceGemm(x.data(), m, w.quantized, w.positions(),
                    ActivationMode::Int8, want.back().data());
      bool biased = (turn + i) % 2 == 1;
      if (biased)
        biases[i] = randomValues(n, 99 + i, 0.5f);
      for (auto [j, value] : llvm::enumerate(want.back()))
        value = -(biased ? value + biases[i][j % n] : value);
      std::string name = "y" + std::to_string(i);
      types.push_back(writer.product(name, "%x", m, weights.back(),
                                     biased ? &biases[i] : nullptr));
      names.push_back("%" + name);
      sizes.push_back(m * n);
    }
    std::string source = writer.finish(
        llvm::formatv("tensor<{0}x{1}xf32>", m, k).str(), names, types);
    for (bool fuse : {false, true}) {
      Outputs got = evaluate(source, writer.table, x, sizes, fuse);
      ASSERT_EQ(got.size(), 3u);
      for (unsigned i = 0; i < 3; ++i)
        EXPECT_EQ(
            std::memcmp(got[i].data(), want[i].data(), 4 * want[i].size()), 0)
            << (fuse ? "fused" : "unfused") << ", product " << i << "\n"
            << source;
    }
  }
}

// x + down(silu(gate(x)) · up(x)).
TEST(FusedLaunches, GatedLayers) {
  std::vector<Scheme> schemes = allSchemes();
  for (unsigned turn = 0; turn < numTurns(); ++turn) {
    SCOPED_TRACE(turn);
    int64_t m = kTokens[turn % 6], k = kColumns[turn % 5],
            n = kRows[(turn + 1) % 6];
    std::vector<float> x = randomValues(m * k, turn, 1.0f);
    auto scheme = [&](unsigned i) {
      return schemes[(turn * 11 + 17 * i) % schemes.size()];
    };
    // The shapes of gate and up agree, nothing else.
    WeightCase gate = randomWeight(n, k, scheme(0), turn),
               up = randomWeight(n, k, scheme(1), turn + 1),
               down = randomWeight(k, n, scheme(2), turn + 2);
    ModuleWriter writer(sharedContext());
    std::string tn = writer.product("gate", "%x", m, gate, nullptr);
    writer.product("up", "%x", m, up, nullptr);
    writer.combine("both", "%gate", "%up", tn,
                   "%n = arith.negf %p : f32\n%x0 = math.exp %n : f32\n"
                   "%d = arith.addf %x0, %one : f32\n"
                   "%g = arith.divf %p, %d : f32\n"
                   "%r = arith.mulf %g, %q : f32\n");
    std::string tk = writer.product("down", "%both", m, down, nullptr);
    writer.combine("sum", "%x", "%down", tk, "%r = arith.addf %p, %q : f32\n");
    std::string source = writer.finish(tk, {"%sum"}, {tk});
    Outputs want = evaluate(source, writer.table, x, {m * k}, false),
            got = evaluate(source, writer.table, x, {m * k}, true);
    ASSERT_EQ(want.size(), 1u);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(std::memcmp(got[0].data(), want[0].data(), 4 * want[0].size()), 0)
        << source;
  }
}

/// What an elementwise module makes of `inputs`, without any product.
std::vector<float> elementwise(StringRef code, std::vector<float> a,
                               std::vector<float> b, int64_t m, int64_t n) {
  ModuleWriter writer(sharedContext());
  std::string type = llvm::formatv("tensor<{0}x{1}xf32>", m, n);
  std::string second = writer.parameter("b", type, b.data());
  writer.combine("y", "%x", second, type, code);
  std::string source = writer.finish(type, {"%y"}, {type});
  std::vector<float> y = evaluate(source, writer.table, a, {m * n}, true).at(0);
  y.resize(m * n);
  return y;
}

// Rows of two widths stored in another order: residual + (Ŵ x + bias), and
// silu(gate) · up, equal what the same elementwise code makes of the codec's
// products.
TEST(FusedLaunches, EpiloguesOfReorderedRowsEqualTheReference) {
  constexpr StringRef gated = "%n = arith.negf %p : f32\n"
                              "%x0 = math.exp %n : f32\n"
                              "%d = arith.addf %x0, %one : f32\n"
                              "%g = arith.divf %p, %d : f32\n"
                              "%r = arith.mulf %g, %q : f32\n";
  for (unsigned turn = 0; turn < numTurns(); ++turn) {
    SCOPED_TRACE(turn);
    const unsigned narrow[] = {2, 3, 3, 4, 5, 2}, wide[] = {4, 4, 8, 6, 6, 3};
    const int64_t rows[] = {272, 33, 100, 509, 160, 97};
    int64_t m = kTokens[turn % 6], k = kColumns[turn % 5], n = rows[turn % 6];
    std::vector<float> x = randomValues(m * k, turn, 1.0f),
                       residual = randomValues(m * n, turn + 1, 1.0f),
                       bias = randomValues(n, turn + 2, 0.5f);
    auto weight = [&](unsigned i) {
      unsigned w = (turn + i) % 6;
      Scheme scheme{narrow[w], 32 << (turn + i) % 3,
                    i % 2 ? Grid::Affine : Grid::Symmetric};
      Layout layout =
          WideRows{WideRows::roundedCount(1, 2 + i, n), wide[w]}.layout(
              LayoutKind::Panel16, n, narrow[w]);
      EXPECT_TRUE(layout.permuted);
      return makeWeight(n, k, scheme, layout, cherriesOf(turn + i, k),
                        turn + i);
    };
    WeightCase plain = weight(0), gate = weight(1), up = weight(2);
    auto product = [&](const WeightCase &w) {
      std::vector<float> y(m * n);
      referenceGemm(x.data(), m, w.quantized, w.positions(),
                    ActivationMode::Int8, y.data());
      return y;
    };
    std::vector<float> biased = product(plain);
    for (auto [j, value] : llvm::enumerate(biased))
      value = -(residual[j] + (value + bias[j % n]));
    // Both modules return the negative of what they compute.
    std::vector<float> swiglu =
        elementwise(gated, product(gate), product(up), m, n);

    ModuleWriter writer(sharedContext());
    std::string tx = llvm::formatv("tensor<{0}x{1}xf32>", m, k),
                ty = writer.product("plain", "%x", m, plain, &bias);
    std::string old = writer.parameter("residual", ty, residual.data());
    writer.combine("sum", old, "%plain", ty, "%r = arith.addf %p, %q : f32\n");
    writer.product("gate", "%x", m, gate, nullptr);
    writer.product("up", "%x", m, up, nullptr);
    writer.combine("both", "%gate", "%up", ty, gated);
    std::string source = writer.finish(tx, {"%sum", "%both"}, {ty, ty});
    for (bool fuse : {false, true}) {
      Outputs got = evaluate(source, writer.table, x, {m * n, m * n}, fuse);
      ASSERT_EQ(got.size(), 2u);
      EXPECT_EQ(std::memcmp(got[0].data(), biased.data(), 4 * m * n), 0)
          << "residual and bias" << (fuse ? ", fused" : "");
      EXPECT_EQ(std::memcmp(got[1].data(), swiglu.data(), 4 * m * n), 0)
          << "SwiGLU" << (fuse ? ", fused" : "");
    }
  }
}

} // namespace
