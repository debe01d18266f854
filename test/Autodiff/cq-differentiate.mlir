// RUN: cq-opt %s --cq-differentiate | FileCheck %s
// RUN: cq-opt %s --cq-differentiate='gradients=observe' | FileCheck %s --check-prefix=OBSERVE
// RUN: cq-opt %s --cq-differentiate='gradients=observe fisher=token' | FileCheck %s --check-prefix=TOKEN
// RUN: cq-opt %s --cq-differentiate='wrt=all' | FileCheck %s --check-prefix=ALL

// A linear layer and what each mode makes of it: only x and the cotangent reach
// the gradient of w, and the product is one that has a kernel.

ml_program.global private @w(#ml_program.extern : tensor<5x3xf32>) : tensor<5x3xf32>

func.func @loss(%x: tensor<4x3xf32>) -> tensor<4x5xf32> {
  %w = ml_program.global_load @w : tensor<5x3xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x5xf32>
  %filled = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x5xf32>) -> tensor<4x5xf32>
  %y = linalg.matmul
      indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
                       affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %w : tensor<4x3xf32>, tensor<5x3xf32>)
      outs(%filled : tensor<4x5xf32>) -> tensor<4x5xf32>
  return %y : tensor<4x5xf32>
}

// CHECK-DAG: #[[X:.+]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[W:.+]] = affine_map<(d0, d1, d2) -> (d1, d2)>
// CHECK-DAG: #[[Y:.+]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-LABEL: func.func @loss(
// CHECK-LABEL: func.func @loss_gradient(
// CHECK-SAME:    %[[x:.+]]: tensor<4x3xf32>, %[[d:.+]]: tensor<4x5xf32>)
// CHECK-SAME:    -> (tensor<4x5xf32>, tensor<5x3xf32>)
// CHECK-SAME:    attributes {cq.gradients = ["w"]}
// CHECK:         %[[y:.+]] = linalg.matmul
// CHECK:         %[[zeros:.+]] = linalg.fill {{.*}} -> tensor<5x3xf32>
// CHECK:         %[[dw:.+]] = linalg.generic
// CHECK-SAME:      indexing_maps = [#[[X]], #[[Y]], #[[W]]]
// CHECK-SAME:      iterator_types = ["reduction", "parallel", "parallel"]
// CHECK-SAME:      ins(%[[x]], %[[d]] :
// CHECK-SAME:      outs(%[[zeros]] :
// CHECK:           %[[product:.+]] = arith.mulf
// CHECK:           %[[sum:.+]] = arith.addf %{{.*}}, %[[product]]
// CHECK:           linalg.yield %[[sum]]
// CHECK:         return %[[y]], %[[dw]]

// OBSERVE:       cq.observations = [{statistic = "gradient", weights = ["w"]}]
// OBSERVE-LABEL: func.func @loss_gradient(
// OBSERVE-SAME:    %{{.+}}: tensor<4x3xf32>) -> tensor<4x5xf32>
// OBSERVE:         %[[one:.+]] = arith.constant 1.0
// OBSERVE:         linalg.fill ins(%[[one]]
// OBSERVE:         cq.observe gradient {{ ?}}[0] (%{{.+}}) : tensor<5x3xf32>

// TOKEN-LABEL: func.func @loss_gradient(
// TOKEN:         %[[d2:.+]] = linalg.generic {{.*}} outs(%{{.+}} : tensor<4x5xf32>)
// TOKEN:           arith.mulf %[[d:.+]], %[[d]]
// TOKEN:         %[[x2:.+]] = linalg.generic {{.*}} outs(%{{.+}} : tensor<4x3xf32>)
// TOKEN:           arith.mulf %[[x:.+]], %[[x]]
// TOKEN:         linalg.generic {{.*}} ins(%[[d2]], %[[x2]] :
// TOKEN:         cq.observe fisher

// ALL-LABEL: func.func @loss_gradient(
// ALL-SAME:    -> (tensor<4x5xf32>, tensor<5x3xf32>, tensor<4x3xf32>)
// ALL-SAME:    attributes {cq.gradients = ["w", "loss#0"]}
