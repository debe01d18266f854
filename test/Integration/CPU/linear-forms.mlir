// Every form of a linear layer, before and after quantization. The weights are
// integers and every row holds ±127 twice, so 8 bits lose nothing, not even with one
// of the two taken out as a cherry: the numbers printed must be the same.
// REQUIRES: mlir-runner
// DEFINE: %{lower} = --one-shot-bufferize="bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map" --convert-linalg-to-loops --expand-strided-metadata --lower-affine --convert-scf-to-cf --convert-cf-to-llvm --convert-math-to-llvm --convert-arith-to-llvm --finalize-memref-to-llvm --convert-func-to-llvm --reconcile-unrealized-casts
// DEFINE: %{execute} = mlir-runner -e main -entry-point-result=void -shared-libs=%llvm_lib_dir/libmlir_runner_utils.so,%llvm_lib_dir/libmlir_c_runner_utils.so
// RUN: cq-opt %s %{lower} | %{execute} | grep -v base@ > %t.before
// RUN: cq-opt %s --cq-quantize="override=.:b8-g32 quantizer=rtn" -o %t.q.mlir
// RUN: FileCheck %s < %t.q.mlir
// RUN: cq-opt %t.q.mlir --convert-cq-to-linalg %{lower} | %{execute} | grep -v base@ > %t.after
// RUN: diff %t.before %t.after
// RUN: cq-opt %s --cq-quantize="override=.:b8-g32 quantizer=rtn cherries=magnitude cherry-form=element" --convert-cq-to-linalg %{lower} | %{execute} | grep -v base@ > %t.cherries
// RUN: diff %t.before %t.cherries

// Nothing is left of the products.
// CHECK-NOT: linalg.matmul
// CHECK-NOT: linalg.batch_matmul
// CHECK-NOT: linalg.vecmat
// CHECK-NOT: linalg.matvec
// CHECK-NOT: linalg.contract
// CHECK-NOT: linalg.conv
// CHECK-NOT: tensor.extract %

#nk = affine_map<(m, n, k) -> (n, k)>
#mk = affine_map<(m, n, k) -> (m, k)>
#mn = affine_map<(m, n, k) -> (m, n)>

func.func private @printMemrefF32(tensor<*xf32>) attributes {llvm.emit_c_interface}


// 1. matmul over linalg.transpose (torch, ONNX Gemm).
// CHECK-LABEL: func.func @transposed(
// CHECK: cq.
func.func @transposed(%x0 : tensor<2x4xf32>) -> tensor<2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[-127.0, -5.0, 127.0, -8.0], [127.0, -8.0, 7.0, 127.0], [-127.0, -2.0, -7.0, -127.0]]> : tensor<3x4xf32>
  %te = tensor.empty() : tensor<4x3xf32>
  %t = linalg.transpose ins(%w : tensor<3x4xf32>) outs(%te : tensor<4x3xf32>) permutation = [1, 0]
  %ie = tensor.empty() : tensor<2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<2x3xf32>) -> tensor<2x3xf32>
  %y = linalg.matmul ins(%x0, %t : tensor<2x4xf32>, tensor<4x3xf32>) outs(%i : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// 2. The transpose as a linalg.generic (JAX).
// CHECK-LABEL: func.func @generic_transpose(
// CHECK: cq.
func.func @generic_transpose(%x0 : tensor<2x4xf32>) -> tensor<2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[-2.0, 127.0, 6.0, -127.0], [127.0, 4.0, -127.0, 2.0], [127.0, 3.0, 3.0, 127.0]]> : tensor<3x4xf32>
  %te = tensor.empty() : tensor<4x3xf32>
  %t = linalg.generic {indexing_maps = [affine_map<(a, b) -> (b, a)>, affine_map<(a, b) -> (a, b)>], iterator_types = ["parallel", "parallel"]}
      ins(%w : tensor<3x4xf32>) outs(%te : tensor<4x3xf32>) {
  ^bb0(%in : f32, %out : f32):
    linalg.yield %in : f32
  } -> tensor<4x3xf32>
  %ie = tensor.empty() : tensor<2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<2x3xf32>) -> tensor<2x3xf32>
  %y = linalg.matmul ins(%x0, %t : tensor<2x4xf32>, tensor<4x3xf32>) outs(%i : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// 3. W [K, N]; the bias is the init, which linalg adds and cq.matmul does not.
// CHECK-LABEL: func.func @plain(
// CHECK: cq.
func.func @plain(%x0 : tensor<2x4xf32>) -> tensor<2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[127.0, -8.0, -9.0], [-3.0, -127.0, 127.0], [-7.0, 127.0, 127.0], [-127.0, 9.0, 3.0]]> : tensor<4x3xf32>
  %b = arith.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
  %e = tensor.empty() : tensor<2x3xf32>
  %i = linalg.broadcast ins(%b : tensor<3xf32>) outs(%e : tensor<2x3xf32>) dimensions = [0]
  %y = linalg.matmul ins(%x0, %w : tensor<2x4xf32>, tensor<4x3xf32>) outs(%i : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// 3. The same behind collapse_shape.
// CHECK-LABEL: func.func @collapsed(
// CHECK: cq.
func.func @collapsed(%x0 : tensor<2x4xf32>) -> tensor<2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[[2.0, 0.0, 127.0]], [[127.0, -7.0, 7.0]], [[-6.0, 127.0, -127.0]], [[127.0, 127.0, -3.0]]]> : tensor<4x1x3xf32>
  %c = tensor.collapse_shape %w [[0, 1], [2]] : tensor<4x1x3xf32> into tensor<4x3xf32>
  %ie = tensor.empty() : tensor<2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<2x3xf32>) -> tensor<2x3xf32>
  %y = linalg.matmul ins(%x0, %c : tensor<2x4xf32>, tensor<4x3xf32>) outs(%i : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// 4. batch_matmul over a broadcast (ONNX).
// CHECK-LABEL: func.func @broadcast(
// CHECK: cq.
func.func @broadcast(%x0 : tensor<2x2x4xf32>) -> tensor<2x2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[127.0, -1.0, -127.0], [7.0, -127.0, -2.0], [6.0, -127.0, 127.0], [127.0, 5.0, -3.0]]> : tensor<4x3xf32>
  %be = tensor.empty() : tensor<2x4x3xf32>
  %b = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (b, c)>, affine_map<(a, b, c) -> (a, b, c)>], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%w : tensor<4x3xf32>) outs(%be : tensor<2x4x3xf32>) {
  ^bb0(%in : f32, %out : f32):
    linalg.yield %in : f32
  } -> tensor<2x4x3xf32>
  %ie = tensor.empty() : tensor<2x2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<2x2x3xf32>) -> tensor<2x2x3xf32>
  %y = linalg.batch_matmul ins(%x0, %b : tensor<2x2x4xf32>, tensor<2x4x3xf32>) outs(%i : tensor<2x2x3xf32>) -> tensor<2x2x3xf32>
  return %y : tensor<2x2x3xf32>
}

// 5. batch_matmul over expand_shape (einsum).
// CHECK-LABEL: func.func @expanded(
// CHECK: cq.
func.func @expanded(%x0 : tensor<1x2x4xf32>) -> tensor<1x2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[6.0, -4.0, -4.0], [2.0, -127.0, 127.0], [127.0, 1.0, -127.0], [-127.0, 127.0, -9.0]]> : tensor<4x3xf32>
  %b = tensor.expand_shape %w [[0, 1], [2]] output_shape [1, 4, 3] : tensor<4x3xf32> into tensor<1x4x3xf32>
  %ie = tensor.empty() : tensor<1x2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<1x2x3xf32>) -> tensor<1x2x3xf32>
  %y = linalg.batch_matmul ins(%x0, %b : tensor<1x2x4xf32>, tensor<1x4x3xf32>) outs(%i : tensor<1x2x3xf32>) -> tensor<1x2x3xf32>
  return %y : tensor<1x2x3xf32>
}

// 6. A stack of matrices (experts).
// CHECK-LABEL: func.func @experts(
// CHECK: cq.
func.func @experts(%x0 : tensor<2x2x4xf32>) -> tensor<2x2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[[-127.0, -5.0, 127.0, 4.0], [127.0, 2.0, 6.0, -127.0], [6.0, 127.0, -8.0, 127.0]], [[-127.0, -127.0, 2.0, -4.0], [0.0, -127.0, -2.0, -127.0], [5.0, 127.0, 8.0, 127.0]]]> : tensor<2x3x4xf32>
  %te = tensor.empty() : tensor<2x4x3xf32>
  %t = linalg.transpose ins(%w : tensor<2x3x4xf32>) outs(%te : tensor<2x4x3xf32>) permutation = [0, 2, 1]
  %ie = tensor.empty() : tensor<2x2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<2x2x3xf32>) -> tensor<2x2x3xf32>
  %y = linalg.batch_matmul ins(%x0, %t : tensor<2x2x4xf32>, tensor<2x4x3xf32>) outs(%i : tensor<2x2x3xf32>) -> tensor<2x2x3xf32>
  return %y : tensor<2x2x3xf32>
}

// 7. Half precision.
// CHECK-LABEL: func.func @half(
// CHECK: cq.
func.func @half(%x0 : tensor<2x4xf16>) -> tensor<2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[-127.0, -127.0, -5.0, 8.0], [-127.0, 127.0, 4.0, -3.0], [0.0, -127.0, 127.0, 9.0]]> : tensor<3x4xf16>
  %te = tensor.empty() : tensor<4x3xf16>
  %t = linalg.transpose ins(%w : tensor<3x4xf16>) outs(%te : tensor<4x3xf16>) permutation = [1, 0]
  %ie = tensor.empty() : tensor<2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<2x3xf32>) -> tensor<2x3xf32>
  %y = linalg.matmul ins(%x0, %t : tensor<2x4xf16>, tensor<4x3xf16>) outs(%i : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// 8. vecmat.
// CHECK-LABEL: func.func @vecmat(
// CHECK: cq.
func.func @vecmat(%x0 : tensor<4xf32>) -> tensor<3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[-8.0, 7.0, 127.0], [2.0, -127.0, -127.0], [-127.0, -127.0, 6.0], [-127.0, 5.0, -6.0]]> : tensor<4x3xf32>
  %ie = tensor.empty() : tensor<3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<3xf32>) -> tensor<3xf32>
  %y = linalg.vecmat ins(%x0, %w : tensor<4xf32>, tensor<4x3xf32>) outs(%i : tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// 8. matvec: the weight on the left.
// CHECK-LABEL: func.func @matvec(
// CHECK: cq.
func.func @matvec(%x0 : tensor<4xf32>) -> tensor<3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[127.0, -8.0, -127.0, -3.0], [8.0, -9.0, -127.0, 127.0], [5.0, 127.0, -127.0, 6.0]]> : tensor<3x4xf32>
  %ie = tensor.empty() : tensor<3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<3xf32>) -> tensor<3xf32>
  %y = linalg.matvec ins(%w, %x0 : tensor<3x4xf32>, tensor<4xf32>) outs(%i : tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// 8. The weight on the left of a matmul.
// CHECK-LABEL: func.func @left(
// CHECK: cq.
func.func @left(%x0 : tensor<4x2xf32>) -> tensor<3x2xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[5.0, -127.0, 4.0, 127.0], [127.0, 4.0, -127.0, -3.0], [-5.0, -127.0, 127.0, 5.0]]> : tensor<3x4xf32>
  %ie = tensor.empty() : tensor<3x2xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<3x2xf32>) -> tensor<3x2xf32>
  %y = linalg.matmul ins(%w, %x0 : tensor<3x4xf32>, tensor<4x2xf32>) outs(%i : tensor<3x2xf32>) -> tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}

// 9. A convolution of one point, its bias as init.
// CHECK-LABEL: func.func @conv(
// CHECK: cq.
func.func @conv(%x0 : tensor<1x4x2xf32>) -> tensor<1x3x2xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[[6.0], [-4.0], [127.0], [127.0]], [[127.0], [-3.0], [-127.0], [1.0]], [[127.0], [127.0], [5.0], [5.0]]]> : tensor<3x4x1xf32>
  %b = arith.constant dense<[1.0, -2.0, 3.0]> : tensor<3xf32>
  %e = tensor.empty() : tensor<1x3x2xf32>
  %i = linalg.broadcast ins(%b : tensor<3xf32>) outs(%e : tensor<1x3x2xf32>) dimensions = [0, 2]
  %y = linalg.conv_1d_ncw_fcw {dilations = dense<1> : vector<1xi64>, strides = dense<1> : vector<1xi64>}
      ins(%x0, %w : tensor<1x4x2xf32>, tensor<3x4x1xf32>) outs(%i : tensor<1x3x2xf32>) -> tensor<1x3x2xf32>
  return %y : tensor<1x3x2xf32>
}

// 9. The same in two dimensions.
// CHECK-LABEL: func.func @conv2d(
// CHECK: cq.
func.func @conv2d(%x0 : tensor<1x4x1x2xf32>) -> tensor<1x3x1x2xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[[[127.0]], [[-7.0]], [[-6.0]], [[127.0]]], [[[-8.0]], [[-4.0]], [[127.0]], [[127.0]]], [[[-5.0]], [[8.0]], [[-127.0]], [[127.0]]]]> : tensor<3x4x1x1xf32>
  %ie = tensor.empty() : tensor<1x3x1x2xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<1x3x1x2xf32>) -> tensor<1x3x1x2xf32>
  %y = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
      ins(%x0, %w : tensor<1x4x1x2xf32>, tensor<3x4x1x1xf32>) outs(%i : tensor<1x3x1x2xf32>) -> tensor<1x3x1x2xf32>
  return %y : tensor<1x3x1x2xf32>
}

// 10. matmul with indexing maps.
// CHECK-LABEL: func.func @maps(
// CHECK: cq.
func.func @maps(%x0 : tensor<2x4xf32>) -> tensor<2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[-127.0, -127.0, -4.0, 4.0], [-127.0, -7.0, 127.0, -7.0], [-127.0, -127.0, 4.0, -1.0]]> : tensor<3x4xf32>
  %ie = tensor.empty() : tensor<2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<2x3xf32>) -> tensor<2x3xf32>
  %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x0, %w : tensor<2x4xf32>, tensor<3x4xf32>) outs(%i : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// 10. linalg.contract.
// CHECK-LABEL: func.func @contract(
// CHECK: cq.
func.func @contract(%x0 : tensor<2x4xf32>) -> tensor<2x3xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[-4.0, 127.0, -8.0, -127.0], [0.0, 127.0, -127.0, -4.0], [-8.0, 127.0, -127.0, 7.0]]> : tensor<3x4xf32>
  %ie = tensor.empty() : tensor<2x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<2x3xf32>) -> tensor<2x3xf32>
  %y = linalg.contract indexing_maps = [#mk, #nk, #mn] ins(%x0, %w : tensor<2x4xf32>, tensor<3x4xf32>) outs(%i : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// 10. A generic whose result is transposed.
// CHECK-LABEL: func.func @generic(
// CHECK: cq.
func.func @generic(%x0 : tensor<2x4xf32>) -> tensor<3x2xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[5.0, -6.0, -127.0, 127.0], [-2.0, -127.0, -3.0, -127.0], [127.0, -127.0, -1.0, 4.0]]> : tensor<3x4xf32>
  %ie = tensor.empty() : tensor<3x2xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<3x2xf32>) -> tensor<3x2xf32>
  %y = linalg.generic {indexing_maps = [#mk, #nk, affine_map<(m, n, k) -> (n, m)>], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x0, %w : tensor<2x4xf32>, tensor<3x4xf32>) outs(%i : tensor<3x2xf32>) {
  ^bb0(%a : f32, %b : f32, %c : f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}

// 10. Both axes of the weight in two loops each (heads).
// CHECK-LABEL: func.func @heads(
// CHECK: cq.
func.func @heads(%x0 : tensor<2x2x2xf32>) -> tensor<2x3x2xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[-127.0, -8.0, 9.0, -127.0], [8.0, -127.0, 127.0, 4.0], [8.0, -127.0, -6.0, -127.0], [9.0, 127.0, -3.0, 127.0], [127.0, 127.0, -2.0, -4.0], [127.0, 5.0, -127.0, -7.0]]> : tensor<6x4xf32>
  %we = tensor.expand_shape %w [[0, 1], [2, 3]] output_shape [3, 2, 2, 2] : tensor<6x4xf32> into tensor<3x2x2x2xf32>
  %ie = tensor.empty() : tensor<2x3x2xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<2x3x2xf32>) -> tensor<2x3x2xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, a, b, c, d) -> (m, c, d)>, affine_map<(m, a, b, c, d) -> (a, b, c, d)>, affine_map<(m, a, b, c, d) -> (m, a, b)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]}
      ins(%x0, %we : tensor<2x2x2xf32>, tensor<3x2x2x2xf32>) outs(%i : tensor<2x3x2xf32>) {
  ^bb0(%a : f32, %b : f32, %c : f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x3x2xf32>
  return %y : tensor<2x3x2xf32>
}

// 11. An embedding that shares its weight with the head.
// CHECK-LABEL: func.func @gather_tied(
// CHECK: cq.
func.func @gather_tied(%x0 : tensor<2xf32>) -> tensor<2x6xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[-127.0, -127.0, -2.0, 0.0], [-1.0, -127.0, 127.0, -1.0], [127.0, 127.0, -3.0, 2.0], [-127.0, -127.0, -1.0, 7.0], [-127.0, 127.0, -5.0, 3.0], [0.0, 127.0, 127.0, 9.0]]> : tensor<6x4xf32>
  %ids = arith.constant dense<[5, 1]> : tensor<2xi64>
  %ee = tensor.empty() : tensor<2x4xf32>
  %e = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a)>, affine_map<(a, b) -> (a, b)>], iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<2xi64>) outs(%ee : tensor<2x4xf32>) {
  ^bb0(%in : i64, %out : f32):
    %r = arith.index_cast %in : i64 to index
    %c = linalg.index 1 : index
    %v = tensor.extract %w[%r, %c] : tensor<6x4xf32>
    linalg.yield %v : f32
  } -> tensor<2x4xf32>
  %te = tensor.empty() : tensor<4x6xf32>
  %t = linalg.transpose ins(%w : tensor<6x4xf32>) outs(%te : tensor<4x6xf32>) permutation = [1, 0]
  %ie = tensor.empty() : tensor<2x6xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<2x6xf32>) -> tensor<2x6xf32>
  %y = linalg.matmul ins(%e, %t : tensor<2x4xf32>, tensor<4x6xf32>) outs(%i : tensor<2x6xf32>) -> tensor<2x6xf32>
  return %y : tensor<2x6xf32>
}

// 11. Row numbers that are computed (clamped) in the body.
// CHECK-LABEL: func.func @computed_rows(
// CHECK: cq.
func.func @computed_rows(%x0 : tensor<2xf32>) -> tensor<2x4xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[127.0, -5.0, -127.0, -5.0], [-127.0, -127.0, 9.0, -9.0], [-5.0, 2.0, -127.0, -127.0], [-127.0, -127.0, 6.0, -1.0], [-127.0, -127.0, 6.0, -1.0], [127.0, -127.0, 6.0, 3.0]]> : tensor<6x4xf32>
  %ids = arith.constant dense<[9, 1]> : tensor<2xi32>
  %five = arith.constant 5 : index
  %ee = tensor.empty() : tensor<2x4xf32>
  %e = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a)>, affine_map<(a, b) -> (a, b)>], iterator_types = ["parallel", "parallel"]}
      ins(%ids : tensor<2xi32>) outs(%ee : tensor<2x4xf32>) {
  ^bb0(%in : i32, %out : f32):
    %r = arith.index_cast %in : i32 to index
    %m = arith.minsi %r, %five : index
    %c = linalg.index 1 : index
    %v = tensor.extract %w[%m, %c] : tensor<6x4xf32>
    linalg.yield %v : f32
  } -> tensor<2x4xf32>
  return %e : tensor<2x4xf32>
}

// Any number of rows.
// CHECK-LABEL: func.func @dynamic(
// CHECK: cq.matmul x(%{{.*}} : tensor<?x4xf32>)
func.func @dynamic(%x0 : tensor<?x4xf32>) -> tensor<?x3xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %m = tensor.dim %x0, %c0 : tensor<?x4xf32>
  %w = arith.constant dense<[[-3.0, -7.0, 127.0, -127.0], [-9.0, 6.0, -127.0, -127.0], [6.0, -127.0, 7.0, 127.0]]> : tensor<3x4xf32>
  %ie = tensor.empty(%m) : tensor<?x3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%ie : tensor<?x3xf32>) -> tensor<?x3xf32>
  %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x0, %w : tensor<?x4xf32>, tensor<3x4xf32>) outs(%i : tensor<?x3xf32>) -> tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

func.func @main() {
  %transposed_0 = arith.constant dense<[[1.0, 2.0, -1.0, -2.0], [-3.0, -2.0, -2.0, -1.0]]> : tensor<2x4xf32>
  %transposed = call @transposed(%transposed_0) : (tensor<2x4xf32>) -> tensor<2x3xf32>
  %transposed_u = tensor.cast %transposed : tensor<2x3xf32> to tensor<*xf32>
  call @printMemrefF32(%transposed_u) : (tensor<*xf32>) -> ()
  %generic_transpose_0 = arith.constant dense<[[1.0, 2.0, -1.0, -2.0], [-3.0, -2.0, -2.0, -1.0]]> : tensor<2x4xf32>
  %generic_transpose = call @generic_transpose(%generic_transpose_0) : (tensor<2x4xf32>) -> tensor<2x3xf32>
  %generic_transpose_u = tensor.cast %generic_transpose : tensor<2x3xf32> to tensor<*xf32>
  call @printMemrefF32(%generic_transpose_u) : (tensor<*xf32>) -> ()
  %plain_0 = arith.constant dense<[[1.0, 2.0, -1.0, -2.0], [-3.0, -2.0, -2.0, -1.0]]> : tensor<2x4xf32>
  %plain = call @plain(%plain_0) : (tensor<2x4xf32>) -> tensor<2x3xf32>
  %plain_u = tensor.cast %plain : tensor<2x3xf32> to tensor<*xf32>
  call @printMemrefF32(%plain_u) : (tensor<*xf32>) -> ()
  %collapsed_0 = arith.constant dense<[[1.0, 2.0, -1.0, -2.0], [-3.0, -2.0, -2.0, -1.0]]> : tensor<2x4xf32>
  %collapsed = call @collapsed(%collapsed_0) : (tensor<2x4xf32>) -> tensor<2x3xf32>
  %collapsed_u = tensor.cast %collapsed : tensor<2x3xf32> to tensor<*xf32>
  call @printMemrefF32(%collapsed_u) : (tensor<*xf32>) -> ()
  %broadcast_0 = arith.constant dense<[[[-3.0, 0.0, 4.0, 1.0], [-2.0, 1.0, -1.0, 4.0]], [[4.0, 4.0, 1.0, -1.0], [-1.0, -1.0, 2.0, -1.0]]]> : tensor<2x2x4xf32>
  %broadcast = call @broadcast(%broadcast_0) : (tensor<2x2x4xf32>) -> tensor<2x2x3xf32>
  %broadcast_u = tensor.cast %broadcast : tensor<2x2x3xf32> to tensor<*xf32>
  call @printMemrefF32(%broadcast_u) : (tensor<*xf32>) -> ()
  %expanded_0 = arith.constant dense<[[[1.0, 2.0, -1.0, -2.0], [-3.0, -2.0, -2.0, -1.0]]]> : tensor<1x2x4xf32>
  %expanded = call @expanded(%expanded_0) : (tensor<1x2x4xf32>) -> tensor<1x2x3xf32>
  %expanded_u = tensor.cast %expanded : tensor<1x2x3xf32> to tensor<*xf32>
  call @printMemrefF32(%expanded_u) : (tensor<*xf32>) -> ()
  %experts_0 = arith.constant dense<[[[-3.0, 0.0, 4.0, 1.0], [-2.0, 1.0, -1.0, 4.0]], [[4.0, 4.0, 1.0, -1.0], [-1.0, -1.0, 2.0, -1.0]]]> : tensor<2x2x4xf32>
  %experts = call @experts(%experts_0) : (tensor<2x2x4xf32>) -> tensor<2x2x3xf32>
  %experts_u = tensor.cast %experts : tensor<2x2x3xf32> to tensor<*xf32>
  call @printMemrefF32(%experts_u) : (tensor<*xf32>) -> ()
  %half_0 = arith.constant dense<[[1.0, 2.0, -1.0, -2.0], [-3.0, -2.0, -2.0, -1.0]]> : tensor<2x4xf16>
  %half = call @half(%half_0) : (tensor<2x4xf16>) -> tensor<2x3xf32>
  %half_u = tensor.cast %half : tensor<2x3xf32> to tensor<*xf32>
  call @printMemrefF32(%half_u) : (tensor<*xf32>) -> ()
  %vecmat_0 = arith.constant dense<[1.0, 2.0, -1.0, -2.0]> : tensor<4xf32>
  %vecmat = call @vecmat(%vecmat_0) : (tensor<4xf32>) -> tensor<3xf32>
  %vecmat_u = tensor.cast %vecmat : tensor<3xf32> to tensor<*xf32>
  call @printMemrefF32(%vecmat_u) : (tensor<*xf32>) -> ()
  %matvec_0 = arith.constant dense<[-3.0, -2.0, -2.0, -1.0]> : tensor<4xf32>
  %matvec = call @matvec(%matvec_0) : (tensor<4xf32>) -> tensor<3xf32>
  %matvec_u = tensor.cast %matvec : tensor<3xf32> to tensor<*xf32>
  call @printMemrefF32(%matvec_u) : (tensor<*xf32>) -> ()
  %left_0 = arith.constant dense<[[1.0, -3.0], [2.0, -2.0], [-1.0, -2.0], [-2.0, -1.0]]> : tensor<4x2xf32>
  %left = call @left(%left_0) : (tensor<4x2xf32>) -> tensor<3x2xf32>
  %left_u = tensor.cast %left : tensor<3x2xf32> to tensor<*xf32>
  call @printMemrefF32(%left_u) : (tensor<*xf32>) -> ()
  %conv_0 = arith.constant dense<[[[1.0, -3.0], [2.0, -2.0], [-1.0, -2.0], [-2.0, -1.0]]]> : tensor<1x4x2xf32>
  %conv = call @conv(%conv_0) : (tensor<1x4x2xf32>) -> tensor<1x3x2xf32>
  %conv_u = tensor.cast %conv : tensor<1x3x2xf32> to tensor<*xf32>
  call @printMemrefF32(%conv_u) : (tensor<*xf32>) -> ()
  %conv2d_0 = arith.constant dense<[[[[1.0, -3.0]], [[2.0, -2.0]], [[-1.0, -2.0]], [[-2.0, -1.0]]]]> : tensor<1x4x1x2xf32>
  %conv2d = call @conv2d(%conv2d_0) : (tensor<1x4x1x2xf32>) -> tensor<1x3x1x2xf32>
  %conv2d_u = tensor.cast %conv2d : tensor<1x3x1x2xf32> to tensor<*xf32>
  call @printMemrefF32(%conv2d_u) : (tensor<*xf32>) -> ()
  %maps_0 = arith.constant dense<[[1.0, 2.0, -1.0, -2.0], [-3.0, -2.0, -2.0, -1.0]]> : tensor<2x4xf32>
  %maps = call @maps(%maps_0) : (tensor<2x4xf32>) -> tensor<2x3xf32>
  %maps_u = tensor.cast %maps : tensor<2x3xf32> to tensor<*xf32>
  call @printMemrefF32(%maps_u) : (tensor<*xf32>) -> ()
  %contract_0 = arith.constant dense<[[1.0, 2.0, -1.0, -2.0], [-3.0, -2.0, -2.0, -1.0]]> : tensor<2x4xf32>
  %contract = call @contract(%contract_0) : (tensor<2x4xf32>) -> tensor<2x3xf32>
  %contract_u = tensor.cast %contract : tensor<2x3xf32> to tensor<*xf32>
  call @printMemrefF32(%contract_u) : (tensor<*xf32>) -> ()
  %generic_0 = arith.constant dense<[[1.0, 2.0, -1.0, -2.0], [-3.0, -2.0, -2.0, -1.0]]> : tensor<2x4xf32>
  %generic = call @generic(%generic_0) : (tensor<2x4xf32>) -> tensor<3x2xf32>
  %generic_u = tensor.cast %generic : tensor<3x2xf32> to tensor<*xf32>
  call @printMemrefF32(%generic_u) : (tensor<*xf32>) -> ()
  %heads_0 = arith.constant dense<[[[1.0, 2.0], [-1.0, -2.0]], [[-3.0, -2.0], [-2.0, -1.0]]]> : tensor<2x2x2xf32>
  %heads = call @heads(%heads_0) : (tensor<2x2x2xf32>) -> tensor<2x3x2xf32>
  %heads_u = tensor.cast %heads : tensor<2x3x2xf32> to tensor<*xf32>
  call @printMemrefF32(%heads_u) : (tensor<*xf32>) -> ()
  %gather_tied_0 = arith.constant dense<[0.0, 0.0]> : tensor<2xf32>
  %gather_tied = call @gather_tied(%gather_tied_0) : (tensor<2xf32>) -> tensor<2x6xf32>
  %gather_tied_u = tensor.cast %gather_tied : tensor<2x6xf32> to tensor<*xf32>
  call @printMemrefF32(%gather_tied_u) : (tensor<*xf32>) -> ()
  %computed_rows_0 = arith.constant dense<[0.0, 0.0]> : tensor<2xf32>
  %computed_rows = call @computed_rows(%computed_rows_0) : (tensor<2xf32>) -> tensor<2x4xf32>
  %computed_rows_u = tensor.cast %computed_rows : tensor<2x4xf32> to tensor<*xf32>
  call @printMemrefF32(%computed_rows_u) : (tensor<*xf32>) -> ()
  %dynamic_s = tensor.cast %plain_0 : tensor<2x4xf32> to tensor<?x4xf32>
  %dynamic = call @dynamic(%dynamic_s) : (tensor<?x4xf32>) -> tensor<?x3xf32>
  %dynamic_u = tensor.cast %dynamic : tensor<?x3xf32> to tensor<*xf32>
  call @printMemrefF32(%dynamic_u) : (tensor<*xf32>) -> ()
  return
}
