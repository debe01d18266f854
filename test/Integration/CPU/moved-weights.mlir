// Weights whose numbers have to move before they are a matrix (cq-fold-weights), and
// convolutions with the channels last. Rows hold ±127, so 8 bits lose nothing: the
// numbers printed before and after quantization must be the same.
// REQUIRES: mlir-runner
// DEFINE: %{lower} = --one-shot-bufferize="bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map" --convert-linalg-to-loops --expand-strided-metadata --lower-affine --convert-scf-to-cf --convert-cf-to-llvm --convert-math-to-llvm --convert-arith-to-llvm --finalize-memref-to-llvm --convert-func-to-llvm --reconcile-unrealized-casts
// DEFINE: %{execute} = mlir-runner -e main -entry-point-result=void -shared-libs=%llvm_lib_dir/libmlir_runner_utils.so,%llvm_lib_dir/libmlir_c_runner_utils.so
// RUN: cq-opt %s %{lower} | %{execute} | grep -v base@ > %t.before
// RUN: cq-opt %s --cq-quantize="override=.:b8-g32 quantizer=rtn" -o %t.q.mlir 2> %t.remarks
// RUN: FileCheck %s < %t.q.mlir
// RUN: FileCheck %s --check-prefix=REMARKS < %t.remarks
// RUN: cq-opt %t.q.mlir --convert-cq-to-linalg %{lower} | %{execute} | grep -v base@ > %t.after
// RUN: diff %t.before %t.after

// One constant for each slice, named after it; equal slices share theirs.
// REMARKS-DAG: weight 'qkv.at0' [4, 4]
// REMARKS-DAG: weight 'qkv.at4' [2, 4]
// REMARKS-DAG: weight 'experts_1' [6, 4]
// REMARKS-DAG: weight 'points' [3, 4]
// REMARKS-DAG: weight 'line' [3, 4]
// REMARKS: plan: 72 weights

#map2 = affine_map<(a, b) -> (a, b)>

func.func private @printMemrefF32(tensor<*xf32>) attributes {llvm.emit_c_interface}

// q and k in one weight: slices of its rows, transposed.
// CHECK-LABEL: func.func @slices(
// CHECK-COUNT-3: cq.matmul
// CHECK-NOT: linalg.matmul
func.func @slices(%x : tensor<2x4xf32>) -> tensor<2x10xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense_resource<qkv> : tensor<6x4xf32>
  %q = tensor.extract_slice %w[0, 0] [4, 4] [1, 1] : tensor<6x4xf32> to tensor<4x4xf32>
  %k = tensor.extract_slice %w[4, 0] [2, 4] [1, 1] : tensor<6x4xf32> to tensor<2x4xf32>
  %again = tensor.extract_slice %w[0, 0] [4, 4] [1, 1] : tensor<6x4xf32> to tensor<4x4xf32>
  %e44 = tensor.empty() : tensor<4x4xf32>
  %e42 = tensor.empty() : tensor<4x2xf32>
  %qt = linalg.transpose ins(%q : tensor<4x4xf32>) outs(%e44 : tensor<4x4xf32>) permutation = [1, 0]
  %kt = linalg.transpose ins(%k : tensor<2x4xf32>) outs(%e42 : tensor<4x2xf32>) permutation = [1, 0]
  %at = linalg.transpose ins(%again : tensor<4x4xf32>) outs(%e44 : tensor<4x4xf32>) permutation = [1, 0]
  %o4 = tensor.empty() : tensor<2x4xf32>
  %o2 = tensor.empty() : tensor<2x2xf32>
  %i4 = linalg.fill ins(%zero : f32) outs(%o4 : tensor<2x4xf32>) -> tensor<2x4xf32>
  %i2 = linalg.fill ins(%zero : f32) outs(%o2 : tensor<2x2xf32>) -> tensor<2x2xf32>
  %a = linalg.matmul ins(%x, %qt : tensor<2x4xf32>, tensor<4x4xf32>) outs(%i4 : tensor<2x4xf32>) -> tensor<2x4xf32>
  %b = linalg.matmul ins(%x, %kt : tensor<2x4xf32>, tensor<4x2xf32>) outs(%i2 : tensor<2x2xf32>) -> tensor<2x2xf32>
  %c = linalg.matmul ins(%a, %at : tensor<2x4xf32>, tensor<4x4xf32>) outs(%i4 : tensor<2x4xf32>) -> tensor<2x4xf32>
  %y = tensor.concat dim(1) %a, %b, %c : (tensor<2x4xf32>, tensor<2x2xf32>, tensor<2x4xf32>) -> tensor<2x10xf32>
  %out = tensor.empty() : tensor<2x10xf32>
  %copy = linalg.copy ins(%y : tensor<2x10xf32>) outs(%out : tensor<2x10xf32>) -> tensor<2x10xf32>
  return %copy : tensor<2x10xf32>
}

// einsum td,edh->eth: experts [E, K, N] as one matrix [K, E N].
// CHECK-LABEL: func.func @flattened_experts(
// CHECK: cq.matmul
// CHECK-NOT: linalg.matmul
func.func @flattened_experts(%x : tensor<2x4xf32>) -> tensor<2x6xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense_resource<experts> : tensor<2x4x3xf32>
  %e = tensor.empty() : tensor<4x2x3xf32>
  %t = linalg.transpose ins(%w : tensor<2x4x3xf32>) outs(%e : tensor<4x2x3xf32>) permutation = [1, 0, 2]
  %m = tensor.collapse_shape %t [[0], [1, 2]] : tensor<4x2x3xf32> into tensor<4x6xf32>
  %o = tensor.empty() : tensor<2x6xf32>
  %i = linalg.fill ins(%zero : f32) outs(%o : tensor<2x6xf32>) -> tensor<2x6xf32>
  %y = linalg.matmul ins(%x, %m : tensor<2x4xf32>, tensor<4x6xf32>) outs(%i : tensor<2x6xf32>) -> tensor<2x6xf32>
  return %y : tensor<2x6xf32>
}

// CHECK-LABEL: func.func @point_conv_2d(
// CHECK: cq.matmul
// CHECK-NOT: linalg.conv
func.func @point_conv_2d(%x : tensor<1x2x1x4xf32>) -> tensor<1x2x1x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense_resource<points> : tensor<1x1x4x3xf32>
  %o = tensor.empty() : tensor<1x2x1x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%o : tensor<1x2x1x3xf32>) -> tensor<1x2x1x3xf32>
  %y = linalg.conv_2d_nhwc_hwcf {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>}
      ins(%x, %w : tensor<1x2x1x4xf32>, tensor<1x1x4x3xf32>) outs(%i : tensor<1x2x1x3xf32>) -> tensor<1x2x1x3xf32>
  return %y : tensor<1x2x1x3xf32>
}

// CHECK-LABEL: func.func @point_conv_1d(
// CHECK: cq.matmul
// CHECK-NOT: linalg.conv
func.func @point_conv_1d(%x : tensor<1x2x4xf32>) -> tensor<1x2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense_resource<line> : tensor<1x4x3xf32>
  %o = tensor.empty() : tensor<1x2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%o : tensor<1x2x3xf32>) -> tensor<1x2x3xf32>
  %y = linalg.conv_1d_nwc_wcf {dilations = dense<1> : tensor<1xi64>, strides = dense<1> : tensor<1xi64>}
      ins(%x, %w : tensor<1x2x4xf32>, tensor<1x4x3xf32>) outs(%i : tensor<1x2x3xf32>) -> tensor<1x2x3xf32>
  return %y : tensor<1x2x3xf32>
}

// What is picked or computed at run time, and what is no matrix product, stays, with a sentence.
// REMARKS: 'linalg.matmul' stays as it is: its weight comes from 'layers' through 'tensor.extract_slice', which is not followed (a choice or a computation when the model runs, or a slice of a tensor by reference)
// CHECK-LABEL: func.func @picked(
// CHECK: linalg.matmul
func.func @picked(%x : tensor<2x4xf32>, %l : index) -> tensor<2x4xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense_resource<layers> : tensor<2x4x4xf32>
  %m = tensor.extract_slice %w[%l, 0, 0] [1, 4, 4] [1, 1, 1] : tensor<2x4x4xf32> to tensor<4x4xf32>
  %o = tensor.empty() : tensor<2x4xf32>
  %i = linalg.fill ins(%zero : f32) outs(%o : tensor<2x4xf32>) -> tensor<2x4xf32>
  %n = linalg.matmul ins(%x, %m : tensor<2x4xf32>, tensor<4x4xf32>) outs(%i : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %n : tensor<2x4xf32>
}

// REMARKS: 'linalg.matmul' stays as it is: its weight comes from 'raw' through 'linalg.generic', which is not followed
func.func @computed(%x : tensor<2x4xf32>) -> tensor<2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense_resource<raw> : tensor<4x3xf32>
  %e = tensor.empty() : tensor<4x3xf32>
  %t = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel", "parallel"]}
      ins(%w : tensor<4x3xf32>) outs(%e : tensor<4x3xf32>) {
  ^bb0(%in : f32, %out : f32):
    %s = math.absf %in : f32
    linalg.yield %s : f32
  } -> tensor<4x3xf32>
  %o = tensor.empty() : tensor<2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%o : tensor<2x3xf32>) -> tensor<2x3xf32>
  %y = linalg.matmul ins(%x, %t : tensor<2x4xf32>, tensor<4x3xf32>) outs(%i : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// REMARKS: 'linalg.matmul' stays as it is: its weight is decoded from 'codes'; cq-raise-dequant-matmul takes codes over as they are
func.func @decoded(%x : tensor<2x4xf32>) -> tensor<2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[1, 2, 3], [4, 5, 6], [7, 8, 9], [-1, -2, -3]]> : tensor<4x3xi8> loc("codes")
  %e = tensor.empty() : tensor<4x3xf32>
  %t = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel", "parallel"]}
      ins(%w : tensor<4x3xi8>) outs(%e : tensor<4x3xf32>) {
  ^bb0(%in : i8, %out : f32):
    %s = arith.sitofp %in : i8 to f32
    linalg.yield %s : f32
  } -> tensor<4x3xf32>
  %o = tensor.empty() : tensor<2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%o : tensor<2x3xf32>) -> tensor<2x3xf32>
  %y = linalg.matmul ins(%x, %t : tensor<2x4xf32>, tensor<4x3xf32>) outs(%i : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// REMARKS: 'linalg.conv_1d_nwc_wcf' stays as it is: it reads 'wide', but not as a matrix product (convolutions are one where the kernel is a single point, without stride, padding or groups)
func.func @wide_conv(%x : tensor<1x2x4xf32>) -> tensor<1x1x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense_resource<wide> : tensor<2x4x3xf32>
  %o = tensor.empty() : tensor<1x1x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%o : tensor<1x1x3xf32>) -> tensor<1x1x3xf32>
  %y = linalg.conv_1d_nwc_wcf {dilations = dense<1> : tensor<1xi64>, strides = dense<1> : tensor<1xi64>}
      ins(%x, %w : tensor<1x2x4xf32>, tensor<2x4x3xf32>) outs(%i : tensor<1x1x3xf32>) -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}

func.func @main() {
  %x = arith.constant dense<[[1.0, 2.0, -1.0, -2.0], [-3.0, -2.0, -2.0, -1.0]]> : tensor<2x4xf32>
  %a = call @slices(%x) : (tensor<2x4xf32>) -> tensor<2x10xf32>
  %au = tensor.cast %a : tensor<2x10xf32> to tensor<*xf32>
  call @printMemrefF32(%au) : (tensor<*xf32>) -> ()
  %b = call @flattened_experts(%x) : (tensor<2x4xf32>) -> tensor<2x6xf32>
  %bu = tensor.cast %b : tensor<2x6xf32> to tensor<*xf32>
  call @printMemrefF32(%bu) : (tensor<*xf32>) -> ()
  %x4 = tensor.expand_shape %x [[0, 1], [2, 3]] output_shape [1, 2, 1, 4] : tensor<2x4xf32> into tensor<1x2x1x4xf32>
  %c = call @point_conv_2d(%x4) : (tensor<1x2x1x4xf32>) -> tensor<1x2x1x3xf32>
  %cu = tensor.cast %c : tensor<1x2x1x3xf32> to tensor<*xf32>
  call @printMemrefF32(%cu) : (tensor<*xf32>) -> ()
  %x3 = tensor.expand_shape %x [[0, 1], [2]] output_shape [1, 2, 4] : tensor<2x4xf32> into tensor<1x2x4xf32>
  %d = call @point_conv_1d(%x3) : (tensor<1x2x4xf32>) -> tensor<1x2x3xf32>
  %du = tensor.cast %d : tensor<1x2x3xf32> to tensor<*xf32>
  call @printMemrefF32(%du) : (tensor<*xf32>) -> ()
  %c1 = arith.constant 1 : index
  %f = call @picked(%x, %c1) : (tensor<2x4xf32>, index) -> tensor<2x4xf32>
  %fu = tensor.cast %f : tensor<2x4xf32> to tensor<*xf32>
  call @printMemrefF32(%fu) : (tensor<*xf32>) -> ()
  return
}

{-#
  dialect_resources: {
    builtin: {
      qkv: "0x040000000000FEC2000000400000E0400000FE420000FEC2000080C00000C0C00000FE420000FEC20000FE420000C0C0000010410000FEC200008040000080BF0000FE420000FEC20000FE420000A0400000A0C0000010C10000FE42000040C00000FEC2",
      experts: "0x040000000000803F000040C0000080C00000FE420000FEC20000FEC20000FEC20000FE420000FE42000040C0000010C10000E0C00000104100000000000080C00000FEC20000FEC20000FEC20000FE420000803F0000FE420000E0C00000FE42000010C1",
      points: "0x04000000000010C10000FEC2000000C0000000410000FE420000A0400000FEC2000000C10000FE420000FE42000080C00000FEC2",
      line: "0x04000000000080BF000000C10000FE420000FEC2000080400000FEC20000FE420000FE420000803F000010410000FEC2000080BF",
      layers: "0x040000000000000000000000000080BF000000C0000080BF000000000000803F000080BF000000C0000000C000000040000000400000803F000000C0000080BF0000004000000000000000000000803F0000803F000080BF000000C0000000C00000803F00000000000080BF000080BF00000040000080BF0000803F000000C0000080BF",
      raw: "0x0400000000008040000000400000A0C0000000C100008040000000000000A0C00000A040000080C00000E0400000A0400000C040",
      wide: "0x040000000000803F0000C040000080BF000000000000C040000040400000A0C00000C0C00000404000000041000080C00000C0400000803F000080C00000E0C00000C040000080BF0000E040000000410000E040000000400000E0C00000004000001041"
    }
  }
#-}
