// RUN: cq-opt %s --cq-differentiate='wrt=all' | FileCheck %s
// RUN: cq-opt %s --cq-merge-functions --cq-differentiate='wrt=all' | FileCheck %s --check-prefix=MERGED

// A call goes backwards as a call that computes the way forward again. What
// observes does so once: the derivative has no cq.observe. The base of the
// observations passes through, so that equal blocks have one derivative.

// CHECK-LABEL: func.func private @block_0(
// CHECK:         cq.observe
// CHECK-LABEL: func.func private @block_0_vjp(
// CHECK-SAME:    %[[x:.+]]: tensor<2x2xf32>, %[[w:.+]]: tensor<2x2xf32>, %{{.+}}: index, %[[d:.+]]: tensor<2x2xf32>)
// CHECK-SAME:    -> (tensor<2x2xf32>, tensor<2x2xf32>)
// CHECK-NOT:     cq.observe
// CHECK:         %[[y:.+]] = linalg.matmul
// CHECK:         linalg.generic {{.*}} ins(%[[y]], %[[d]] :
// CHECK-NOT:     cq.observe
// CHECK:         return
// CHECK-LABEL: func.func @loss_gradient(
// CHECK:         %[[x1:.+]] = call @block_0(
// CHECK:         %[[x2:.+]] = call @block_1(
// CHECK:         %[[back:.+]]:2 = call @block_1_vjp(%[[x1]], %{{.+}}, %{{.+}}, %{{.+}})
// CHECK:         call @block_0_vjp(%{{.+}}, %{{.+}}, %{{.+}}, %[[back]]#0)

// MERGED-COUNT-1: _vjp(%arg0
// MERGED-LABEL: func.func @loss_gradient(
// MERGED-COUNT-2: call @block_0_vjp(

module attributes {cq.observations = [{statistic = "input", weights = ["w0"]}, {statistic = "input", weights = ["w1"]}]} {
  ml_program.global private @w0(#ml_program.extern : tensor<2x2xf32>) : tensor<2x2xf32>
  ml_program.global private @w1(#ml_program.extern : tensor<2x2xf32>) : tensor<2x2xf32>
  func.func private @block_0(%x: tensor<2x2xf32>, %w: tensor<2x2xf32>, %base: index) -> tensor<2x2xf32> {
    %zero = arith.constant 0.0 : f32
    %empty = tensor.empty() : tensor<2x2xf32>
    cq.observe input [%base + 0] (%x) : tensor<2x2xf32>
    %fill = linalg.fill ins(%zero : f32) outs(%empty : tensor<2x2xf32>) -> tensor<2x2xf32>
    %y = linalg.matmul ins(%x, %w : tensor<2x2xf32>, tensor<2x2xf32>) outs(%fill : tensor<2x2xf32>) -> tensor<2x2xf32>
    %z = linalg.square ins(%y : tensor<2x2xf32>) outs(%empty : tensor<2x2xf32>) -> tensor<2x2xf32>
    return %z : tensor<2x2xf32>
  }
  func.func private @block_1(%x: tensor<2x2xf32>, %w: tensor<2x2xf32>, %base: index) -> tensor<2x2xf32> {
    %zero = arith.constant 0.0 : f32
    %empty = tensor.empty() : tensor<2x2xf32>
    cq.observe input [%base + 0] (%x) : tensor<2x2xf32>
    %fill = linalg.fill ins(%zero : f32) outs(%empty : tensor<2x2xf32>) -> tensor<2x2xf32>
    %y = linalg.matmul ins(%x, %w : tensor<2x2xf32>, tensor<2x2xf32>) outs(%fill : tensor<2x2xf32>) -> tensor<2x2xf32>
    %z = linalg.square ins(%y : tensor<2x2xf32>) outs(%empty : tensor<2x2xf32>) -> tensor<2x2xf32>
    return %z : tensor<2x2xf32>
  }
  func.func @loss(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
    %zero = arith.constant 0 : index
    %one = arith.constant 1 : index
    %w0 = ml_program.global_load @w0 : tensor<2x2xf32>
    %0 = call @block_0(%x, %w0, %zero) : (tensor<2x2xf32>, tensor<2x2xf32>, index) -> tensor<2x2xf32>
    %w1 = ml_program.global_load @w1 : tensor<2x2xf32>
    %1 = call @block_1(%0, %w1, %one) : (tensor<2x2xf32>, tensor<2x2xf32>, index) -> tensor<2x2xf32>
    return %1 : tensor<2x2xf32>
  }
}
