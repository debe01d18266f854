// RUN: cq-opt %s --cq-parallelize-rows="min-work=1 min-tasks=4" --split-input-file | FileCheck %s
// RUN: cq-opt %s --cq-parallelize-rows --split-input-file | FileCheck %s --check-prefix=SMALL

// A norm and the quantization behind it: one launch over tokens, one pass over
// each. What is freed in between is freed behind; the fill of a product's
// result stays where the product finds it.

// SMALL-NOT: cq_rows

#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
func.func private @quantize(memref<8x32xf32>, memref<8x32xi8>, memref<8x1xf32>, memref<8x1xi32>, index, index) attributes {cq.rows_of_task = array<i64: 1, 2, 3>}

// CHECK-LABEL: func.func @norm(
// CHECK:         %[[N:c8_.*]] = arith.constant 8 : index
// CHECK-NEXT:    cq.launch @cq_rows({{.*}}) tasks(%[[N]])
// CHECK-NEXT:    memref.dealloc
// CHECK-NEXT:    linalg.fill
// CHECK-NEXT:    return
func.func @norm(%x: memref<8x32xf32>, %zero: f32, %p: memref<8x16xf32>) {
  %c8 = arith.constant 8 : index
  %s = memref.alloc() : memref<8xf32>
  %y = memref.alloc() : memref<8x32xf32>
  %c = memref.alloc() : memref<8x32xi8>
  %d = memref.alloc() : memref<8x1xf32>
  %e = memref.alloc() : memref<8x1xi32>
  %t = memref.alloc() : memref<8x16xf32>
  linalg.fill ins(%zero : f32) outs(%s : memref<8xf32>)
  linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%x : memref<8x32xf32>) outs(%s : memref<8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.mulf %in, %in : f32
    %1 = arith.addf %out, %0 : f32
    linalg.yield %1 : f32
  }
  linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %s : memref<8x32xf32>, memref<8xf32>) outs(%y : memref<8x32xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %0 = arith.divf %in, %in_1 : f32
    linalg.yield %0 : f32
  }
  memref.dealloc %s : memref<8xf32>
  cq.launch @quantize(%y, %c, %d, %e : memref<8x32xf32>, memref<8x32xi8>, memref<8x1xf32>, memref<8x1xi32>) tasks(%c8)
  linalg.fill ins(%zero : f32) outs(%t : memref<8x16xf32>)
  return
}
// CHECK-LABEL: func.func private @cq_rows(
// CHECK-SAME:      %{{[^:]*}}: f32, %[[S:[^:]*]]: memref<8xf32>, %[[X:[^:]*]]: memref<8x32xf32>, %[[Y:[^:]*]]: memref<8x32xf32>,
// CHECK-SAME:      %[[BEGIN:[^: ]*]]: index, %[[END:[^: ]*]]: index)
// CHECK:         %[[COUNT:.*]] = arith.subi %[[END]], %[[BEGIN]]
// CHECK:         %[[S1:.*]] = memref.subview %[[S]][%[[BEGIN]]] [%[[COUNT]]] [1]
// CHECK-NEXT:    linalg.fill {{.*}} outs(%[[S1]] :
// CHECK:         %[[X2:.*]] = memref.subview %[[X]][%[[BEGIN]], 0] [%[[COUNT]], 32] [1, 1]
// CHECK:         linalg.generic {{.*}} ins(%[[X2]]
// CHECK:         linalg.generic
// CHECK:         call @quantize(%[[Y]], {{.*}}, %[[BEGIN]], %[[END]])
// CHECK-NEXT:    return

// -----

// A mask that asks for the row's number, and values from outside.

#id = affine_map<(i, j) -> (i, j)>
// CHECK-LABEL: func.func @mask(
// CHECK:         cq.launch @cq_rows(%{{.*}}, %{{.*}} : memref<8x?xf32>, index)
func.func @mask(%n: index, %position: index) {
  %low = arith.constant -1.0 : f32
  %s = memref.alloc(%n) : memref<8x?xf32>
  linalg.generic {indexing_maps = [#id], iterator_types = ["parallel", "parallel"]} outs(%s : memref<8x?xf32>) {
  ^bb0(%out: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %last = arith.addi %i, %position : index
    %later = arith.cmpi ugt, %j, %last : index
    %0 = arith.select %later, %low, %out : f32
    linalg.yield %0 : f32
  }
  return
}
// CHECK-LABEL: func.func private @cq_rows(
// CHECK-SAME:      %{{.*}}: memref<8x?xf32>, %[[P:[^:]*]]: index, %[[BEGIN:[^: ]*]]: index,
// CHECK:           %[[I:.*]] = linalg.index 0
// CHECK-NEXT:      %[[ROW:.*]] = arith.addi %[[I]], %[[BEGIN]]
// CHECK-NEXT:      linalg.index 1
// CHECK-NEXT:      arith.addi %[[ROW]], %[[P]]

// -----

// Rows that need other rows, and results that may be anybody's.

#id = affine_map<(i, j) -> (i, j)>
#turned = affine_map<(i, j) -> (j, i)>
// CHECK-LABEL: func.func @apart(
// CHECK-NOT:     cq.launch @cq_rows{{.*}}memref<8x8xf32>, memref<8x8xf32>, memref<8x8xf32>
// CHECK:         linalg.generic
// CHECK-NEXT:    ^bb0
// CHECK:         return
func.func @apart(%x: memref<8x8xf32>, %y: memref<8x8xf32>) {
  %s = memref.alloc() : memref<8x8xf32>
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : memref<8x8xf32>) outs(%s : memref<8x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  }
  linalg.generic {indexing_maps = [#turned, #id], iterator_types = ["parallel", "parallel"]} ins(%s : memref<8x8xf32>) outs(%y : memref<8x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  }
  return
}

// -----

// Views of one buffer that have the same rows: both members of rotary pairs,
// then the quantization of a collapsed view.

#pair = affine_map<(i, j) -> (i, j)>
func.func private @quantize(memref<8x32xf32>, memref<8x32xi8>, memref<8x1xf32>, memref<8x1xi32>, index, index) attributes {cq.rows_of_task = array<i64: 1, 2, 3>}

// CHECK-LABEL: func.func @views(
// CHECK:         cq.launch @cq_rows
// CHECK-NOT:     cq.launch
// CHECK:         return
func.func @views(%x: memref<8x16xf32>) {
  %c8 = arith.constant 8 : index
  %y = memref.alloc() : memref<8x2x16xf32>
  %c = memref.alloc() : memref<8x32xi8>
  %d = memref.alloc() : memref<8x1xf32>
  %e = memref.alloc() : memref<8x1xi32>
  %y0 = memref.subview %y[0, 0, 0] [8, 1, 16] [1, 1, 1] : memref<8x2x16xf32> to memref<8x16xf32, strided<[32, 1]>>
  linalg.generic {indexing_maps = [#pair, #pair], iterator_types = ["parallel", "parallel"]} ins(%x : memref<8x16xf32>) outs(%y0 : memref<8x16xf32, strided<[32, 1]>>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  }
  %y1 = memref.subview %y[0, 1, 0] [8, 1, 16] [1, 1, 1] : memref<8x2x16xf32> to memref<8x16xf32, strided<[32, 1], offset: 16>>
  linalg.generic {indexing_maps = [#pair, #pair], iterator_types = ["parallel", "parallel"]} ins(%x : memref<8x16xf32>) outs(%y1 : memref<8x16xf32, strided<[32, 1], offset: 16>>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.negf %in : f32
    linalg.yield %0 : f32
  }
  %z = memref.collapse_shape %y [[0], [1, 2]] : memref<8x2x16xf32> into memref<8x32xf32>
  cq.launch @quantize(%z, %c, %d, %e : memref<8x32xf32>, memref<8x32xi8>, memref<8x1xf32>, memref<8x1xi32>) tasks(%c8)
  return
}

// Row i of one view is row i + 1 of the other.
// CHECK-LABEL: func.func @shifted(
// CHECK-NEXT:    memref.alloc
// CHECK:         cq.launch @cq_rows
// CHECK:         cq.launch @cq_rows
// CHECK:         return
func.func @shifted(%x: memref<8x2xf32>) {
  %y = memref.alloc() : memref<9x2xf32>
  %y0 = memref.subview %y[0, 0] [8, 2] [1, 1] : memref<9x2xf32> to memref<8x2xf32, strided<[2, 1]>>
  linalg.generic {indexing_maps = [#pair, #pair], iterator_types = ["parallel", "parallel"]} ins(%x : memref<8x2xf32>) outs(%y0 : memref<8x2xf32, strided<[2, 1]>>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  }
  %y1 = memref.subview %y[1, 0] [8, 2] [1, 1] : memref<9x2xf32> to memref<8x2xf32, strided<[2, 1], offset: 2>>
  linalg.generic {indexing_maps = [#pair, #pair], iterator_types = ["parallel", "parallel"]} ins(%x : memref<8x2xf32>) outs(%y1 : memref<8x2xf32, strided<[2, 1], offset: 2>>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  }
  return
}
