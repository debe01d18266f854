// RUN: cq-opt %s --cq-differentiate | FileCheck %s --check-prefix=WEIGHTS
// RUN: cq-opt %s --cq-differentiate='wrt=all' | FileCheck %s --check-prefix=ALL
// RUN: cq-opt %s --cq-differentiate='only=^embedding$' | FileCheck %s --check-prefix=ONLY
// RUN: cq-opt %s --cq-differentiate='wrt=all only=scale,loss#1' | FileCheck %s --check-prefix=NAMED

// A tied embedding feeds a gather and a product: both of its loads add to one
// gradient. An embedding that no product reads is no weight.

// WEIGHTS: attributes {cq.gradients = ["embedding", "w"]}
// ALL:     attributes {cq.gradients = ["embedding", "scale", "w", "loss#1"]}
// NAMED:   attributes {cq.gradients = ["scale", "loss#1"]}

// ONLY-LABEL: func.func @loss_gradient(
// ONLY-SAME:    attributes {cq.gradients = ["embedding"]}
// ONLY:         %[[head:.+]] = linalg.generic {{.*}} outs(%{{.+}} : tensor<6x4xf32>)
// ONLY:         scf.for {{.*}} iter_args(%{{.+}} = %[[head]])

#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
ml_program.global private @embedding(#ml_program.extern : tensor<6x4xf32>) : tensor<6x4xf32>
ml_program.global private @scale(#ml_program.extern : tensor<4xf32>) : tensor<4xf32>
ml_program.global private @w(#ml_program.extern : tensor<4x4xf32>) : tensor<4x4xf32>
func.func @loss(%ids: tensor<3xi32>, %bias: tensor<3x4xf32>) -> tensor<3x6xf32> {
  %table = ml_program.global_load @embedding : tensor<6x4xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4xf32>
  %rows = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<3xi32>) outs(%e : tensor<3x4xf32>) {
  ^bb0(%id: i32, %out: f32):
    %row = arith.index_cast %id : i32 to index
    %column = linalg.index 1 : index
    %value = tensor.extract %table[%row, %column] : tensor<6x4xf32>
    linalg.yield %value : f32
  } -> tensor<3x4xf32>
  %scale = ml_program.global_load @scale : tensor<4xf32>
  %normed = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%rows, %scale, %bias : tensor<3x4xf32>, tensor<4xf32>, tensor<3x4xf32>) outs(%e : tensor<3x4xf32>) {
  ^bb0(%a: f32, %s: f32, %b: f32, %out: f32):
    %p = arith.mulf %a, %s : f32
    %q = arith.addf %p, %b : f32
    linalg.yield %q : f32
  } -> tensor<3x4xf32>
  %w = ml_program.global_load @w : tensor<4x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x4xf32>) -> tensor<3x4xf32>
  %h = linalg.matmul indexing_maps = [#x, #w, #y] ins(%normed, %w : tensor<3x4xf32>, tensor<4x4xf32>) outs(%f : tensor<3x4xf32>) -> tensor<3x4xf32>
  %head = ml_program.global_load @embedding : tensor<6x4xf32>
  %e2 = tensor.empty() : tensor<3x6xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<3x6xf32>) -> tensor<3x6xf32>
  %logits = linalg.matmul indexing_maps = [#x, #w, #y] ins(%h, %head : tensor<3x4xf32>, tensor<6x4xf32>) outs(%f2 : tensor<3x6xf32>) -> tensor<3x6xf32>
  return %logits : tensor<3x6xf32>
}
