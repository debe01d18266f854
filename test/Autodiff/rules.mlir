// RUN: cq-opt %s --split-input-file --cq-differentiate='wrt=all' | FileCheck %s

// What the rules emit, where more than right numbers are wanted of it.

// An addition passes the cotangent on, without a copy.
// CHECK-LABEL: func.func @loss_gradient(
// CHECK-SAME:    %{{.+}}: tensor<4xf32>, %{{.+}}: tensor<4xf32>, %[[d:.+]]: tensor<4xf32>)
// CHECK:         %[[sum:.+]] = linalg.add
// CHECK-NEXT:    return %[[sum]], %[[d]], %[[d]]
func.func @loss(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  %sum = linalg.add ins(%x, %y : tensor<4xf32>, tensor<4xf32>) outs(%x : tensor<4xf32>) -> tensor<4xf32>
  return %sum : tensor<4xf32>
}

// -----

// Three products of one value add to one cotangent, each in place of the one
// before: no sum of its own.
// CHECK-LABEL: func.func @loss_gradient(
// CHECK-COUNT-2: linalg.matmul
// CHECK:         %[[zeros:.+]] = linalg.fill {{.*}} outs(%{{.+}} : tensor<4x3xf32>)
// CHECK:         %[[first:.+]] = linalg.generic {{.*}} outs(%[[zeros]] : tensor<4x3xf32>)
// CHECK:         %[[both:.+]] = linalg.generic {{.*}} outs(%[[first]] : tensor<4x3xf32>)
// CHECK-NOT:     linalg.add
// CHECK:         return %{{.+}}, %{{.+}}, %[[both]]
func.func @loss(%x: tensor<4x3xf32>, %init: tensor<4x2xi32>) -> (tensor<4x2xf32>, tensor<4x2xf32>) {
  %a = arith.constant dense<1.0> : tensor<3x2xf32>
  %b = arith.constant dense<2.0> : tensor<3x2xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x2xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x2xf32>) -> tensor<4x2xf32>
  %0 = linalg.matmul ins(%x, %a : tensor<4x3xf32>, tensor<3x2xf32>) outs(%fill : tensor<4x2xf32>) -> tensor<4x2xf32>
  %1 = linalg.matmul ins(%x, %b : tensor<4x3xf32>, tensor<3x2xf32>) outs(%fill : tensor<4x2xf32>) -> tensor<4x2xf32>
  return %0, %1 : tensor<4x2xf32>, tensor<4x2xf32>
}

// -----

// A gather scatters: one element at each point, added to what is there.
// CHECK-LABEL: func.func @loss_gradient(
// CHECK:         %[[zeros:.+]] = linalg.fill {{.*}} -> tensor<9x3xf32>
// CHECK:         scf.for {{.*}} iter_args(%[[outer:.+]] = %[[zeros]])
// CHECK:           scf.for {{.*}} iter_args(%[[sum:.+]] = %[[outer]])
// CHECK:             %[[row:.+]] = arith.index_cast
// CHECK:             %[[before:.+]] = tensor.extract %[[sum]][%[[row]], %[[column:.+]]]
// CHECK:             %[[after:.+]] = arith.addf %[[before]]
// CHECK:             tensor.insert %[[after]] into %[[sum]][%[[row]], %[[column]]]
func.func @loss(%ids: tensor<4xi32>, %table: tensor<9x3xf32>) -> tensor<4x3xf32> {
  %empty = tensor.empty() : tensor<4x3xf32>
  %rows = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<4xi32>) outs(%empty : tensor<4x3xf32>) {
  ^bb0(%id: i32, %out: f32):
    %row = arith.index_cast %id : i32 to index
    %column = linalg.index 1 : index
    %value = tensor.extract %table[%row, %column] : tensor<9x3xf32>
    linalg.yield %value : f32
  } -> tensor<4x3xf32>
  return %rows : tensor<4x3xf32>
}

// -----

// A maximum gives its cotangent in equal parts to the elements that reach it.
// CHECK-LABEL: func.func @loss_gradient(
// CHECK:         %[[max:.+]] = linalg.reduce
// CHECK:         %[[count:.+]] = linalg.generic {{.*}} ins(%{{.+}}, %[[max]] : tensor<4x3xf32>, tensor<4xf32>)
// CHECK:           arith.cmpf oeq
// CHECK:         linalg.generic {{.*}} ins(%{{.+}}, %{{.+}}, %[[max]], %[[count]] :
// CHECK:           arith.cmpf oeq
// CHECK:           arith.divf
// CHECK:           arith.select
func.func @loss(%x: tensor<4x3xf32>) -> tensor<4xf32> {
  %lowest = arith.constant 0xFF800000 : f32
  %empty = tensor.empty() : tensor<4xf32>
  %init = linalg.fill ins(%lowest : f32) outs(%empty : tensor<4xf32>) -> tensor<4xf32>
  %max = linalg.reduce { arith.maximumf } ins(%x : tensor<4x3xf32>) outs(%init : tensor<4xf32>) dimensions = [1]
  return %max : tensor<4xf32>
}

// -----

// Constants, indices and masks have no adjoint: only x does. Casts of bf16 and
// f32 turn around.
// CHECK-LABEL: func.func @loss_gradient(
// CHECK-SAME:    -> (tensor<4xf32>, tensor<4xbf16>)
// CHECK:         linalg.generic
// CHECK:         linalg.generic {{.*}} outs(%{{.+}} : tensor<4xbf16>)
// CHECK:           %[[half:.+]] = arith.truncf
// CHECK-NEXT:      linalg.yield %[[half]] : bf16
// CHECK-NOT:     linalg.generic
// CHECK:         return
func.func @loss(%x: tensor<4xbf16>, %mask: tensor<4xi1>) -> tensor<4xf32> {
  %scale = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4xf32>
  %y = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
      iterator_types = ["parallel"]}
      ins(%x, %scale, %mask : tensor<4xbf16>, tensor<4xf32>, tensor<4xi1>) outs(%empty : tensor<4xf32>) {
  ^bb0(%a: bf16, %s: f32, %m: i1, %out: f32):
    %wide = arith.extf %a : bf16 to f32
    %scaled = arith.mulf %wide, %s : f32
    %kept = arith.select %m, %scaled, %zero : f32
    linalg.yield %kept : f32
  } -> tensor<4xf32>
  return %y : tensor<4xf32>
}
