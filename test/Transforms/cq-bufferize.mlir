// RUN: cq-opt --cq-bind-parameters --cq-bufferize --canonicalize --cse --canonicalize %s \
// RUN:   | FileCheck %s --implicit-check-not=memref.alloc --implicit-check-not='copy{{.*}}16x4xf32'

// The slice of the cache that belongs to a block is passed without a copy, at any
// offset; its rows are written where they lie.
// CHECK-LABEL: func.func private @block(
// CHECK-SAME: memref<16x4xf32, strided<[4, 1], offset: ?>>
// CHECK: %[[ROW:.*]] = memref.subview
// CHECK: memref.copy %{{.*}}, %[[ROW]] : memref<1x4xf32{{.*}} to memref<1x4xf32
// CHECK: return{{$}}
// CHECK-LABEL: func.func @cq_step
// CHECK: call @block
// CHECK: call @block
// CHECK: return{{$}}
func.func private @block(%x: tensor<1x4xf32>, %pos: index, %cache: tensor<16x4xf32>) -> tensor<16x4xf32> {
  %c = tensor.insert_slice %x into %cache[%pos, 0] [1, 4] [1, 1] : tensor<1x4xf32> into tensor<16x4xf32>
  return %c : tensor<16x4xf32>
}
func.func @step(%x: tensor<1x4xf32>, %pos: index, %cache: tensor<2x16x4xf32>) -> tensor<2x16x4xf32> {
  %k0 = tensor.extract_slice %cache[0, 0, 0] [1, 16, 4] [1, 1, 1] : tensor<2x16x4xf32> to tensor<16x4xf32>
  %r0 = call @block(%x, %pos, %k0) : (tensor<1x4xf32>, index, tensor<16x4xf32>) -> tensor<16x4xf32>
  %c0 = tensor.insert_slice %r0 into %cache[0, 0, 0] [1, 16, 4] [1, 1, 1] : tensor<16x4xf32> into tensor<2x16x4xf32>
  %k1 = tensor.extract_slice %c0[1, 0, 0] [1, 16, 4] [1, 1, 1] : tensor<2x16x4xf32> to tensor<16x4xf32>
  %r1 = call @block(%x, %pos, %k1) : (tensor<1x4xf32>, index, tensor<16x4xf32>) -> tensor<16x4xf32>
  %c1 = tensor.insert_slice %r1 into %c0[1, 0, 0] [1, 16, 4] [1, 1, 1] : tensor<16x4xf32> into tensor<2x16x4xf32>
  return %c1 : tensor<2x16x4xf32>
}
