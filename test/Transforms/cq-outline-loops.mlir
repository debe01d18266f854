// RUN: cq-opt %s --cq-outline-loops --canonicalize --split-input-file | FileCheck %s

// Two blocks that call different kernels share what stands around the calls: a
// buffer that only the run uses goes along, one that a kernel uses stays.

#id = affine_map<(i) -> (i)>

func.func private @kernel_2(memref<8xf32>)
func.func private @kernel_3(memref<8xf32>)

// CHECK-LABEL: func.func private @block_0(
// CHECK-SAME:      %[[X:[^:]*]]: memref<8xf32>, %[[Y:[^:]*]]: memref<8xf32>
// CHECK-NEXT:    %[[A:.*]] = memref.alloc() : memref<8xf32>
// CHECK-NEXT:    call @block_0_loops(%[[X]], %[[A]])
// CHECK-NEXT:    call @kernel_2(%[[A]])
// CHECK-NEXT:    call @block_0_loops_0(%[[A]], %[[Y]])
// CHECK-NEXT:    memref.dealloc %[[A]]
// CHECK-NEXT:    return
func.func private @block_0(%x: memref<8xf32>, %y: memref<8xf32>) {
  %two = arith.constant 2.0 : f32
  %a = memref.alloc() : memref<8xf32>
  %t = memref.alloc() : memref<8xf32>
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%x : memref<8xf32>) outs(%t : memref<8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.mulf %in, %two : f32
    linalg.yield %0 : f32
  }
  memref.copy %t, %a : memref<8xf32> to memref<8xf32>
  memref.dealloc %t : memref<8xf32>
  call @kernel_2(%a) : (memref<8xf32>) -> ()
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%a : memref<8xf32>) outs(%y : memref<8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.mulf %in, %two : f32
    linalg.yield %0 : f32
  }
  memref.dealloc %a : memref<8xf32>
  linalg.fill ins(%two : f32) outs(%y : memref<8xf32>)
  return
}

// CHECK-LABEL: func.func private @block_1(
// CHECK:         call @block_0_loops(
// CHECK-NEXT:    call @kernel_3(
// CHECK-NEXT:    call @block_0_loops_0(
func.func private @block_1(%x: memref<8xf32>, %y: memref<8xf32>) {
  %two = arith.constant 2.0 : f32
  %a = memref.alloc() : memref<8xf32>
  %t = memref.alloc() : memref<8xf32>
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%x : memref<8xf32>) outs(%t : memref<8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.mulf %in, %two : f32
    linalg.yield %0 : f32
  }
  memref.copy %t, %a : memref<8xf32> to memref<8xf32>
  memref.dealloc %t : memref<8xf32>
  call @kernel_3(%a) : (memref<8xf32>) -> ()
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%a : memref<8xf32>) outs(%y : memref<8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.mulf %in, %two : f32
    linalg.yield %0 : f32
  }
  memref.dealloc %a : memref<8xf32>
  linalg.fill ins(%two : f32) outs(%y : memref<8xf32>)
  return
}

// CHECK:       func.func private @block_0_loops(
// CHECK-SAME:      %[[X:[^:]*]]: memref<8xf32>, %[[A:[^:]*]]: memref<8xf32>)
// CHECK-NEXT:    %[[TWO:.*]] = arith.constant 2.0
// CHECK-NEXT:    %[[T:.*]] = memref.alloc()
// CHECK-NEXT:    linalg.generic {{.*}} ins(%[[X]] {{.*}} outs(%[[T]]
// CHECK:         memref.copy %[[T]], %[[A]]
// CHECK-NEXT:    memref.dealloc %[[T]]
// CHECK-NEXT:    return
// CHECK:       func.func private @block_0_loops_0(
// CHECK-NOT:   func.func

// -----

// A function with calls only passes addresses on; a private one may copy, a
// function without other ops would call its own copy.

// CHECK:       func.func private @kernel()
// CHECK-LABEL: func.func @entry(
// CHECK-NEXT:    call @entry_loops(
// CHECK-NEXT:    call @kernel()
// CHECK-NEXT:    return
// CHECK-LABEL: func.func private @short(
// CHECK-NEXT:    call @entry_loops(
// CHECK-NEXT:    call @kernel()
// CHECK-NEXT:    return
// CHECK-LABEL: func.func private @copies(
// CHECK-NEXT:    memref.copy
// CHECK-NEXT:    call @kernel()
// CHECK-LABEL: func.func private @whole(
// CHECK:         linalg.fill
// CHECK-LABEL: func.func private @entry_loops(
// CHECK:         linalg.fill
// CHECK-NOT:   func.func
func.func private @kernel()
func.func @entry(%a: memref<8xf32>, %c: f32) {
  linalg.fill ins(%c : f32) outs(%a : memref<8xf32>)
  call @kernel() : () -> ()
  return
}
func.func private @short(%a: memref<8xf32>, %c: f32) {
  linalg.fill ins(%c : f32) outs(%a : memref<8xf32>)
  call @kernel() : () -> ()
  return
}
func.func private @copies(%a: memref<8xf32>, %b: memref<8xf32>) {
  memref.copy %a, %b : memref<8xf32> to memref<8xf32>
  call @kernel() : () -> ()
  return
}
func.func private @whole(%a: memref<8xf32>, %c: f32) {
  linalg.fill ins(%c : f32) outs(%a : memref<8xf32>)
  linalg.fill ins(%c : f32) outs(%a : memref<8xf32>)
  return
}
