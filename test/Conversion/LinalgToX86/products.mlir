// RUN: cq-opt --convert-linalg-to-x86 %s | FileCheck %s
// RUN: cq-opt --convert-linalg-to-x86=parallel=false %s | FileCheck %s --check-prefix=SERIAL
// RUN: cq-opt --convert-linalg-to-x86=vector-bits=512 %s | FileCheck %s --check-prefix=WIDE

#mk = affine_map<(m, n, k) -> (m, k)>
#nk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>

// Decode: rows of the weight are read where they lie. The fill is gone and the
// kernel is told not to read C.
// CHECK-LABEL: @decode
// CHECK-NOT: linalg.fill
// CHECK: %[[NO:.*]] = arith.constant false
// CHECK: cq.launch @cq_f32_dot_1({{.*}}, %[[NO]] : {{.*}}) tasks(
// SERIAL-LABEL: @decode
// SERIAL: call @cq_f32_dot_1(
func.func @decode(%x: memref<1x576xf32>, %w: memref<1536x576xf32>, %y: memref<1x1536xf32>) {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%y : memref<1x1536xf32>)
  linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : memref<1x576xf32>, memref<1536x576xf32>) outs(%y : memref<1x1536xf32>)
  return
}

// Prefill: the activations are packed by all threads, then multiplied.
// CHECK-LABEL: @prefill
// CHECK: %[[YES:.*]] = arith.constant true
// CHECK: call @cq_workspace
// CHECK: cq.launch @cq_f32_pack(
// CHECK: cq.launch @cq_f32_packed_nk({{.*}}, %[[YES]] : {{.*}}) tasks(
func.func @prefill(%x: memref<64x576xf32>, %w: memref<1536x576xf32>, %y: memref<64x1536xf32>) {
  linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : memref<64x576xf32>, memref<1536x576xf32>) outs(%y : memref<64x1536xf32>)
  return
}

// Something reads C between fill and product: the fill stays.
// CHECK-LABEL: @observed
// CHECK: scf.for
// CHECK: memref.store
// CHECK: memref.load
// CHECK: arith.constant true
// CHECK: cq.launch @cq_f32_dot_1
func.func @observed(%x: memref<1x576xf32>, %w: memref<1536x576xf32>, %y: memref<1x1536xf32>) -> f32 {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  linalg.fill ins(%zero : f32) outs(%y : memref<1x1536xf32>)
  %v = memref.load %y[%c0, %c0] : memref<1x1536xf32>
  linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : memref<1x576xf32>, memref<1536x576xf32>) outs(%y : memref<1x1536xf32>)
  return %v : f32
}

// Q · Kᵀ of many tokens: a task transposes its keys, and no sum is horizontal.
// CHECK-LABEL: @scores
// CHECK: cq.launch @cq_f32_direct_nk_6
func.func @scores(%q: memref<3x64x64xf32>, %k: memref<128x3x64xf32>, %s: memref<3x64x128xf32>) {
  linalg.generic {
    indexing_maps = [affine_map<(h, m, t, k) -> (h, m, k)>, affine_map<(h, m, t, k) -> (t, h, k)>, affine_map<(h, m, t, k) -> (h, m, t)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
    ins(%q, %k : memref<3x64x64xf32>, memref<128x3x64xf32>) outs(%s : memref<3x64x128xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %r = arith.addf %o, %p : f32
    linalg.yield %r : f32
  }
  return
}

// Decode with seven heads that share keys and values: as few passes over them as
// registers allow, of about the same number of rows.
// CHECK-LABEL: @seven_heads
// CHECK: cq.launch @cq_f32_dot_3
// CHECK: cq.launch @cq_f32_direct_few_4
// WIDE-LABEL: @seven_heads
// WIDE: cq.launch @cq_f32_dot_4
// WIDE: cq.launch @cq_f32_direct_few_7
func.func @seven_heads(%q: memref<2x7x64xf32>, %k: memref<128x2x64xf32>, %s: memref<2x7x128xf32>, %o: memref<2x7x64xf32>) {
  linalg.generic {
    indexing_maps = [affine_map<(h, m, t, k) -> (h, m, k)>, affine_map<(h, m, t, k) -> (t, h, k)>, affine_map<(h, m, t, k) -> (h, m, t)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
    ins(%q, %k : memref<2x7x64xf32>, memref<128x2x64xf32>) outs(%s : memref<2x7x128xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %r = arith.addf %c, %p : f32
    linalg.yield %r : f32
  }
  linalg.generic {
    indexing_maps = [affine_map<(h, m, d, t) -> (h, m, t)>, affine_map<(h, m, d, t) -> (t, h, d)>, affine_map<(h, m, d, t) -> (h, m, d)>],
    iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
    ins(%s, %k : memref<2x7x128xf32>, memref<128x2x64xf32>) outs(%o : memref<2x7x64xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %r = arith.addf %c, %p : f32
    linalg.yield %r : f32
  }
  return
}

// Too little work for a second thread.
// CHECK-LABEL: @tiny
// CHECK: call @cq_f32_dot_2(
func.func @tiny(%x: memref<2x8xf32>, %w: memref<16x8xf32>, %y: memref<2x16xf32>) {
  linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : memref<2x8xf32>, memref<16x8xf32>) outs(%y : memref<2x16xf32>)
  return
}

// Not f32, so loops; the reduction is carried in a register and may reassociate.
// CHECK-LABEL: @loops
// CHECK: scf.for {{.*}} iter_args
// CHECK: arith.addf {{.*}} fastmath<reassoc>
func.func @loops(%x: memref<2x8xf64>, %w: memref<16x8xf64>, %y: memref<2x16xf64>) {
  linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : memref<2x8xf64>, memref<16x8xf64>) outs(%y : memref<2x16xf64>)
  return
}

// Maxima of rows are vectors: four of a register, the last ones masked.
// CHECK-LABEL: @maxima
// CHECK: scf.for {{.*}} iter_args({{.*}}) -> (vector<32xf32>)
// CHECK: arith.maxnumf {{.*}} : vector<32xf32>
// CHECK: vector.maskedload {{.*}} vector<32xf32>
// CHECK: vector.reduction <maxnumf>
func.func @maxima(%x: memref<3x?xf32>, %y: memref<3xf32>) {
  linalg.generic {
    indexing_maps = [affine_map<(i, k) -> (i, k)>, affine_map<(i, k) -> (i)>],
    iterator_types = ["parallel", "reduction"]}
    ins(%x : memref<3x?xf32>) outs(%y : memref<3xf32>) {
  ^bb0(%a: f32, %most: f32):
    %r = arith.maxnumf %most, %a : f32
    linalg.yield %r : f32
  }
  return
}

// Not along rows: loops.
// CHECK-LABEL: @maxima_of_columns
// CHECK-NOT: vector
// CHECK: arith.maxnumf {{.*}} : f32
// CHECK: return
func.func @maxima_of_columns(%x: memref<8x3xf32>, %y: memref<3xf32>) {
  linalg.generic {
    indexing_maps = [affine_map<(i, k) -> (k, i)>, affine_map<(i, k) -> (i)>],
    iterator_types = ["parallel", "reduction"]}
    ins(%x : memref<8x3xf32>) outs(%y : memref<3xf32>) {
  ^bb0(%a: f32, %most: f32):
    %r = arith.maxnumf %most, %a : f32
    linalg.yield %r : f32
  }
  return
}

// One kernel a family, never inlined, shared by all products of the module.
// CHECK-COUNT-1: func.func private @cq_f32_dot_1({{.*}}passthrough = ["noinline"]
// CHECK-NOT: func.func private @cq_f32_dot_1
