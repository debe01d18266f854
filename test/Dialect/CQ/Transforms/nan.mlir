// A weight that is no number is refused by name.
// RUN: cq-opt %s --cq-quantize="override=.:b3-g32" --verify-diagnostics -o /dev/null

// expected-remark @+3 {{b3-g32-symmetric-f16}}
// expected-remark @+2 {{plan: 8 weights}}
// expected-error-re @+1 {{weight 'weight0': {{.*}}}}
module {
  func.func @main(%x : tensor<2x4xf32>, %i : tensor<2x2xf32>) -> tensor<2x2xf32> {
    %w = arith.constant dense<[[1.0, 2.0], [3.0, 0x7FC00000], [1.0, 2.0], [1.0, 2.0]]> : tensor<4x2xf32>
    %y = linalg.matmul ins(%x, %w : tensor<2x4xf32>, tensor<4x2xf32>) outs(%i : tensor<2x2xf32>) -> tensor<2x2xf32>
    return %y : tensor<2x2xf32>
  }
}
