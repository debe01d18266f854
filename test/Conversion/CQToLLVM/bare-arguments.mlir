// RUN: cq-opt %s --cq-bare-arguments --split-input-file | FileCheck %s
// RUN: cq-opt %s --cq-bare-arguments --cq-convert-all-to-llvm --split-input-file | FileCheck %s --check-prefix=LLVM

// CHECK-LABEL: func.func private @callee
// CHECK-SAME: (%arg0: !llvm.ptr, %arg1: memref<?xf32>, %arg2: memref<4xf32, strided<[1], offset: ?>>, %arg3: index)
// LLVM-LABEL: llvm.func @callee
// LLVM-SAME: (%arg0: !llvm.ptr, %arg1: !llvm.ptr, %arg2: !llvm.ptr, %arg3: i64, %arg4: i64, %arg5: i64,
// LLVM: llvm.getelementptr{{.*}} %arg0
func.func private @callee(%whole: memref<4x8xf32>, %any: memref<?xf32>,
                          %part: memref<4xf32, strided<[1], offset: ?>>, %i: index) {
  %value = memref.load %whole[%i, %i] : memref<4x8xf32>
  memref.store %value, %any[%i] : memref<?xf32>
  memref.store %value, %part[%i] : memref<4xf32, strided<[1], offset: ?>>
  return
}

// CHECK-LABEL: func.func @root
// CHECK: llvm.extractvalue %{{.*}}[1]
// CHECK: call @callee
func.func @root(%whole: memref<4x8xf32>, %any: memref<?xf32>,
                %part: memref<4xf32, strided<[1], offset: ?>>, %i: index) {
  call @callee(%whole, %any, %part, %i)
      : (memref<4x8xf32>, memref<?xf32>, memref<4xf32, strided<[1], offset: ?>>, index) -> ()
  return
}

// -----

// The address that was allocated is needed to free it; a function whose address
// is taken keeps its signature.

// CHECK-LABEL: func.func private @frees(%arg0: memref<8xf32>)
func.func private @frees(%x: memref<8xf32>) {
  memref.dealloc %x : memref<8xf32>
  return
}
// CHECK-LABEL: func.func private @addressed(%arg0: memref<8xf32>)
func.func private @addressed(%x: memref<8xf32>) { return }

func.func @root(%x: memref<8xf32>) -> ((memref<8xf32>) -> ()) {
  call @frees(%x) : (memref<8xf32>) -> ()
  %f = constant @addressed : (memref<8xf32>) -> ()
  return %f : (memref<8xf32>) -> ()
}
