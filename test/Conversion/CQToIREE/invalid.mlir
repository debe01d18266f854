// RUN: cq-opt %s --split-input-file --verify-diagnostics --cq-export-iree

func.func @argument(%x : tensor<2x32xf32>, %codes : tensor<16xi8>, %init : tensor<2x1xf32>) -> tensor<2x1xf32> {
  %scales = arith.constant dense<0.5> : tensor<1xf16>
  // expected-error @+1 {{reads a plane that is neither a constant nor an immutable global}}
  %y = cq.matmul x(%x : tensor<2x32xf32>) codes(%codes : tensor<16xi8>) scales(%scales : tensor<1xf16>)
    outs(%init : tensor<2x1xf32>)
    {scheme = #cq.scheme<bits = 4, group = 32, grid = symmetric, scale = f16>,
     layout = #cq.layout<linear, [1 : 4]>, mode = #cq.activation<f32>} -> tensor<2x1xf32>
  return %y : tensor<2x1xf32>
}

// -----

// expected-error @+1 {{the module has weights by reference; give parameters-out=}}
module {
  ml_program.global private @w(#ml_program.extern : tensor<2xf32>) : tensor<2xf32>
}
