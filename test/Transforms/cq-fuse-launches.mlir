// RUN: cq-opt %s --cq-fuse-launches --split-input-file | FileCheck %s

// q, k and v: three launches become one, the tasks of one behind those of the
// other. v was too small for a launch of its own. What is freed in between is
// freed behind.

func.func private @big(memref<1x8xf32>, memref<4xi8>, memref<1x40xf32>, index, index) attributes {cq.written = 2 : index, cq.columns_of_task = 16 : index}
func.func private @small(memref<1x8xf32>, memref<2xi8>, memref<1x16xf32>, index, index) attributes {cq.written = 2 : index}

// CHECK-LABEL: func.func @qkv(
// CHECK:         %[[T:.*]] = memref.alloc() : memref<2xf32>
// CHECK:         %[[N:.*]] = arith.constant 5 : index
// CHECK-NEXT:    cq.launch @cq_fused(%{{.*}}) tasks(%[[N]])
// CHECK-NEXT:    memref.dealloc %[[T]]
// CHECK-NOT:     cq.launch
// CHECK:         return
func.func @qkv(%x: memref<1x8xf32>, %a: memref<4xi8>, %b: memref<4xi8>, %c: memref<2xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %t = memref.alloc() : memref<2xf32>
  %q = memref.alloc() : memref<1x40xf32>
  cq.launch @big(%x, %a, %q : memref<1x8xf32>, memref<4xi8>, memref<1x40xf32>) tasks(%c2)
  memref.dealloc %t : memref<2xf32>
  %k = memref.alloc() : memref<1x40xf32>
  cq.launch @big(%x, %b, %k : memref<1x8xf32>, memref<4xi8>, memref<1x40xf32>) tasks(%c2)
  %v = memref.alloc() : memref<1x16xf32>
  func.call @small(%x, %c, %v, %c0, %c1) : (memref<1x8xf32>, memref<2xi8>, memref<1x16xf32>, index, index) -> ()
  memref.dealloc %q : memref<1x40xf32>
  memref.dealloc %k : memref<1x40xf32>
  memref.dealloc %v : memref<1x16xf32>
  return
}

// CHECK-LABEL: func.func private @cq_fused(
// CHECK-SAME:      %[[X:[^:]*]]: memref<1x8xf32>, %[[A:[^:]*]]: memref<4xi8>, %[[Q:[^:]*]]: memref<1x40xf32>, %[[B:[^:]*]]: memref<4xi8>, %[[K:[^:]*]]: memref<1x40xf32>, %[[C:[^:]*]]: memref<2xi8>, %[[V:[^:]*]]: memref<1x16xf32>, %[[BEGIN:[^:]*]]: index, %[[END:[^:]*]]: index)
// CHECK:         scf.if
// CHECK:           call @big(%[[X]], %[[A]], %[[Q]],
// CHECK:         %[[TWO:.*]] = arith.constant 2 : index
// CHECK:         %[[FOUR:.*]] = arith.constant 4 : index
// CHECK:         %[[FROM:.*]] = arith.maxui %[[BEGIN]], %[[TWO]]
// CHECK:         %[[TO:.*]] = arith.minui %[[END]], %[[FOUR]]
// CHECK:         arith.cmpi ult, %[[FROM]], %[[TO]]
// CHECK-NEXT:    scf.if
// CHECK:           %[[F:.*]] = arith.subi %[[FROM]], %[[TWO]]
// CHECK:           %[[L:.*]] = arith.subi %[[TO]], %[[TWO]]
// CHECK:           call @big(%[[X]], %[[B]], %[[K]], %[[F]], %[[L]])
// CHECK:         scf.if
// CHECK:           call @small(%[[X]], %[[C]], %[[V]],

// -----

// gate, up and what combines them in place, then down and the residual sum: two
// launches. The epilogue sees columns [16 begin, min(16 end, N)).

#id = affine_map<(i, j) -> (i, j)>
func.func private @wide(memref<1x8xf32>, memref<4xi8>, memref<1x40xf32>, index, index) attributes {cq.written = 2 : index, cq.columns_of_task = 16 : index}
func.func private @down(memref<1x40xf32>, memref<4xi8>, memref<1x8xf32>, index, index) attributes {cq.written = 2 : index, cq.columns_of_task = 16 : index}

// CHECK-LABEL: func.func private @mlp(
// CHECK:         cq.launch @cq_fused({{.*}}) tasks(%[[N:.*]])
// CHECK-NOT:     linalg.generic
// CHECK:         cq.launch @cq_fused_1({{.*}}) tasks(
// CHECK-NEXT:    return
func.func private @mlp(%x: memref<1x8xf32>, %a: memref<4xi8>, %b: memref<4xi8>, %c: memref<4xi8>, %y: memref<1x8xf32>) {
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %g = memref.alloc() : memref<1x40xf32>
  %u = memref.alloc() : memref<1x40xf32>
  cq.launch @wide(%x, %a, %g : memref<1x8xf32>, memref<4xi8>, memref<1x40xf32>) tasks(%c3)
  cq.launch @wide(%x, %b, %u : memref<1x8xf32>, memref<4xi8>, memref<1x40xf32>) tasks(%c3)
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%u : memref<1x40xf32>) outs(%g : memref<1x40xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.mulf %in, %out : f32
    linalg.yield %0 : f32
  }
  %d = memref.alloc() : memref<1x8xf32>
  cq.launch @down(%g, %c, %d : memref<1x40xf32>, memref<4xi8>, memref<1x8xf32>) tasks(%c1)
  linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %d : memref<1x8xf32>, memref<1x8xf32>) outs(%y : memref<1x8xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %0 = arith.addf %in, %in_1 : f32
    linalg.yield %0 : f32
  }
  return
}
func.func @main(%x: memref<1x8xf32>, %a: memref<4xi8>) {
  %y = memref.alloc() : memref<1x8xf32>
  call @mlp(%x, %a, %a, %a, %y) : (memref<1x8xf32>, memref<4xi8>, memref<4xi8>, memref<4xi8>, memref<1x8xf32>) -> ()
  return
}

// CHECK-LABEL: func.func private @cq_epilogue(
// CHECK-SAME:      %[[U:[^:]*]]: memref<1x40xf32>, %[[G:[^:]*]]: memref<1x40xf32>, %[[BEGIN:[^:]*]]: index, %[[END:[^:]*]]: index)
// CHECK:         %[[COLUMNS:.*]] = arith.constant 40 : index
// CHECK:         %[[FIRST:.*]] = arith.minui %{{.*}}, %[[COLUMNS]]
// CHECK:         %[[LENGTH:.*]] = arith.subi %{{.*}}, %[[FIRST]]
// CHECK:         %[[US:.*]] = memref.subview %[[U]][0, %[[FIRST]]] [1, %[[LENGTH]]] [1, 1]
// CHECK:         %[[GS:.*]] = memref.subview %[[G]][0, %[[FIRST]]] [1, %[[LENGTH]]] [1, 1]
// CHECK:         linalg.generic {{.*}} ins(%[[US]] : {{.*}}) outs(%[[GS]] :
// CHECK-LABEL: func.func private @cq_fused(
// CHECK-SAME:      %[[BEGIN:[^: ]*]]: index, %[[END:[^: ]*]]: index)
// CHECK-NEXT:    call @wide({{.*}}, %[[BEGIN]], %[[END]])
// CHECK-NEXT:    call @wide({{.*}}, %[[BEGIN]], %[[END]])
// CHECK-NEXT:    call @cq_epilogue({{.*}}, %[[BEGIN]], %[[END]])
// CHECK-NEXT:    return

// -----

// A bias belongs to its own product; both products stay one launch.

#id = affine_map<(i, j) -> (i, j)>
#columns = affine_map<(i, j) -> (j)>
func.func private @p(memref<?x8xf32>, memref<?x40xf32>, index, index) attributes {cq.written = 1 : index, cq.columns_of_task = 16 : index}

// CHECK-LABEL: func.func @bias(
// CHECK:         %[[N:.*]] = arith.constant 6 : index
// CHECK-NEXT:    cq.launch @cq_fused({{.*}}) tasks(%[[N]])
// CHECK-NEXT:    return
func.func @bias(%m: index, %x: memref<?x8xf32>, %b: memref<40xf32>) {
  %c3 = arith.constant 3 : index
  %q = memref.alloc(%m) : memref<?x40xf32>
  %k = memref.alloc(%m) : memref<?x40xf32>
  cq.launch @p(%x, %q : memref<?x8xf32>, memref<?x40xf32>) tasks(%c3)
  linalg.generic {indexing_maps = [#columns, #id], iterator_types = ["parallel", "parallel"]} ins(%b : memref<40xf32>) outs(%q : memref<?x40xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.addf %in, %out : f32
    linalg.yield %0 : f32
  }
  cq.launch @p(%x, %k : memref<?x8xf32>, memref<?x40xf32>) tasks(%c3)
  return
}
// CHECK-LABEL: func.func private @cq_epilogue(
// CHECK:         memref.subview %{{.*}}[%[[FIRST:.*]]] [%[[LENGTH:.*]]] [1]
// CHECK:         memref.subview %{{.*}}[0, %[[FIRST]]] [%{{.*}}, %[[LENGTH]]] [1, 1]
// CHECK-LABEL: func.func private @cq_fused(
// CHECK:         scf.if
// CHECK:           call @p(
// CHECK-NEXT:      call @cq_epilogue(
// CHECK:         scf.if
// CHECK:           call @p(

// -----

// What has to stay apart.

#id = affine_map<(i, j) -> (i, j)>
#turned = affine_map<(i, j) -> (j, i)>
func.func private @p(memref<16x16xf32>, memref<16x16xf32>, index, index) attributes {cq.written = 1 : index, cq.columns_of_task = 16 : index}
func.func private @scattered(memref<16x16xf32>, memref<16x16xf32>, index, index) attributes {cq.written = 1 : index}

// One reads what the other writes.
// CHECK-LABEL: func.func @chain(
// CHECK:         cq.launch @p(
// CHECK:         cq.launch @p(
func.func @chain(%x: memref<16x16xf32>) {
  %c1 = arith.constant 1 : index
  %a = memref.alloc() : memref<16x16xf32>
  %b = memref.alloc() : memref<16x16xf32>
  cq.launch @p(%x, %a : memref<16x16xf32>, memref<16x16xf32>) tasks(%c1)
  cq.launch @p(%a, %b : memref<16x16xf32>, memref<16x16xf32>) tasks(%c1)
  return
}

// A result that may be the other's x: both are arguments.
// CHECK-LABEL: func.func @arguments(
// CHECK:         cq.launch @p(
// CHECK:         cq.launch @p(
func.func @arguments(%x: memref<16x16xf32>, %y: memref<16x16xf32>, %z: memref<16x16xf32>) {
  %c1 = arith.constant 1 : index
  cq.launch @p(%x, %y : memref<16x16xf32>, memref<16x16xf32>) tasks(%c1)
  cq.launch @p(%x, %z : memref<16x16xf32>, memref<16x16xf32>) tasks(%c1)
  return
}

// The same, known from the caller.
// CHECK-LABEL: func.func private @twice(
// CHECK:         cq.launch @p(
// CHECK:         linalg.generic
func.func private @twice(%x: memref<16x16xf32>, %y: memref<16x16xf32>) {
  %c1 = arith.constant 1 : index
  %a = memref.alloc() : memref<16x16xf32>
  cq.launch @p(%x, %a : memref<16x16xf32>, memref<16x16xf32>) tasks(%c1)
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%a : memref<16x16xf32>) outs(%y : memref<16x16xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  }
  return
}
func.func @caller() {
  %x = memref.alloc() : memref<16x16xf32>
  call @twice(%x, %x) : (memref<16x16xf32>, memref<16x16xf32>) -> ()
  return
}

// Columns of the result come from all columns of the product.
// CHECK-LABEL: func.func @turned(
// CHECK:         cq.launch @p(
// CHECK:         linalg.generic
func.func @turned(%x: memref<16x16xf32>) {
  %c1 = arith.constant 1 : index
  %a = memref.alloc() : memref<16x16xf32>
  %b = memref.alloc() : memref<16x16xf32>
  cq.launch @p(%x, %a : memref<16x16xf32>, memref<16x16xf32>) tasks(%c1)
  linalg.generic {indexing_maps = [#turned, #id], iterator_types = ["parallel", "parallel"]} ins(%a : memref<16x16xf32>) outs(%b : memref<16x16xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  }
  return
}

// Rows in another order: the columns of a task are anywhere.
// CHECK-LABEL: func.func @permuted(
// CHECK:         cq.launch @scattered(
// CHECK:         linalg.generic
func.func @permuted(%x: memref<16x16xf32>) {
  %c1 = arith.constant 1 : index
  %a = memref.alloc() : memref<16x16xf32>
  cq.launch @scattered(%x, %a : memref<16x16xf32>, memref<16x16xf32>) tasks(%c1)
  linalg.generic {indexing_maps = [#id], iterator_types = ["parallel", "parallel"]} outs(%a : memref<16x16xf32>) {
  ^bb0(%out: f32):
    %0 = arith.negf %out : f32
    linalg.yield %0 : f32
  }
  return
}

// The sum goes into what the product reads: other tasks still need it.
// CHECK-LABEL: func.func @inPlace(
// CHECK:         cq.launch @p(
// CHECK:         linalg.generic
func.func @inPlace() {
  %c1 = arith.constant 1 : index
  %x = memref.alloc() : memref<16x16xf32>
  %a = memref.alloc() : memref<16x16xf32>
  cq.launch @p(%x, %a : memref<16x16xf32>, memref<16x16xf32>) tasks(%c1)
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%a : memref<16x16xf32>) outs(%x : memref<16x16xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.addf %in, %out : f32
    linalg.yield %0 : f32
  }
  return
}

// Something in between reads memory.
// CHECK-LABEL: func.func @between(
// CHECK:         cq.launch @p(
// CHECK:         memref.load
// CHECK:         cq.launch @p(
func.func @between(%x: memref<16x16xf32>) -> f32 {
  %c1 = arith.constant 1 : index
  %a = memref.alloc() : memref<16x16xf32>
  %b = memref.alloc() : memref<16x16xf32>
  cq.launch @p(%x, %a : memref<16x16xf32>, memref<16x16xf32>) tasks(%c1)
  %v = memref.load %a[%c1, %c1] : memref<16x16xf32>
  cq.launch @p(%x, %b : memref<16x16xf32>, memref<16x16xf32>) tasks(%c1)
  return %v : f32
}
