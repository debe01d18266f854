//===- AttentionTest.cpp - Causal attention of many tokens ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Attention as the importer writes it, of random shapes and positions: equal at
// 1, 2 and 3 threads, and to sums in double but for rounding.
//
//===----------------------------------------------------------------------===//

#include "LaunchModules.h"
#include <cmath>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;
using namespace mlir::cq::x86::test;

namespace {

struct Case {
  int64_t groups, heads, tokens, width, position;
};

/// %x is the queries [groups, heads · tokens, width]. The result is multiplied
/// by one, as a product reads it in a model: what leaves the module is not the
/// kernel's own buffer.
std::string attention(const Case &c) {
  return llvm::formatv(
      R"(
%z = arith.constant 0.0 : f32
%least = arith.constant 0xFF800000 : f32
%p0 = arith.constant {4} : index
%e0 = tensor.empty() : tensor<{0}x{6}x{5}xf32>
%f0 = linalg.fill ins(%z : f32) outs(%e0 : tensor<{0}x{6}x{5}xf32>) -> tensor<{0}x{6}x{5}xf32>
%s = linalg.generic {{indexing_maps = [affine_map<(g, r, l, k) -> (g, r, k)>, affine_map<(g, r, l, k) -> (l, g, k)>, affine_map<(g, r, l, k) -> (g, r, l)>], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%x, %keys : tensor<{0}x{6}x{3}xf32>, tensor<{5}x{0}x{3}xf32>) outs(%f0 : tensor<{0}x{6}x{5}xf32>) {{
^bb0(%p: f32, %q: f32, %o: f32):
  %a = arith.mulf %p, %q : f32
  %r = arith.addf %o, %a : f32
  linalg.yield %r : f32
} -> tensor<{0}x{6}x{5}xf32>
%s4 = tensor.expand_shape %s [[0], [1, 2], [3]] output_shape [{0}, {1}, {2}, {5}] : tensor<{0}x{6}x{5}xf32> into tensor<{0}x{1}x{2}x{5}xf32>
%m4 = linalg.generic {{indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} outs(%s4 : tensor<{0}x{1}x{2}x{5}xf32>) {{
^bb0(%o: f32):
  %i = linalg.index 2 : index
  %j = linalg.index 3 : index
  %t = arith.addi %i, %p0 : index
  %u = arith.cmpi ule, %j, %t : index
  %r = arith.select %u, %o, %least : f32
  linalg.yield %r : f32
} -> tensor<{0}x{1}x{2}x{5}xf32>
%m = tensor.collapse_shape %m4 [[0], [1, 2], [3]] : tensor<{0}x{1}x{2}x{5}xf32> into tensor<{0}x{6}x{5}xf32>
%e1 = tensor.empty() : tensor<{0}x{6}xf32>
%f1 = linalg.fill ins(%least : f32) outs(%e1 : tensor<{0}x{6}xf32>) -> tensor<{0}x{6}xf32>
%most = linalg.generic {{indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (a, b)>], iterator_types = ["parallel", "parallel", "reduction"]} ins(%m : tensor<{0}x{6}x{5}xf32>) outs(%f1 : tensor<{0}x{6}xf32>) {{
^bb0(%p: f32, %o: f32):
  %r = arith.maxnumf %o, %p : f32
  linalg.yield %r : f32
} -> tensor<{0}x{6}xf32>
%w = linalg.generic {{indexing_maps = [affine_map<(a, b, c) -> (a, b)>, affine_map<(a, b, c) -> (a, b, c)>], iterator_types = ["parallel", "parallel", "parallel"]} ins(%most : tensor<{0}x{6}xf32>) outs(%m : tensor<{0}x{6}x{5}xf32>) {{
^bb0(%p: f32, %o: f32):
  %a = arith.subf %o, %p : f32
  %r = math.exp %a : f32
  linalg.yield %r : f32
} -> tensor<{0}x{6}x{5}xf32>
%e2 = tensor.empty() : tensor<{0}x{6}xf32>
%f2 = linalg.fill ins(%z : f32) outs(%e2 : tensor<{0}x{6}xf32>) -> tensor<{0}x{6}xf32>
%sums = linalg.generic {{indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (a, b)>], iterator_types = ["parallel", "parallel", "reduction"]} ins(%w : tensor<{0}x{6}x{5}xf32>) outs(%f2 : tensor<{0}x{6}xf32>) {{
^bb0(%p: f32, %o: f32):
  %r = arith.addf %o, %p : f32
  linalg.yield %r : f32
} -> tensor<{0}x{6}xf32>
%e3 = tensor.empty() : tensor<{0}x{6}x{3}xf32>
%f3 = linalg.fill ins(%z : f32) outs(%e3 : tensor<{0}x{6}x{3}xf32>) -> tensor<{0}x{6}x{3}xf32>
%v = linalg.generic {{indexing_maps = [affine_map<(g, r, n, l) -> (g, r, l)>, affine_map<(g, r, n, l) -> (l, g, n)>, affine_map<(g, r, n, l) -> (g, r, n)>], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%w, %values : tensor<{0}x{6}x{5}xf32>, tensor<{5}x{0}x{3}xf32>) outs(%f3 : tensor<{0}x{6}x{3}xf32>) {{
^bb0(%p: f32, %q: f32, %o: f32):
  %a = arith.mulf %p, %q : f32
  %r = arith.addf %o, %a : f32
  linalg.yield %r : f32
} -> tensor<{0}x{6}x{3}xf32>
%v4 = tensor.expand_shape %v [[0], [1, 2], [3]] output_shape [{0}, {1}, {2}, {3}] : tensor<{0}x{6}x{3}xf32> into tensor<{0}x{1}x{2}x{3}xf32>
%sums3 = tensor.expand_shape %sums [[0], [1, 2]] output_shape [{0}, {1}, {2}] : tensor<{0}x{6}xf32> into tensor<{0}x{1}x{2}xf32>
%e4 = tensor.empty() : tensor<{2}x{0}x{1}x{3}xf32>
%y = linalg.generic {{indexing_maps = [affine_map<(a, b, c, d) -> (b, c, a, d)>, affine_map<(a, b, c, d) -> (b, c, a)>, affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%v4, %sums3 : tensor<{0}x{1}x{2}x{3}xf32>, tensor<{0}x{1}x{2}xf32>) outs(%e4 : tensor<{2}x{0}x{1}x{3}xf32>) {{
^bb0(%p: f32, %q: f32, %o: f32):
  %r = arith.divf %p, %q : f32
  linalg.yield %r : f32
} -> tensor<{2}x{0}x{1}x{3}xf32>
%flat = tensor.collapse_shape %y [[0], [1, 2, 3]] : tensor<{2}x{0}x{1}x{3}xf32> into tensor<{2}x{7}xf32>
%e5 = tensor.empty() : tensor<{2}x{7}xf32>
%f5 = linalg.fill ins(%z : f32) outs(%e5 : tensor<{2}x{7}xf32>) -> tensor<{2}x{7}xf32>
%result = linalg.matmul ins(%flat, %eye : tensor<{2}x{7}xf32>, tensor<{7}x{7}xf32>) outs(%f5 : tensor<{2}x{7}xf32>) -> tensor<{2}x{7}xf32>
)",
      c.groups, c.heads, c.tokens, c.width, c.position, c.position + c.tokens,
      c.heads * c.tokens, c.groups * c.heads * c.width);
}

} // namespace

TEST(Attention, EqualsSumsInDouble) {
  for (Case c :
       {Case{1, 1, 32, 8, 0}, Case{3, 3, 64, 64, 0}, Case{3, 3, 64, 64, 64},
        Case{2, 1, 64, 16, 37}, Case{1, 4, 128, 32, 5}, Case{2, 2, 16, 64, 3},
        Case{1, 2, 48, 24, 300}, Case{1, 3, 8, 16, 9}}) {
    SCOPED_TRACE(llvm::formatv("{0} x {1} heads of {2}, {3} tokens from {4}",
                               c.groups, c.heads, c.width, c.tokens, c.position)
                     .str());
    int64_t length = c.position + c.tokens, rows = c.heads * c.tokens;
    std::vector<float> queries =
        randomValues(c.groups * rows * c.width, 1, 0.5f);
    std::vector<float> keys =
        randomValues(length * c.groups * c.width, 2, 1.0f);
    std::vector<float> values =
        randomValues(length * c.groups * c.width, 3, 1.0f);
    ModuleWriter writer(sharedContext());
    std::string type =
        llvm::formatv("tensor<{0}x{1}x{2}xf32>", length, c.groups, c.width);
    writer.parameter("keys", type, keys.data());
    writer.parameter("values", type, values.data());
    int64_t n = c.groups * c.heads * c.width;
    std::vector<float> eye(n * n);
    for (int64_t i = 0; i < n; ++i)
      eye[i * n + i] = 1;
    writer.parameter("eye", llvm::formatv("tensor<{0}x{0}xf32>", n).str(),
                     eye.data());
    writer.add(attention(c));
    std::string source = writer.finish(
        llvm::formatv("tensor<{0}x{1}x{2}xf32>", c.groups, rows, c.width).str(),
        {"%result"}, {llvm::formatv("tensor<{0}x{1}xf32>", c.tokens, n).str()});
    Outputs got = evaluate(source, writer.table, queries,
                           {c.groups * rows * c.width}, true);
    ASSERT_EQ(got.size(), 1u);
    double largest = 0;
    for (int64_t g = 0; g < c.groups; ++g)
      for (int64_t row = 0; row < rows; ++row) {
        int64_t token = row % c.tokens, head = row / c.tokens;
        std::vector<double> weights, want(c.width);
        double most = -1e300, total = 0;
        for (int64_t l = 0; l <= c.position + token; ++l) {
          double score = 0;
          for (int64_t k = 0; k < c.width; ++k)
            score += double(queries[(g * rows + row) * c.width + k]) *
                     keys[(l * c.groups + g) * c.width + k];
          weights.push_back(score);
          most = std::max(most, score);
        }
        for (auto [l, weight] : llvm::enumerate(weights)) {
          weight = std::exp(weight - most);
          total += weight;
          for (int64_t k = 0; k < c.width; ++k)
            want[k] += weight * values[(l * c.groups + g) * c.width + k];
        }
        for (int64_t k = 0; k < c.width; ++k) {
          // @f negates.
          float y =
              -got[0][((token * c.groups + g) * c.heads + head) * c.width + k];
          // Not a number is larger.
          if (double d = std::abs(y - want[k] / total); !(d <= largest))
            largest = d;
        }
      }
    EXPECT_LT(largest, 5e-6);
  }
}
