// Kernels of rows are one launch without loops in front of them, however few
// their elements: quantization and transposition of what another launch made.
// RUN: cq-opt %s --cq-parallelize-rows | FileCheck %s

func.func private @quantize(memref<8x32xf32>, memref<8x32xi8>, memref<8x1xf32>, memref<8x1xi32>, index, index) attributes {cq.rows_of_task = array<i64: 1, 2, 3>}
func.func private @transpose(memref<8x32xf32>, memref<1x32x16xf32>, index, index) attributes {cq.rows_of_task = array<i64: 1>}
func.func private @product(memref<1x32x16xf32>, index, index)

// CHECK-LABEL: func.func @kernels(
// CHECK:         %[[N:c8_.*]] = arith.constant 8 : index
// CHECK-NEXT:    cq.launch @cq_rows({{.*}}) tasks(%[[N]])
// CHECK-NEXT:    cq.launch @product(
// CHECK-NEXT:    return
func.func @kernels(%x: memref<8x32xf32>) {
  %c8 = arith.constant 8 : index
  %c = memref.alloc() : memref<8x32xi8>
  %d = memref.alloc() : memref<8x1xf32>
  %e = memref.alloc() : memref<8x1xi32>
  cq.launch @quantize(%x, %c, %d, %e : memref<8x32xf32>, memref<8x32xi8>, memref<8x1xf32>, memref<8x1xi32>) tasks(%c8)
  %t = memref.alloc() : memref<1x32x16xf32>
  cq.launch @transpose(%x, %t : memref<8x32xf32>, memref<1x32x16xf32>) tasks(%c8)
  cq.launch @product(%t : memref<1x32x16xf32>) tasks(%c8)
  return
}

// A launch of other tasks stays as it is, and so does one alone.
// CHECK-LABEL: func.func @others(
// CHECK-NOT:     cq_rows
// CHECK:         return
func.func @others(%x: memref<8x32xf32>) {
  %c8 = arith.constant 8 : index
  %c4 = arith.constant 4 : index
  %t = memref.alloc() : memref<1x32x16xf32>
  %u = memref.alloc() : memref<1x32x16xf32>
  cq.launch @transpose(%x, %t : memref<8x32xf32>, memref<1x32x16xf32>) tasks(%c8)
  cq.launch @transpose(%x, %u : memref<8x32xf32>, memref<1x32x16xf32>) tasks(%c4)
  return
}
// CHECK-LABEL: func.func private @cq_rows(
// CHECK:         call @quantize(
// CHECK-NEXT:    call @transpose(
// CHECK-NEXT:    return
