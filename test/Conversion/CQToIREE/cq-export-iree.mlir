// RUN: cq-opt %s --split-input-file --cq-export-iree | FileCheck %s
// RUN: cq-opt %s --split-input-file --cq-export-iree=codes=bytes | FileCheck %s --check-prefix=BYTES

// 3 bits: eight codes in three bytes; the group is a dimension; three reductions.
// CHECK-DAG: #[[UNIT:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
// CHECK-DAG: #[[GROUP:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1)>
// CHECK-LABEL: func.func @three_bits(
// CHECK-DAG: %[[B0:.*]] = arith.constant dense_resource<"w:codes.0"> : tensor<16x2x4xi8>
// CHECK-DAG: %[[B1:.*]] = arith.constant dense_resource<"w:codes.1"> : tensor<16x2x4xi8>
// CHECK-DAG: %[[B2:.*]] = arith.constant dense_resource<"w:codes.2"> : tensor<16x2x4xi8>
// CHECK-DAG: %[[S:.*]] = arith.constant dense_resource<"w:scales_1"> : tensor<16x2xf16>
// CHECK: %[[W:.*]] = linalg.generic {indexing_maps = [#[[UNIT]], #[[UNIT]], #[[UNIT]], #[[GROUP]], {{.*}} ins(%[[B0]], %[[B1]], %[[B2]], %[[S]] :
// CHECK: tensor.expand_shape {{.*}} : tensor<2x64xf32> into tensor<2x2x4x8xf32>
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "reduction", "reduction", "reduction"]} ins(%{{.*}}, %[[W]] :
// CHECK-NOT: cq.
// BYTES-LABEL: func.func @three_bits(
// BYTES: dense_resource<"w:codes{{.*}}"> : tensor<16x2x32xi8>
// BYTES: iterator_types = ["parallel", "parallel", "reduction", "reduction"]
func.func @three_bits(%x : tensor<2x64xf32>) -> tensor<2x16xf32> {
  %codes = arith.constant dense_resource<"w:codes"> : tensor<384xi8>
  %scales = arith.constant dense_resource<"w:scales"> : tensor<32xf16>
  %init = tensor.empty() : tensor<2x16xf32>
  %y = cq.matmul x(%x : tensor<2x64xf32>) codes(%codes : tensor<384xi8>) scales(%scales : tensor<32xf16>)
    outs(%init : tensor<2x16xf32>)
    {scheme = #cq.scheme<bits = 3, group = 32, grid = symmetric, scale = f16>,
     layout = #cq.layout<panel16, [16 : 3]>, mode = #cq.activation<f32>} -> tensor<2x16xf32>
  return %y : tensor<2x16xf32>
}

{-# dialect_resources: { builtin: {
"w:codes": "0x40000000393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939393939",
"w:scales": "0x4000000000380038003800380038003800380038003800380038003800380038003800380038003800380038003800380038003800380038003800380038003800380038"
} } #-}

// -----

// A private function's planes come from its caller; 4 bits are i4 whose value
// (all codes 9) is in order; zero points are a plane; the last group is ragged.
// CHECK-LABEL: func.func @four_bits(
// CHECK-DAG: arith.constant dense<{{.*}}-7, 0, {{.*}}> : tensor<1x2x32xi4>
// CHECK-DAG: dense_resource<"{{.*}}:zeros"> : tensor<1x2xi8>
// CHECK: tensor.pad
// CHECK-NOT: func.func private
func.func private @layer(%x : tensor<?x40xf32>, %codes : tensor<20xi8>, %init : tensor<?x1xf32>) -> tensor<?x1xf32> {
  %scales = arith.constant dense<0.5> : tensor<2xf16>
  %zeros = arith.constant dense<8> : tensor<2xi8>
  %y = cq.matmul x(%x : tensor<?x40xf32>) codes(%codes : tensor<20xi8>) scales(%scales : tensor<2xf16>) zeros(%zeros : tensor<2xi8>)
    outs(%init : tensor<?x1xf32>)
    {scheme = #cq.scheme<bits = 4, group = 32, grid = affine, scale = f16>,
     layout = #cq.layout<linear, [1 : 4]>, mode = #cq.activation<f32>} -> tensor<?x1xf32>
  return %y : tensor<?x1xf32>
}
func.func @four_bits(%x : tensor<?x40xf32>, %init : tensor<?x1xf32>) -> tensor<?x1xf32> {
  %codes = arith.constant dense<0x99> : tensor<20xi8>
  %y = call @layer(%x, %codes, %init) : (tensor<?x40xf32>, tensor<20xi8>, tensor<?x1xf32>) -> tensor<?x1xf32>
  return %y : tensor<?x1xf32>
}
