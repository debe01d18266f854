// RUN: cq-opt %s --cq-observe | FileCheck %s
// RUN: cq-opt %s --cq-observe="gram=true blocks=false" | FileCheck %s --check-prefix=GRAM
// RUN: cq-opt %s --cq-observe --cq-merge-functions | FileCheck %s --check-prefix=MERGED
// RUN: not cq-opt %s --cq-observe=function=absent 2>&1 | FileCheck %s --check-prefix=ABSENT
// RUN: not cq-opt %s --cq-observe --cq-observe 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: cq-opt %s --cq-observe-loss | FileCheck %s --check-prefix=ALONE

// ABSENT: error: has no function @absent to calibrate on; `cq import` writes @loss
// TWICE: error: is instrumented already (cq.observations)

// Numbers: the entry's own first (the head's input, then the blocks'), then those of its calls.
// CHECK: cq.observations = [
// CHECK-SAME: {statistic = "input", weights = ["head"]},
// CHECK-SAME: {block = 0 : i64, statistic = "block"},
// CHECK-SAME: {block = 1 : i64, statistic = "block"},
// CHECK-SAME: {block = 0 : i64, statistic = "input", weights = ["q0", "k0"]},
// CHECK-SAME: {block = 1 : i64, statistic = "input", weights = ["q1", "k1"]}]
// GRAM: cq.observations = [
// GRAM-SAME: {statistic = "input", weights = ["head"]},
// GRAM-SAME: {statistic = "gram", weights = ["head"]},
// GRAM-SAME: {block = 0 : i64, statistic = "input", weights = ["q0", "k0"]},
// GRAM-SAME: {block = 0 : i64, statistic = "gram", weights = ["q0", "k0"]},
// GRAM-SAME: {block = 1 : i64, statistic = "input", weights = ["q1", "k1"]},

// Equal blocks stay equal.
// MERGED: call @block_0_observed(%{{.*}}, %c3)
// MERGED: call @block_0_observed(%{{.*}}, %c4)
// ALONE-NOT: @forward
// ALONE: func.func private @block_0(
// ALONE: func.func @loss(
// ALONE-NOT: @forward

module {
  ml_program.global private @head(#ml_program.extern : tensor<16x8xf32>) : tensor<16x8xf32>
  ml_program.global private @q0(#ml_program.extern : tensor<8x8xf32>) : tensor<8x8xf32>
  ml_program.global private @k0(#ml_program.extern : tensor<4x8xf32>) : tensor<4x8xf32>
  ml_program.global private @q1(#ml_program.extern : tensor<8x8xf32>) : tensor<8x8xf32>
  ml_program.global private @k1(#ml_program.extern : tensor<4x8xf32>) : tensor<4x8xf32>

  // One observation for both products, in front of the first. The copy that @forward calls is left alone.
  // CHECK-LABEL: func.func private @block_0(
  // CHECK-NOT: cq.observe
  // CHECK-LABEL: func.func private @block_0_observed(
  // CHECK-SAME: %[[X:.*]]: tensor<6x8xf32>, {{.*}}, %[[BASE:[a-z0-9]+]]: index) -> tensor<6x8xf32>
  // CHECK: cq.observe input [%[[BASE]] + 0] (%[[X]]) : tensor<6x8xf32>
  // CHECK-COUNT-2: linalg.matmul
  // CHECK-NOT: cq.observe
  // CHECK-LABEL: func.func private @block_1(
  // GRAM-LABEL: func.func private @block_0_observed(
  // GRAM: linalg.generic
  // GRAM: cq.observe gram [%{{.*}} + 1] (%{{.*}}) : tensor<8x8xf32>
  func.func private @block_0(%x: tensor<6x8xf32>, %q: tensor<8x8xf32>, %k: tensor<4x8xf32>) -> tensor<6x8xf32> {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<6x8xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x8xf32>) -> tensor<6x8xf32>
    %y = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %q : tensor<6x8xf32>, tensor<8x8xf32>) outs(%f : tensor<6x8xf32>) -> tensor<6x8xf32>
    %e4 = tensor.empty() : tensor<6x4xf32>
    %f4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<6x4xf32>) -> tensor<6x4xf32>
    %z = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %k : tensor<6x8xf32>, tensor<4x8xf32>) outs(%f4 : tensor<6x4xf32>) -> tensor<6x4xf32>
    %r = tensor.insert_slice %z into %y[0, 0] [6, 4] [1, 1] : tensor<6x4xf32> into tensor<6x8xf32>
    return %r : tensor<6x8xf32>
  }
  func.func private @block_1(%x: tensor<6x8xf32>, %q: tensor<8x8xf32>, %k: tensor<4x8xf32>) -> tensor<6x8xf32> {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<6x8xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x8xf32>) -> tensor<6x8xf32>
    %y = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %q : tensor<6x8xf32>, tensor<8x8xf32>) outs(%f : tensor<6x8xf32>) -> tensor<6x8xf32>
    %e4 = tensor.empty() : tensor<6x4xf32>
    %f4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<6x4xf32>) -> tensor<6x4xf32>
    %z = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %k : tensor<6x8xf32>, tensor<4x8xf32>) outs(%f4 : tensor<6x4xf32>) -> tensor<6x4xf32>
    %r = tensor.insert_slice %z into %y[0, 0] [6, 4] [1, 1] : tensor<6x4xf32> into tensor<6x8xf32>
    return %r : tensor<6x8xf32>
  }

  func.func @forward(%x: tensor<6x8xf32>) -> tensor<6x8xf32> {
    %q0 = ml_program.global_load @q0 : tensor<8x8xf32>
    %k0 = ml_program.global_load @k0 : tensor<4x8xf32>
    %y = call @block_0(%x, %q0, %k0) : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<4x8xf32>) -> tensor<6x8xf32>
    return %y : tensor<6x8xf32>
  }

  // CHECK-LABEL: func.func @loss(
  // CHECK-SAME: %[[X:.*]]: tensor<6x8xf32>)
  // CHECK: %[[Y:.*]] = call @block_0_observed(%[[X]], {{.*}}, %c3)
  // CHECK-NEXT: cq.observe block [1] (%[[X]], %[[Y]])
  // CHECK: %[[Z:.*]] = call @block_1(%[[Y]], {{.*}}, %c4)
  // CHECK-NEXT: cq.observe block [2] (%[[Y]], %[[Z]])
  // The head reads rows of K last: moved there first.
  // CHECK: %[[T:.*]] = linalg.transpose
  // CHECK: %[[ROWS:.*]] = linalg.transpose ins(%[[T]]
  // CHECK: cq.observe input [0] (%[[ROWS]]) : tensor<6x8xf32>
  func.func @loss(%x: tensor<6x8xf32>) -> tensor<6x16xf32> {
    %q0 = ml_program.global_load @q0 : tensor<8x8xf32>
    %k0 = ml_program.global_load @k0 : tensor<4x8xf32>
    %y = call @block_0(%x, %q0, %k0) {cq.block = 0 : i64} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<4x8xf32>) -> tensor<6x8xf32>
    %q1 = ml_program.global_load @q1 : tensor<8x8xf32>
    %k1 = ml_program.global_load @k1 : tensor<4x8xf32>
    %z = call @block_1(%y, %q1, %k1) {cq.block = 1 : i64} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<4x8xf32>) -> tensor<6x8xf32>
    %head = ml_program.global_load @head : tensor<16x8xf32>
    %zero = arith.constant 0.0 : f32
    %et = tensor.empty() : tensor<8x6xf32>
    %t = linalg.transpose ins(%z : tensor<6x8xf32>) outs(%et : tensor<8x6xf32>) permutation = [1, 0]
    %e = tensor.empty() : tensor<6x16xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x16xf32>) -> tensor<6x16xf32>
    %logits = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (k, m)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%t, %head : tensor<8x6xf32>, tensor<16x8xf32>) outs(%f : tensor<6x16xf32>) -> tensor<6x16xf32>
    return %logits : tensor<6x16xf32>
  }
}
