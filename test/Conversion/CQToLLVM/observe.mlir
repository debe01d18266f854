// RUN: cq-opt --convert-cq-to-llvm %s | FileCheck %s
// RUN: cq-opt --convert-cq-to-llvm --expand-strided-metadata --lower-affine --finalize-memref-to-llvm --convert-arith-to-llvm --convert-func-to-llvm --reconcile-unrealized-casts %s | FileCheck %s --check-prefix=LLVM

// CHECK: func.func private @cq_observe(i64, i64, !llvm.ptr, !llvm.ptr)
// LLVM: llvm.func @cq_observe(i64, i64, !llvm.ptr, !llvm.ptr)
// LLVM-NOT: unrealized_conversion_cast

// CHECK-LABEL: func.func @block(
// CHECK-SAME: %[[BASE:[a-z0-9]+]]: index)
// The arrays are in the entry block, before anything else.
// CHECK-DAG: %[[ADDRESSES:.*]] = llvm.alloca %{{.*}} x !llvm.ptr
// CHECK-DAG: %[[SIZES:.*]] = llvm.alloca %{{.*}} x i64
// CHECK-COUNT-2: memref.extract_aligned_pointer_as_index
// CHECK: %[[START:.*]] = arith.index_cast %[[BASE]] : index to i64
// CHECK: %[[NUMBER:.*]] = arith.addi %[[START]], %{{.*}} : i64
// CHECK: call @cq_observe(%[[NUMBER]], %{{.*}}, %[[ADDRESSES]], %[[SIZES]])
func.func @block(%x: memref<2x8xf32>, %y: memref<2x8xf32>, %base: index) {
  cq.observe block [%base + 5] (%x, %y) : memref<2x8xf32>, memref<2x8xf32>
  return
}

// Offset and number of rows known at run time only.
// CHECK-LABEL: func.func @slice(
// CHECK: memref.dim
// CHECK: memref.extract_strided_metadata
// CHECK: call @cq_observe(
func.func @slice(%x: memref<?x3x8xf32, strided<[24, 8, 1], offset: ?>>) {
  cq.observe input [0] (%x) : memref<?x3x8xf32, strided<[24, 8, 1], offset: ?>>
  return
}
