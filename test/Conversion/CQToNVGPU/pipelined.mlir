// Sixteen tokens, 4 bits: x comes in stages by cp.async where it has the compute type (cq
// compile), through registers where it is f32 (below); steps wait for a stage, then fill
// the one that everybody has left. With splits, CTAs share the columns of few rows and a
// second kernel adds their sums in order.
// RUN: cq-opt --convert-cq-to-nvgpu=architecture=90 %s | FileCheck %s --check-prefix=STAGES
// RUN: cq-opt --convert-cq-to-nvgpu='architecture=90 splits=true' %s | FileCheck %s --check-prefix=SPLIT
// RUN: cq compile --target=nvptx --shape=2048x1024 --scheme=b4-g128 --tokens=16 --emit=mlir -o - | FileCheck %s --check-prefix=ASYNC

// STAGES-LABEL: func.func @product
// STAGES-NOT:     memref.alloc
// STAGES:         gpu.launch_func @cq_kernels::@cq_mm_n64_k4096_b4_g128_symmetric_f16_cf16_xf32_yf32_t16_w2x4x1_u4_s3_m16
// STAGES:       gpu.func
// STAGES-SAME:    cq.grid = array<i32: 1, 1, 1>
// STAGES-SAME:    cq.token_blocks
// STAGES-COUNT-4: cq.nv.load_weights
// STAGES:         scf.for
// STAGES:           gpu.barrier
// STAGES:           vector.store
// STAGES-COUNT-4:   cq.nv.load_weights
// STAGES-COUNT-32:  cq.nv.mma
// STAGES-NOT:       cq.nv.mma
// STAGES:         gpu.return

// SPLIT-LABEL: func.func @product
// SPLIT:         %[[PARTIAL:.*]] = memref.alloc() : memref<16x2x64xf32>
// SPLIT:         gpu.launch_func @cq_kernels::@[[MAIN:cq_mm.*_k2_m16]] blocks in
// SPLIT-SAME:      %[[PARTIAL]] : memref<16x2x64xf32>
// SPLIT:         gpu.launch_func @cq_kernels::@[[SUM:cq_sum_n64_yf32_k2_m16]] blocks in
// SPLIT-SAME:      args(%[[PARTIAL]] : memref<16x2x64xf32>, %{{.*}} : memref<16x64xf32>,
// SPLIT:         memref.dealloc %[[PARTIAL]]
// SPLIT:       gpu.func @[[MAIN]]
// SPLIT-SAME:    cq.arguments = ["x", "codes", "scales", "partial", "m"]
// SPLIT-SAME:    cq.finish = @[[SUM]]
// SPLIT-SAME:    cq.grid = array<i32: 1, 1, 2>
// SPLIT:         gpu.block_id z
// SPLIT:         memref.store {{.*}} : memref<16x2x64xf32>
// SPLIT:       gpu.func @[[SUM]]
// SPLIT-SAME:    cq.arguments = ["partial", "y", "m"]
// SPLIT-COUNT-2: memref.load {{.*}} : memref<16x2x64xf32>
// SPLIT:         arith.addf
// SPLIT:         memref.store {{.*}} : memref<16x64xf32>

// Two stages ahead, then: wait, barrier, the next copy, weights a unit ahead, products.
// ASYNC:       nvgpu.device_async_copy
// ASYNC:       nvgpu.device_async_create_group
// ASYNC:       nvgpu.device_async_copy
// ASYNC:       nvgpu.device_async_create_group
// ASYNC:       scf.for
// ASYNC:         nvgpu.device_async_wait {{.*}} {numGroups = 1 : i32}
// ASYNC-NEXT:    gpu.barrier
// ASYNC:         nvgpu.device_async_copy
// ASYNC:         nvgpu.device_async_create_group
// ASYNC:         cq.nv.load_weights
// ASYNC:         cq.nv.mma
// ASYNC:         scf.yield
// ASYNC:       gpu.barrier

#scheme = #cq.scheme<bits = 4, group = 128, grid = symmetric, scale = f16>
#layout = #cq.layout<mma_fragment, [64 : 4]>

func.func @product(%x : memref<16x4096xf32>, %q : memref<131072xi8>, %s : memref<2048xf16>, %y : memref<16x64xf32>) {
  cq.matmul x(%x : memref<16x4096xf32>) codes(%q : memref<131072xi8>) scales(%s : memref<2048xf16>) outs(%y : memref<16x64xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<f32>}
  return
}
