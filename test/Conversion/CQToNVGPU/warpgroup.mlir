// Many tokens on sm_90a: a launch puts the activations in order; one thread copies stages
// of them, warpgroups multiply with the weights from registers. Numbers of the next half
// chunk are made while products are in flight; the scales follow the wait.
// RUN: cq-opt --convert-cq-to-nvgpu='architecture=90 wgmma=true' %s | FileCheck %s
// RUN: cq-opt --convert-cq-to-nvgpu='architecture=90 wgmma=true' %s | cq-opt | FileCheck %s --check-prefix=AGAIN
// RUN: cq compile --target=nvptx --shape=256x512 --scheme=b3-g128 --tokens=100 --compute=bf16 --chip=sm_90a -o - | FileCheck %s --check-prefix=PTX

// CHECK-LABEL: func.func @product
// CHECK:         %[[PACKED:.*]] = memref.alloc() : memref<131072xf16>
// CHECK:         gpu.launch_func @cq_kernels::@[[X:cq_x_k512_xf32_cf16_t[0-9]+_m200]]
// CHECK:         gpu.launch_func @cq_kernels::@[[MAIN:cq_mm.*_wg_m200]]
// CHECK-SAME:      %[[PACKED]]
// CHECK:         memref.dealloc %[[PACKED]]
// Of a bound on the tokens, only what they need is allocated.
// CHECK-LABEL: func.func @unknown
// CHECK:         %[[SOME:.*]] = memref.alloc(%{{.*}}) : memref<?xf16>
// CHECK:         %[[WHOLE:.*]] = memref.reinterpret_cast %[[SOME]]
// CHECK:         gpu.launch_func @cq_kernels::@cq_x_k512_xf32_cf16_t{{[0-9]+}}_m4096
// CHECK:         gpu.launch_func @cq_kernels::@cq_mm{{.*}}_wg_m4096
// CHECK-SAME:      %[[WHOLE]]
// CHECK:         memref.dealloc %[[SOME]]
// CHECK:       gpu.func @[[MAIN]]
// CHECK-SAME:    cq.arguments = ["x", "packed", "codes", "scales", "y", "m"], cq.block = array<i32: 384, 1, 1>
// CHECK-SAME:    cq.prepare = @[[X]]
// CHECK:         nvgpu.mbarrier.create
// CHECK:         nvgpu.mbarrier.init
// CHECK:         nvvm.fence.mbarrier.init
// CHECK:         gpu.barrier
// Those that multiply:
// CHECK:         scf.for
// CHECK:           nvgpu.mbarrier.try_wait.parity
// CHECK:           cq.nv.wgmma_fence
// CHECK-COUNT-2:   cq.nv.wgmma a(
// CHECK:           math.fma {{.*}} : vector<2xf16>
// CHECK:           cq.nv.wgmma_fence
// CHECK-COUNT-6:   cq.nv.wgmma a(
// CHECK-NEXT:      cq.nv.wgmma_commit
// CHECK:           cq.nv.wgmma_wait 0
// CHECK:           math.fma {{.*}} : vector<4xf32>
// CHECK:           nvgpu.mbarrier.arrive
// CHECK:           scf.yield
// CHECK:           nvvm.barrier id
// The copying thread:
// CHECK:         nvgpu.mbarrier.arrive.expect_tx
// CHECK:         cq.nv.bulk_copy

// AGAIN-COUNT-32: cq.nv.wgmma a(

// PTX:     .extern .shared .align 1024
// PTX-DAG: mbarrier.init
// PTX-DAG: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes
// PTX-DAG: mbarrier.try_wait.parity
// PTX-DAG: wgmma.fence.sync.aligned;
// PTX-DAG: wgmma.mma_async.sync.aligned.m64n{{[0-9]+}}k16.f32.bf16.bf16
// PTX-DAG: wgmma.commit_group.sync.aligned;
// PTX-DAG: wgmma.wait_group.sync.aligned 0;

#scheme = #cq.scheme<bits = 3, group = 128, grid = symmetric, scale = f16>
#layout = #cq.layout<mma_fragment, [256 : 3]>

func.func @product(%x : memref<200x512xf32>, %q : memref<49152xi8>, %s : memref<1024xf16>, %y : memref<200x256xf32>) {
  cq.matmul x(%x : memref<200x512xf32>) codes(%q : memref<49152xi8>) scales(%s : memref<1024xf16>) outs(%y : memref<200x256xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<f32>}
  return
}

func.func @unknown(%x : memref<?x512xf32>, %q : memref<49152xi8>, %s : memref<1024xf16>, %y : memref<?x256xf32>) {
  cq.matmul x(%x : memref<?x512xf32>) codes(%q : memref<49152xi8>) scales(%s : memref<1024xf16>) outs(%y : memref<?x256xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<f32>}
  return
}
