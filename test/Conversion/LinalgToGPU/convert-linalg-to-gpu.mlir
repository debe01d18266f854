// RUN: cq-opt %s --convert-linalg-to-gpu --split-input-file | FileCheck %s
// RUN: cq-opt %s --convert-linalg-to-gpu=max-scalar=100 --cq-lower-gpu-kernels --split-input-file -o /dev/null

// A thread for each element; the second launch shares the kernel.
// CHECK-LABEL: func.func @map
// CHECK: %[[FLAT:.*]] = builtin.unrealized_conversion_cast %arg0 : memref<4x40xf32> to memref<1073741824xf32> {cq.offset = 0 : i64}
// CHECK: gpu.launch_func @cq_kernels::@cq_map_1 blocks in (%c2, %c1, %c1) threads in (%c128, %c1, %c1)
// CHECK: gpu.launch_func @cq_kernels::@cq_map_1
// CHECK: gpu.func @cq_map_1(%[[X:.*]]: memref<1073741824xf32>, %[[Y:.*]]: memref<1073741824xf32>) kernel attributes {cq.block = array<i32: 128, 1, 1>, cq.grid = array<i32: 2, 1, 1>}
// CHECK: scf.for
// CHECK: memref.load %[[X]]
// CHECK: arith.mulf
// CHECK: memref.store {{.*}}, %[[Y]]
// CHECK-NOT: gpu.func
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func @map(%x: memref<4x40xf32>, %y: memref<4x40xf32>, %z: memref<4x40xf32>) {
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : memref<4x40xf32>) outs(%y : memref<4x40xf32>) {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %a : f32
    linalg.yield %0 : f32
  }
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%y : memref<4x40xf32>) outs(%z : memref<4x40xf32>) {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.mulf %a, %a : f32
    linalg.yield %0 : f32
  }
  return
}

// -----

// A warp for each sum; the fill is no launch of its own.
// CHECK-LABEL: func.func @sum
// CHECK-COUNT-1: gpu.launch_func
// CHECK: return
// CHECK: gpu.func @cq_reduce_1
// CHECK: gpu.shuffle xor
// CHECK: scf.if
// CHECK: memref.store
func.func @sum(%x: memref<3x100xf32>, %y: memref<3xf32>) {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%y : memref<3xf32>)
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<3x100xf32>) outs(%y : memref<3xf32>) {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %b, %a : f32
    linalg.yield %0 : f32
  }
  return
}

// -----

// What depends on a scalar is computed in the kernel; buffers get their largest
// size, here the context.
// CHECK-LABEL: func.func @dynamic
// CHECK: memref.alloc() : memref<2048xf32>
// CHECK: %[[AT:.*]] = builtin.unrealized_conversion_cast %arg1 : index to memref<1xi64>
// CHECK: gpu.launch_func {{.*}} args({{.*}}%[[AT]]
// CHECK: gpu.func @cq_map_1
// CHECK: memref.load {{.*}} : memref<1xi64>
module attributes {cq.model = {context = 512 : i64}} {
func.func @dynamic(%x: memref<512x4xf32>, %length: index) {
  %y = memref.alloc(%length) : memref<?x4xf32>
  %some = memref.reinterpret_cast %x to offset: [0], sizes: [%length, 4], strides: [4, 1] : memref<512x4xf32> to memref<?x4xf32, strided<[4, 1]>>
  memref.copy %some, %y : memref<?x4xf32, strided<[4, 1]>> to memref<?x4xf32>
  return
}
}
