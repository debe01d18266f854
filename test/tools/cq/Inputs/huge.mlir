// A product with a weight of 8 TB, held by reference.
ml_program.global private @w(#ml_program.extern : tensor<4194304x1048576xf16>) : tensor<4194304x1048576xf16>
func.func @f(%x: tensor<1x1048576xf16>) -> tensor<1x4194304xf32> {
  %w = ml_program.global_load @w : tensor<4194304x1048576xf16>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<1x4194304xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<1x4194304xf32>) -> tensor<1x4194304xf32>
  %y = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
    ins(%x, %w : tensor<1x1048576xf16>, tensor<4194304x1048576xf16>) outs(%init : tensor<1x4194304xf32>) -> tensor<1x4194304xf32>
  return %y : tensor<1x4194304xf32>
}
