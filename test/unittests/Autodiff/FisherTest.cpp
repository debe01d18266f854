//===- FisherTest.cpp - Fisher diagonals against a calculation by hand --===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Gradients.h"
#include "cq/Runtime/Runtime.h"
#include "gtest/gtest.h"
#include <map>

using namespace mlir::cq::test;

namespace {

// Two layers, two tokens x = (1, 2), (3, −1):
//   h = W1 x, y = W2 (h∘h), W1 = (1 1; 0 2), W2 = (2 −1).
//
//   token   h        dy/dW2   dy/dh = 2 h W2   dy/dW1 = dy/dh xᵀ
//   0       3, 4     9, 16    12, −8           12, 24; −8, −16
//   1       2, −2    4, 4     8, 4             24, −8; 12, −4
constexpr llvm::StringLiteral source = R"(
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
ml_program.global private @w1(#ml_program.extern : tensor<2x2xf32>) : tensor<2x2xf32>
ml_program.global private @w2(#ml_program.extern : tensor<1x2xf32>) : tensor<1x2xf32>
func.func private @layer(%h: tensor<2x2xf32>, %w: tensor<1x2xf32>) -> tensor<2x1xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x1xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x1xf32>) -> tensor<2x1xf32>
  %y = linalg.matmul indexing_maps = [#x, #w, #y] ins(%h, %w : tensor<2x2xf32>, tensor<1x2xf32>) outs(%f : tensor<2x1xf32>) -> tensor<2x1xf32>
  return %y : tensor<2x1xf32>
}
func.func @loss(%x: tensor<2x2xf32>) -> tensor<2x1xf32> {
  %w1 = ml_program.global_load @w1 : tensor<2x2xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x2xf32>) -> tensor<2x2xf32>
  %h = linalg.matmul indexing_maps = [#x, #w, #y] ins(%x, %w1 : tensor<2x2xf32>, tensor<2x2xf32>) outs(%f : tensor<2x2xf32>) -> tensor<2x2xf32>
  %a = linalg.square ins(%h : tensor<2x2xf32>) outs(%e : tensor<2x2xf32>) -> tensor<2x2xf32>
  %w2 = ml_program.global_load @w2 : tensor<1x2xf32>
  %y = func.call @layer(%a, %w2) : (tensor<2x2xf32>, tensor<1x2xf32>) -> tensor<2x1xf32>
  return %y : tensor<2x1xf32>
})";

using Observations = std::map<int64_t, std::vector<float>>;

Observations observe(const std::string &fisher) {
  Observations seen;
  auto module = compileWith(
      source, "cq-differentiate{gradients=observe fisher=" + fisher + "}");
  if (!module)
    return seen;
  cq_set_observer(
      [](void *user, int64_t number, int64_t operands, const float *const *data,
         const int64_t *sizes) {
        ASSERT_EQ(operands, 1);
        (*static_cast<Observations *>(user))[number].assign(
            data[0], data[0] + sizes[0] * sizes[1]);
      },
      &seen);
  float w1[] = {1, 1, 0, 2}, w2[] = {2, -1}, x[] = {1, 2, 3, -1}, y[2] = {};
  void *table[] = {w1, w2};
  callFunction(*module, "loss_gradient", {x, y}, table);
  cq_set_observer(nullptr, nullptr);
  EXPECT_EQ(y[0], 2);
  EXPECT_EQ(y[1], 4);
  return seen;
}

// W2 comes first: its gradient is known first.
TEST(Fisher, SequenceGivesTheGradientOfTheSum) {
  Observations seen = observe("sequence");
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0], (std::vector<float>{13, 20}));
  EXPECT_EQ(seen[1], (std::vector<float>{36, 16, 4, -20}));
}

TEST(Fisher, TokenGivesTheSumOfSquares) {
  Observations seen = observe("token");
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0], (std::vector<float>{97, 272}));
  EXPECT_EQ(seen[1], (std::vector<float>{720, 640, 208, 272}));
}

} // namespace
