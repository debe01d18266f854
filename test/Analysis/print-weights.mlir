// RUN: cq-opt %s --cq-print-weights -o /dev/null | FileCheck %s

#nk = affine_map<(m, n, k) -> (n, k)>
#mk = affine_map<(m, n, k) -> (m, k)>
#mn = affine_map<(m, n, k) -> (m, n)>

module {
  ml_program.global private @"blk.0.w"(#ml_program.extern : tensor<24x8xf32>) : tensor<24x8xf32>
  ml_program.global private @"blk.1.w"(#ml_program.extern : tensor<24x8xf32>) : tensor<24x8xf32>
  ml_program.global private @unused(#ml_program.extern : tensor<24x8xf32>) : tensor<24x8xf32>
  ml_program.global private mutable @state(dense<0.0> : tensor<24x8xf32>) : tensor<24x8xf32>
  ml_program.global private @lm_head.weight(#ml_program.extern : tensor<8x24xf32>) : tensor<8x24xf32>

  // A block function of two weights: both arrive at one product.
  func.func private @block(%x : tensor<2x8xf32>, %w : tensor<24x8xf32>) -> tensor<2x24xf32> {
    %i = tensor.empty() : tensor<2x24xf32>
    %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : tensor<2x8xf32>, tensor<24x8xf32>) outs(%i : tensor<2x24xf32>) -> tensor<2x24xf32>
    return %y : tensor<2x24xf32>
  }
  // CHECK: weight 'blk.0.w' [24, 8] f32 global, products: 1, gathers: 0{{$}}
  // CHECK: weight 'blk.1.w' [24, 8] f32 global, products: 1, gathers: 0{{$}}
  // CHECK: weight 'lm_head.weight' [8, 24] f32 global, products: 1, gathers: 0, head{{$}}
  func.func @main(%x : tensor<2x8xf32>) -> (tensor<2x24xf32>, tensor<2x8xf32>) {
    %w0 = ml_program.global_load @"blk.0.w" : tensor<24x8xf32>
    %w1 = ml_program.global_load_const @"blk.1.w" : tensor<24x8xf32>
    %h = ml_program.global_load @lm_head.weight : tensor<8x24xf32>
    %a = call @block(%x, %w0) : (tensor<2x8xf32>, tensor<24x8xf32>) -> tensor<2x24xf32>
    %b = call @block(%x, %w1) : (tensor<2x8xf32>, tensor<24x8xf32>) -> tensor<2x24xf32>
    %i = tensor.empty() : tensor<2x8xf32>
    %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%b, %h : tensor<2x24xf32>, tensor<8x24xf32>) outs(%i : tensor<2x8xf32>) -> tensor<2x8xf32>
    return %a, %y : tensor<2x24xf32>, tensor<2x8xf32>
  }

  // Attention multiplies two computed values; a splat and a mutable global are no
  // weights either.
  // CHECK-NOT: state
  func.func @none(%q : tensor<2x8xf32>) -> tensor<2x24xf32> {
    %s = ml_program.global_load @state : tensor<24x8xf32>
    %c = arith.constant dense<1.0> : tensor<24x8xf32>
    %e = tensor.empty() : tensor<24x8xf32>
    %k = linalg.add ins(%s, %c : tensor<24x8xf32>, tensor<24x8xf32>) outs(%e : tensor<24x8xf32>) -> tensor<24x8xf32>
    %i = tensor.empty() : tensor<2x24xf32>
    %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%q, %k : tensor<2x8xf32>, tensor<24x8xf32>) outs(%i : tensor<2x24xf32>) -> tensor<2x24xf32>
    %z = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%q, %c : tensor<2x8xf32>, tensor<24x8xf32>) outs(%y : tensor<2x24xf32>) -> tensor<2x24xf32>
    return %z : tensor<2x24xf32>
  }

  // One constant, read as itself and as its transpose.
  // CHECK: weight 'square' [4, 4] f32 inline, products: 2, gathers: 0, left as it is: it is read as two different matrices
  func.func @twice(%x : tensor<2x4xf32>) -> tensor<2x4xf32> {
    %w = arith.constant dense<[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 5.0]]> : tensor<4x4xf32> loc("square")
    %i = tensor.empty() : tensor<2x4xf32>
    %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : tensor<2x4xf32>, tensor<4x4xf32>) outs(%i : tensor<2x4xf32>) -> tensor<2x4xf32>
    %z = linalg.matmul ins(%y, %w : tensor<2x4xf32>, tensor<4x4xf32>) outs(%i : tensor<2x4xf32>) -> tensor<2x4xf32>
    return %z : tensor<2x4xf32>
  }

  // CHECK: weight 'diagonal' [2, 2] f32 inline, products: 0, gathers: 1, left as it is: its elements are picked one by one, not in rows
  func.func @diagonal() -> tensor<2xf32> {
    %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32> loc("diagonal")
    %e = tensor.empty() : tensor<2xf32>
    %c1 = arith.constant 1 : index
    %y = linalg.generic {indexing_maps = [affine_map<(a) -> (a)>], iterator_types = ["parallel"]} outs(%e : tensor<2xf32>) {
    ^bb0(%out : f32):
      %i = linalg.index 0 : index
      %v = tensor.extract %w[%i, %c1] : tensor<2x2xf32>
      linalg.yield %v : f32
    } -> tensor<2xf32>
    return %y : tensor<2xf32>
  }
}
