// Kernels use the registers of the target and no stack for their sums.
// RUN: cq-opt --cq-lower-to-llvm=target-cpu=haswell %s | mlir-translate --mlir-to-llvmir \
// RUN:   | opt -O3 -mcpu=haswell | llc -O3 -mcpu=haswell | FileCheck %s --check-prefix=AVX2
// RUN: cq-opt --cq-lower-to-llvm=target-cpu=cascadelake %s | mlir-translate --mlir-to-llvmir \
// RUN:   | opt -O3 -mcpu=cascadelake | llc -O3 -mcpu=cascadelake | FileCheck %s --check-prefix=AVX512

// AVX2-NOT: zmm
// AVX2: cq_f32_packed_nk:
// The tile: 6 × 2 sums, A broadcast, no spill or reload of a vector.
// AVX2: vbroadcastss
// AVX2-NOT: (%rsp), %ymm
// AVX2-COUNT-11: vfmadd231ps {{.*}}%ymm{{[0-9]+}}, %ymm
// AVX2-NOT: %ymm{{[0-9]+}}, {{.*}}(%rsp)

// AVX512: cq_f32_packed_nk:
// AVX512: vfmadd231ps {{.*}}%zmm
// AVX512-NOT: (%rsp), %zmm
// AVX512-COUNT-26: vfmadd231ps {{.*}}%zmm{{[0-9]+}}
// AVX512-NOT: %zmm{{[0-9]+}}, {{.*}}(%rsp)
#mk = affine_map<(m, n, k) -> (m, k)>
#nk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>
func.func @f(%x: tensor<64x576xf32>, %w: tensor<1536x576xf32>) -> tensor<64x1536xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64x1536xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<64x1536xf32>) -> tensor<64x1536xf32>
  %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : tensor<64x576xf32>, tensor<1536x576xf32>) outs(%f : tensor<64x1536xf32>) -> tensor<64x1536xf32>
  return %y : tensor<64x1536xf32>
}
