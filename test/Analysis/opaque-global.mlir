// Globals of dialects that are not loaded (IREE's util) are named and left alone.
// RUN: cq-opt %s --allow-unregistered-dialect --cq-print-weights -o /dev/null | FileCheck %s
// RUN: cq-opt %s --allow-unregistered-dialect --cq-quantize=bits=3 2>&1 | FileCheck %s --check-prefix=LEFT

// CHECK: weight 'fc' [64, 32] f32 opaque transposed, products: 1, gathers: 0, left as it is: it is a global of a dialect that is not loaded
// LEFT: remark: weight 'fc' is left as it is: it is a global of a dialect that is not loaded
// LEFT: remark: 'linalg.matmul' stays as it is
// LEFT: "util.global.load"
// LEFT: linalg.matmul
func.func @main(%x : tensor<2x32xf32>, %i : tensor<2x64xf32>) -> tensor<2x64xf32> {
  %w = "util.global.load"() {global = @fc} : () -> tensor<32x64xf32>
  %y = linalg.matmul ins(%x, %w : tensor<2x32xf32>, tensor<32x64xf32>) outs(%i : tensor<2x64xf32>) -> tensor<2x64xf32>
  return %y : tensor<2x64xf32>
}
