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

// Two products that share a zero after CSE: each fills its own buffer, nothing is
// copied (the RUN line forbids allocations: results are destinations).
// CHECK-LABEL: func.func @cq_shared
// CHECK: linalg.fill {{.*}} outs(%[[A:.*]] : memref<2x3xf32>)
// CHECK: linalg.matmul {{.*}} outs(%[[A]] :
// CHECK: linalg.fill {{.*}} outs(%[[B:.*]] : memref<2x3xf32>)
// CHECK: linalg.matmul {{.*}} outs(%[[B]] :
// CHECK-NOT: copy
// CHECK: return{{$}}
func.func @shared(%x: tensor<2x4xf32>, %v: tensor<4x3xf32>, %w: tensor<4x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x3xf32>) -> tensor<2x3xf32>
  %a = linalg.matmul ins(%x, %v : tensor<2x4xf32>, tensor<4x3xf32>) outs(%f : tensor<2x3xf32>) -> tensor<2x3xf32>
  %b = linalg.matmul ins(%x, %w : tensor<2x4xf32>, tensor<4x3xf32>) outs(%f : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %a, %b : tensor<2x3xf32>, tensor<2x3xf32>
}
