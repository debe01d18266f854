// What has no linalg form is an error, and nothing is half lowered.
// RUN: cq-opt %s --convert-cq-to-linalg --split-input-file --verify-diagnostics

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
func.func @search(%w : tensor<16x64xf32>) -> tensor<16x64xi8> {
  // expected-error @+1 {{'cq.quantize' op with a scale search has no linalg form; cq-materialize-parameters evaluates it}}
  %codes, %scales = cq.quantize %w {scheme = #s, quantizer = #cq.quantizer<mse>}
      : tensor<16x64xf32> -> tensor<16x64xi8>, tensor<16x1xf16>
  return %codes : tensor<16x64xi8>
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
func.func @select(%w : tensor<16x64xf32>) -> tensor<16xi16> {
  // expected-error @+1 {{'cq.extract_cherries' op has no linalg form}}
  %columns = cq.extract_cherries %w {scheme = #s, cherries = #cq.cherries<element, 1>,
      criterion = #cq.criterion<magnitude>} : tensor<16x64xf32> -> tensor<16xi16>
  return %columns : tensor<16xi16>
}

// -----

#s = #cq.scheme<bits = 4, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<linear, [1 : 4]>
func.func @buffers(%x : memref<1x64xf32>, %pc : memref<32xi8>, %ps : memref<1xf16>, %y : memref<1x1xf32>) {
  // expected-error @+1 {{'cq.matmul' op works on memrefs; run convert-cq-to-linalg before bufferization}}
  cq.matmul x(%x : memref<1x64xf32>) codes(%pc : memref<32xi8>) scales(%ps : memref<1xf16>)
      outs(%y : memref<1x1xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>}
  return
}

// -----

func.func private @kernel(index, index)
func.func @launch(%n : index) {
  // expected-error @+1 {{'cq.launch' op starts a kernel and has no linalg form}}
  cq.launch @kernel() tasks(%n)
  return
}
