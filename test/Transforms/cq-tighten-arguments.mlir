// RUN: cq-opt %s --cq-tighten-arguments --split-input-file | FileCheck %s

// Whole at each call, there and one call further.

!any = memref<4x8xf32, strided<[8, 1], offset: ?>>

// CHECK-LABEL: func.func private @leaf(%arg0: memref<4x8xf32>)
func.func private @leaf(%x: !any) {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%x : !any)
  return
}

// CHECK-LABEL: func.func private @middle(%arg0: memref<4x8xf32>)
// CHECK: call @leaf(%arg0) : (memref<4x8xf32>) -> ()
func.func private @middle(%x: !any) {
  call @leaf(%x) : (!any) -> ()
  return
}

// CHECK-LABEL: func.func @root
func.func @root(%x: memref<4x8xf32>) {
  %cast = memref.cast %x : memref<4x8xf32> to !any
  // CHECK: call @middle(%arg0) : (memref<4x8xf32>) -> ()
  call @middle(%cast) : (!any) -> ()
  call @middle(%cast) : (!any) -> ()
  return
}

// -----

// A slice at one call keeps the offset, and so does what has an address taken
// or is public.

!any = memref<8xf32, strided<[1], offset: ?>>

// CHECK-LABEL: func.func private @sliced(%arg0: memref<8xf32, strided<[1], offset: ?>>)
func.func private @sliced(%x: !any) { return }
// CHECK-LABEL: func.func private @addressed(%arg0: memref<8xf32, strided<[1], offset: ?>>)
func.func private @addressed(%x: !any) { return }
// CHECK-LABEL: func.func @visible(%arg0: memref<8xf32, strided<[1], offset: ?>>)
func.func @visible(%x: !any) { return }

func.func @root(%x: memref<8xf32>, %y: memref<4x8xf32>) -> ((!any) -> ()) {
  %cast = memref.cast %x : memref<8xf32> to !any
  %row = memref.subview %y[2, 0] [1, 8] [1, 1] : memref<4x8xf32> to memref<8xf32, strided<[1], offset: 16>>
  %slice = memref.cast %row : memref<8xf32, strided<[1], offset: 16>> to !any
  call @sliced(%cast) : (!any) -> ()
  call @sliced(%slice) : (!any) -> ()
  call @addressed(%cast) : (!any) -> ()
  call @visible(%cast) : (!any) -> ()
  %f = constant @addressed : (!any) -> ()
  return %f : (!any) -> ()
}

// -----

// The same where the address is taken before the call.

!any = memref<8xf32, strided<[1], offset: ?>>

// CHECK-LABEL: func.func private @addressed_first(%arg0: memref<8xf32, strided<[1], offset: ?>>)
func.func private @addressed_first(%x: !any) { return }

func.func @root(%x: memref<8xf32>) -> ((!any) -> ()) {
  %cast = memref.cast %x : memref<8xf32> to !any
  %f = constant @addressed_first : (!any) -> ()
  call @addressed_first(%cast) : (!any) -> ()
  return %f : (!any) -> ()
}
