// What cq-fold-weights makes, and what it leaves alone. Numbers are compared in
// test/Integration/CPU/moved-weights.mlir.
// RUN: cq-opt %s --cq-fold-weights --mlir-print-elementsattrs-with-hex-if-larger=-1 | FileCheck %s

ml_program.global private @fused(dense<[[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]> : tensor<2x4xf32>) : tensor<2x4xf32>
ml_program.global private mutable @cache(dense<[[0.0, 1.0], [2.0, 3.0]]> : tensor<2x2xf32>) : tensor<2x2xf32>
ml_program.global private @outside(#ml_program.extern : tensor<4x2xf32>) : tensor<4x2xf32>

// Columns 1 and 3 of a global: a step of two.
// CHECK-LABEL: func.func @steps(
// CHECK: %[[W:.*]] = arith.constant dense_resource<fused.at1> : tensor<2x2xf32>
// CHECK-NOT: extract_slice
// CHECK: linalg.matmul ins(%{{.*}}, %[[W]] :
func.func @steps(%x : tensor<3x2xf32>, %i : tensor<3x2xf32>) -> tensor<3x2xf32> {
  %w = ml_program.global_load_const @fused : tensor<2x4xf32>
  %s = tensor.extract_slice %w[0, 1] [2, 2] [1, 2] : tensor<2x4xf32> to tensor<2x2xf32>
  %y = linalg.matmul ins(%x, %s : tensor<3x2xf32>, tensor<2x2xf32>) outs(%i : tensor<3x2xf32>) -> tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}

// A weight that is a matrix where it is keeps its name; its transpose too.
// CHECK-LABEL: func.func @plain(
// CHECK: arith.constant dense_resource<direct> : tensor<2x2xf32>
// CHECK: linalg.transpose
func.func @plain(%x : tensor<3x2xf32>, %i : tensor<3x2xf32>) -> tensor<3x2xf32> {
  %w = arith.constant dense_resource<direct> : tensor<2x2xf32>
  %e = tensor.empty() : tensor<2x2xf32>
  %t = linalg.transpose ins(%w : tensor<2x2xf32>) outs(%e : tensor<2x2xf32>) permutation = [1, 0]
  %y = linalg.matmul ins(%x, %t : tensor<3x2xf32>, tensor<2x2xf32>) outs(%i : tensor<3x2xf32>) -> tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}

// State, a tensor by reference, a slice at an index: as they are.
// CHECK-LABEL: func.func @left(
// CHECK-COUNT-3: tensor.extract_slice
func.func @left(%x : tensor<3x2xf32>, %i : tensor<3x2xf32>, %at : index) -> tensor<3x2xf32> {
  %c = ml_program.global_load @cache : tensor<2x2xf32>
  %o = ml_program.global_load_const @outside : tensor<4x2xf32>
  %w = arith.constant dense_resource<stack> : tensor<2x2x2xf32>
  %cs = tensor.extract_slice %c[0, 0] [2, 2] [1, 1] : tensor<2x2xf32> to tensor<2x2xf32>
  %os = tensor.extract_slice %o[2, 0] [2, 2] [1, 1] : tensor<4x2xf32> to tensor<2x2xf32>
  %ws = tensor.extract_slice %w[%at, 0, 0] [1, 2, 2] [1, 1, 1] : tensor<2x2x2xf32> to tensor<2x2xf32>
  %a = linalg.matmul ins(%x, %cs : tensor<3x2xf32>, tensor<2x2xf32>) outs(%i : tensor<3x2xf32>) -> tensor<3x2xf32>
  %b = linalg.matmul ins(%a, %os : tensor<3x2xf32>, tensor<2x2xf32>) outs(%i : tensor<3x2xf32>) -> tensor<3x2xf32>
  %y = linalg.matmul ins(%b, %ws : tensor<3x2xf32>, tensor<2x2xf32>) outs(%i : tensor<3x2xf32>) -> tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}

// The second matrix of a stack; its resource is too short for its type, and is left for a reader that says so.
// CHECK-LABEL: func.func @short(
// CHECK: tensor.extract_slice
func.func @short(%x : tensor<3x2xf32>, %i : tensor<3x2xf32>) -> tensor<3x2xf32> {
  %w = arith.constant dense_resource<cut> : tensor<2x2x2xf32>
  %s = tensor.extract_slice %w[1, 0, 0] [1, 2, 2] [1, 1, 1] : tensor<2x2x2xf32> to tensor<2x2xf32>
  %y = linalg.matmul ins(%x, %s : tensor<3x2xf32>, tensor<2x2xf32>) outs(%i : tensor<3x2xf32>) -> tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}

// 1 3 5 7 of the global above, and the matrix that stays.
// CHECK-DAG: fused.at1: "0x{{[0-9]+}}0000803F000040400000A0400000E040"
// CHECK-DAG: direct: "0x04000000

{-#
  dialect_resources: {
    builtin: {
      direct: "0x04000000000000000000803F0000004000004040",
      stack: "0x04000000000000000000803F0000004000004040000080400000A0400000C0400000E040",
      cut: "0x04000000000000000000803F"
    }
  }
#-}
