// RUN: cq-opt %s --split-input-file --cq-raise-dequant-matmul 2>&1 | FileCheck %s

// The form of torch-mlir and sharktank: codes [N, groups, length], zero points,
// then a contraction over group and column.
// CHECK-LABEL: func.func @two_generics(
// CHECK: cq.matmul {{.*}} zeros({{.*}}scheme = #cq.scheme<bits = 4, group = 32, grid = affine, scale = f16>
// CHECK-NOT: linalg.generic
#whole = affine_map<(n, g, k) -> (n, g, k)>
#group = affine_map<(n, g, k) -> (n, g)>
func.func @two_generics(%x : tensor<2x64xf32>, %e : tensor<1x2x32xf32>) -> tensor<2x1xf32> {
  %zero = arith.constant 0.0 : f32
  %codes = arith.constant dense<[[[0, 15, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 1, 2, 0, 15, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 1, 2],
                                  [15, 15, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 1, 2, 0, 15, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 1, 2]]]> : tensor<1x2x32xi8>
  %scales = arith.constant dense<[[0.5, 0.25]]> : tensor<1x2xf16>
  %zeros = arith.constant dense<[[3, 12]]> : tensor<1x2xi8>
  %w = linalg.generic {indexing_maps = [#whole, #group, #group, #whole], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%codes, %scales, %zeros : tensor<1x2x32xi8>, tensor<1x2xf16>, tensor<1x2xi8>) outs(%e : tensor<1x2x32xf32>) {
  ^bb0(%c : i8, %s : f16, %z : i8, %o : f32):
    %ci = arith.extui %c : i8 to i32
    %zi = arith.extui %z : i8 to i32
    %d = arith.subi %ci, %zi : i32
    %f = arith.sitofp %d : i32 to f32
    %se = arith.extf %s : f16 to f32
    %v = arith.mulf %f, %se : f32
    linalg.yield %v : f32
  } -> tensor<1x2x32xf32>
  %xg = tensor.expand_shape %x [[0], [1, 2]] output_shape [2, 2, 32] : tensor<2x64xf32> into tensor<2x2x32xf32>
  %ye = tensor.empty() : tensor<2x1xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ye : tensor<2x1xf32>) -> tensor<2x1xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, g, k) -> (m, g, k)>, affine_map<(m, n, g, k) -> (n, g, k)>, affine_map<(m, n, g, k) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
    ins(%xg, %w : tensor<2x2x32xf32>, tensor<1x2x32xf32>) outs(%i : tensor<2x1xf32>) {
  ^bb0(%a : f32, %b : f32, %o : f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<2x1xf32>
  return %y : tensor<2x1xf32>
}

// -----

// quant.dcast with a scale for 32 columns, and with one for each row.
// CHECK-LABEL: func.func @casts(
// CHECK: cq.matmul {{.*}}scheme = #cq.scheme<bits = 2, group = 32, grid = symmetric, scale = f32>
// CHECK: cq.matmul {{.*}}scheme = #cq.scheme<bits = 3, group = row, grid = symmetric, scale = f32>
// CHECK-NOT: quant.
func.func @casts(%x : tensor<2x64xf32>, %i : tensor<2x2xf32>) -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %a = arith.constant dense<1> : tensor<2x64xi8>
  %qa = quant.scast %a : tensor<2x64xi8> to tensor<2x64x!quant.uniform<i8:f32:{0:1, 1:32}, {{0.5, 0.25}, {1.0, 2.0}}>>
  %wa = quant.dcast %qa : tensor<2x64x!quant.uniform<i8:f32:{0:1, 1:32}, {{0.5, 0.25}, {1.0, 2.0}}>> to tensor<2x64xf32>
  %ya = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
    ins(%x, %wa : tensor<2x64xf32>, tensor<2x64xf32>) outs(%i : tensor<2x2xf32>) -> tensor<2x2xf32>
  %b = arith.constant dense<-4> : tensor<64x2xi8>
  %qb = quant.scast %b : tensor<64x2xi8> to tensor<64x2x!quant.uniform<i8:f32:1, {0.5, 0.25}>>
  %wb = quant.dcast %qb : tensor<64x2x!quant.uniform<i8:f32:1, {0.5, 0.25}>> to tensor<64x2xf32>
  %yb = linalg.matmul ins(%x, %wb : tensor<2x64xf32>, tensor<64x2xf32>) outs(%i : tensor<2x2xf32>) -> tensor<2x2xf32>
  return %ya, %yb : tensor<2x2xf32>, tensor<2x2xf32>
}

// -----

// Groups of 16 columns have no scheme: left, and said so.
// CHECK: remark: 'linalg.matmul' keeps the weight that is decoded in front of it: its groups are not of 32, 64 or 128 columns or the whole row
// CHECK-LABEL: func.func @small_groups(
// CHECK: linalg.matmul
func.func @small_groups(%x : tensor<2x32xf32>, %i : tensor<2x1xf32>) -> tensor<2x1xf32> {
  %a = arith.constant dense<1> : tensor<1x32xi8>
  %q = quant.scast %a : tensor<1x32xi8> to tensor<1x32x!quant.uniform<i8:f32:{0:1, 1:16}, {{0.5, 0.25}}>>
  %w = quant.dcast %q : tensor<1x32x!quant.uniform<i8:f32:{0:1, 1:16}, {{0.5, 0.25}}>> to tensor<1x32xf32>
  %y = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
    ins(%x, %w : tensor<2x32xf32>, tensor<1x32xf32>) outs(%i : tensor<2x1xf32>) -> tensor<2x1xf32>
  return %y : tensor<2x1xf32>
}
