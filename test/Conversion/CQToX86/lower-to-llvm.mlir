// From packed products on tensors to the LLVM dialect: nothing of cq, memref or
// tensor is left, products run on the thread pool, and both products share the
// codes of their one input.
// RUN: cq-opt "--cq-lower-to-llvm=target-cpu=x86-64-v3 activation=int8" %s | FileCheck %s

// CHECK-NOT: {{cq.(matmul|dynamic_quantize|launch) }}
// CHECK-NOT: memref.
// CHECK-NOT: tensor.
// CHECK-LABEL: llvm.func @cq_products
// CHECK:         llvm.call @cq_dynamic_quantize_k576_g64_m1(
// CHECK-NOT:     llvm.call @cq_dynamic_quantize_k576_g64_m1(
// CHECK-COUNT-2: llvm.call @cq_parallel_for(
// CHECK:       llvm.func {{.*}}@cq_matmul_w192x576_b3_g64_symmetric_f16_panel16_int8_m1_avx2

#scheme = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#layout = #cq.layout<panel16, [192 : 3]>

func.func @products(%x : tensor<1x576xf32>, %q : tensor<41472xi8>, %qs : tensor<1728xf16>,
                    %k : tensor<41472xi8>, %ks : tensor<1728xf16>)
    -> (tensor<1x192xf32>, tensor<1x192xf32>) {
  %y = tensor.empty() : tensor<1x192xf32>
  %0 = cq.matmul x(%x : tensor<1x576xf32>)
    codes(%q : tensor<41472xi8>) scales(%qs : tensor<1728xf16>) outs(%y : tensor<1x192xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  %1 = cq.matmul x(%x : tensor<1x576xf32>)
    codes(%k : tensor<41472xi8>) scales(%ks : tensor<1728xf16>) outs(%y : tensor<1x192xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return %0, %1 : tensor<1x192xf32>, tensor<1x192xf32>
}
