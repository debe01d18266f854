// One token, 3 bits: x to shared memory, a unit of 256 columns (three 16-byte
// loads) ahead of its use, sixteen products with the weight as first operand, one
// multiply-add by the scales for each group, partial sums of the warps added in
// order.
// RUN: cq-opt --convert-cq-to-nvgpu %s | FileCheck %s
// RUN: cq-opt --convert-cq-to-nvgpu=compute=bf16 %s | FileCheck %s --check-prefix=BF16
// RUN: cq-opt --pass-pipeline='builtin.module(convert-cq-to-nvgpu,cq-lower-gpu-kernels,nvvm-attach-target{chip=sm_80 features=+ptx80},gpu-module-to-binary{format=isa})' %s | sed 's/\\0A/\n/g; s/\\09/ /g' | FileCheck %s --check-prefix=PTX

// CHECK:       module attributes {gpu.container_module}
// CHECK-LABEL: func.func @product
// CHECK-SAME:    %[[X:.*]]: memref<1x2048xf32>, %[[Q:.*]]: memref<49152xi8>, %[[S:.*]]: memref<1024xf16>, %[[Y:.*]]: memref<1x64xf32>
// CHECK-DAG:     %[[M:.*]] = arith.constant 1 : i32
// CHECK-DAG:     %[[SHARED:.*]] = arith.constant 4096 : i32
// CHECK:         gpu.launch_func @cq_kernels::@[[NAME:cq_mm_n64_k2048_b3_g128_symmetric_f16_cf16_xf32_yf32_t1_w8x1x1_u4_m1]] blocks in
// CHECK-SAME:      dynamic_shared_memory_size %[[SHARED]] args(%[[X]] : memref<1x2048xf32>, %[[Q]] : memref<49152xi8>, %[[S]] : memref<1024xf16>, %[[Y]] : memref<1x64xf32>, %[[M]] : i32)
// CHECK-NOT:     cq.matmul
// CHECK:       gpu.module @cq_kernels
// CHECK:         gpu.func @[[NAME]]
// CHECK-SAME:      kernel
// CHECK-SAME:      cq.arguments = ["x", "codes", "scales", "y", "m"], cq.block = array<i32: 256, 1, 1>, cq.grid = array<i32: 4, 1, 1>, cq.shared_bytes = 4096 : i64
// CHECK:           arith.truncf {{.*}} : vector<8xf32> to vector<8xf16>
// CHECK:           gpu.barrier
// CHECK-COUNT-3:   cq.nv.load_weights {{.*}} -> vector<4xi32>
// CHECK:           scf.for
// CHECK-COUNT-3:     cq.nv.load_weights {{.*}} -> vector<4xi32>
// CHECK:             vector.load {{.*}} {alignment = 16 : i64} : memref<1x2048xf16, #gpu.address_space<workgroup>>, vector<8xf16>
// CHECK:             arith.andi
// CHECK:             arith.ori
// CHECK-COUNT-8:     cq.nv.mma
// CHECK-NOT:         cq.nv.mma
// CHECK:             math.fma {{.*}} : vector<4xf32>
// CHECK-COUNT-8:     cq.nv.mma
// CHECK-NOT:         cq.nv.mma
// CHECK:             math.fma {{.*}} : vector<4xf32>
// CHECK:           gpu.barrier
// CHECK:           gpu.barrier
// CHECK-COUNT-7:   arith.addf {{.*}} : f32
// CHECK:           memref.store {{.*}} : memref<1x64xf32>
// CHECK:           gpu.return

// BF16:       cq.nv.mma {{.*}} : vector<2xbf16>, vector<4xf32>

// PTX:        .extern .shared .align 1024 .b8 __dynamic_shmem__0[];
// PTX:        .entry cq_mm_n64_k2048_b3_g128_symmetric_f16_cf16_xf32_yf32_t1_w8x1x1_u4_m1(
// PTX-NEXT:   .param .u64 .ptr
// PTX-NEXT:   .param .u64 .ptr
// PTX-NEXT:   .param .u64 .ptr
// PTX-NEXT:   .param .u64 .ptr
// PTX-NEXT:   .param .u32
// PTX:        .maxntid 256
// PTX:        createpolicy.fractional.L2::evict_first.b64
// PTX-NOT:    createpolicy
// PTX-COUNT-3: ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32
// PTX:        mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
// PTX-NOT:    .local

#scheme = #cq.scheme<bits = 3, group = 128, grid = symmetric, scale = f16>
#layout = #cq.layout<mma_fragment, [64 : 3]>

func.func @product(%x : memref<1x2048xf32>, %q : memref<49152xi8>, %s : memref<1024xf16>, %y : memref<1x64xf32>) {
  cq.matmul x(%x : memref<1x2048xf32>) codes(%q : memref<49152xi8>) scales(%s : memref<1024xf16>) outs(%y : memref<1x64xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<f32>}
  return
}
