// RUN: cq-opt --convert-cq-to-llvm %s | FileCheck %s

// CHECK: func.func private @cq_parallel_for(!llvm.ptr, !llvm.ptr, i64)

// CHECK-LABEL: func.func private @kernel(
func.func private @kernel(%x: memref<8xf32>, %s: f32, %begin: index, %end: index) {
  return
}
// One thunk for both launches: takes the operands out of the struct again.
// CHECK: func.func private @kernel_thunk(%[[CONTEXT:.*]]: !llvm.ptr, %[[BEGIN:.*]]: i64, %[[END:.*]]: i64)
// CHECK: llvm.getelementptr %[[CONTEXT]][0, 0]
// CHECK: llvm.getelementptr %[[CONTEXT]][0, 1]
// CHECK: call @kernel(
// CHECK-NOT: @kernel_thunk(

// The struct is in the entry block, so that a loop does not grow the stack.
// CHECK-LABEL: func.func @f(
// CHECK-COUNT-2: llvm.alloca
// CHECK: scf.for
// CHECK: constant @kernel_thunk
// CHECK: call @cq_parallel_for
func.func @f(%x: memref<8xf32>, %s: f32, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    cq.launch @kernel(%x, %s : memref<8xf32>, f32) tasks(%n)
  }
  cq.launch @kernel(%x, %s : memref<8xf32>, f32) tasks(%n)
  return
}

func.func private @product(%codes: memref<16384xi8>, %columns: memref<16383xi8>, %x: memref<1x16384xi8>, %begin: index, %end: index) {
  return
}

// The runtime hears which codes are read, and nothing of smaller planes and of
// activations.
// CHECK-LABEL: func.func @reads(
// CHECK-SAME: %[[CODES:[a-z0-9]+]]: memref<16384xi8>
// CHECK: %[[BYTES:.*]] = llvm.mlir.constant(16384 : i64)
// CHECK: %[[ADDRESS:.*]] = memref.extract_aligned_pointer_as_index %[[CODES]]
// CHECK: %[[INTEGER:.*]] = arith.index_cast %[[ADDRESS]]
// CHECK: %[[POINTER:.*]] = llvm.inttoptr %[[INTEGER]]
// CHECK: call @cq_reads(%[[POINTER]], %[[BYTES]])
// CHECK-NOT: call @cq_reads
// CHECK: call @cq_parallel_for
func.func @reads(%codes: memref<16384xi8>, %columns: memref<16383xi8>, %x: memref<1x16384xi8>, %n: index) {
  cq.launch @product(%codes, %columns, %x : memref<16384xi8>, memref<16383xi8>, memref<1x16384xi8>) tasks(%n)
  return
}
