// Causal attention of many tokens is one launch over heads and blocks of two
// vectors of tokens; what is freed in between is freed behind it. Scores that
// somebody else reads, and another mask, stay loops.
// RUN: cq-opt --convert-attention-to-x86=vector-bits=512 %s | FileCheck %s
// RUN: cq-opt --convert-attention-to-x86="vector-bits=512 parallel=false" %s | FileCheck %s --check-prefix=CALL
// RUN: sed s,//COPY,, %s | cq-opt --convert-attention-to-x86=vector-bits=512 | FileCheck %s --check-prefix=LOOPS
// RUN: sed 's,cmpi ule,cmpi ult,' %s | cq-opt --convert-attention-to-x86=vector-bits=512 | FileCheck %s --check-prefix=LOOPS

// LOOPS-NOT: cq_attention

// CHECK-LABEL: func.func @block(
// CHECK-SAME:    %[[Q:[^:]+]]: memref<3x64x16xf32>, %[[K:[^:]+]]: memref<?x3x16xf32>, %[[V:[^:]+]]: memref<?x3x16xf32>, %[[P:[^:]+]]: index
// CHECK-NOT:     linalg
// CHECK:         %[[Y:.*]] = memref.alloc() : memref<32x3x2x16xf32>
// CHECK:         %[[T:.*]] = arith.constant 6 : index
// CHECK-NEXT:    cq.launch @cq_attention_3x2_m32_d16(%[[Q]], %[[K]], %[[V]], %[[Y]], %[[P]] : {{.*}}) tasks(%[[T]])
// CHECK-NEXT:    memref.dealloc
// CHECK-NOT:     linalg
// CHECK:         return
// CHECK:       func.func private @cq_attention_3x2_m32_d16(
// CHECK-COUNT-16: vector.fma
// CHECK:         math.exp %{{.*}} : vector<16xf32>
// CALL:          call @cq_attention_3x2_m32_d16({{.*}}%c0{{.*}}, %c6
#qk0 = affine_map<(g, r, l, k) -> (g, r, k)>
#qk1 = affine_map<(g, r, l, k) -> (l, g, k)>
#first = affine_map<(g, r, l, k) -> (g, r, l)>
#all = affine_map<(a, b, c, d) -> (a, b, c, d)>
#three = affine_map<(a, b, c) -> (a, b, c)>
#two = affine_map<(a, b, c) -> (a, b)>
#pv1 = affine_map<(g, r, n, l) -> (l, g, n)>
#by = affine_map<(m, g, h, d) -> (g, h, m, d)>
#sum = affine_map<(m, g, h, d) -> (g, h, m)>
func.func @block(%q: memref<3x64x16xf32>, %k: memref<?x3x16xf32>, %v: memref<?x3x16xf32>, %position: index, %length: index, %other: memref<3x64x?xf32>) -> memref<32x3x2x16xf32> {
  %z = arith.constant 0.0 : f32
  %least = arith.constant 0xFF800000 : f32
  %s = memref.alloc(%length) : memref<3x64x?xf32>
  linalg.fill ins(%z : f32) outs(%s : memref<3x64x?xf32>)
  linalg.generic {indexing_maps = [#qk0, #qk1, #first], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%q, %k : memref<3x64x16xf32>, memref<?x3x16xf32>) outs(%s : memref<3x64x?xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  }
  //COPY memref.copy %s, %other : memref<3x64x?xf32> to memref<3x64x?xf32>
  %s4 = memref.expand_shape %s [[0], [1, 2], [3]] output_shape [3, 2, 32, %length] : memref<3x64x?xf32> into memref<3x2x32x?xf32>
  linalg.generic {indexing_maps = [#all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} outs(%s4 : memref<3x2x32x?xf32>) {
  ^bb0(%o: f32):
    %0 = linalg.index 2 : index
    %1 = linalg.index 3 : index
    %2 = arith.addi %0, %position : index
    %3 = arith.cmpi ule, %1, %2 : index
    %4 = arith.select %3, %o, %least : f32
    linalg.yield %4 : f32
  }
  %m = memref.alloc() : memref<3x64xf32>
  linalg.fill ins(%least : f32) outs(%m : memref<3x64xf32>)
  linalg.generic {indexing_maps = [#three, #two], iterator_types = ["parallel", "parallel", "reduction"]} ins(%s : memref<3x64x?xf32>) outs(%m : memref<3x64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = arith.maxnumf %o, %a : f32
    linalg.yield %0 : f32
  }
  linalg.generic {indexing_maps = [#two, #three], iterator_types = ["parallel", "parallel", "parallel"]} ins(%m : memref<3x64xf32>) outs(%s : memref<3x64x?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = arith.subf %o, %a : f32
    %1 = math.exp %0 : f32
    linalg.yield %1 : f32
  }
  memref.dealloc %m : memref<3x64xf32>
  %t = memref.alloc() : memref<3x64xf32>
  linalg.fill ins(%z : f32) outs(%t : memref<3x64xf32>)
  linalg.generic {indexing_maps = [#three, #two], iterator_types = ["parallel", "parallel", "reduction"]} ins(%s : memref<3x64x?xf32>) outs(%t : memref<3x64xf32>) {
  ^bb0(%a: f32, %o: f32):
    %0 = arith.addf %o, %a : f32
    linalg.yield %0 : f32
  }
  %w = memref.alloc() : memref<3x64x16xf32>
  linalg.fill ins(%z : f32) outs(%w : memref<3x64x16xf32>)
  linalg.generic {indexing_maps = [#qk0, #pv1, #first], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%s, %v : memref<3x64x?xf32>, memref<?x3x16xf32>) outs(%w : memref<3x64x16xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.mulf %a, %b : f32
    %1 = arith.addf %o, %0 : f32
    linalg.yield %1 : f32
  }
  memref.dealloc %s : memref<3x64x?xf32>
  %w4 = memref.expand_shape %w [[0], [1, 2], [3]] output_shape [3, 2, 32, 16] : memref<3x64x16xf32> into memref<3x2x32x16xf32>
  %t3 = memref.expand_shape %t [[0], [1, 2]] output_shape [3, 2, 32] : memref<3x64xf32> into memref<3x2x32xf32>
  %y = memref.alloc() : memref<32x3x2x16xf32>
  linalg.generic {indexing_maps = [#by, #sum, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%w4, %t3 : memref<3x2x32x16xf32>, memref<3x2x32xf32>) outs(%y : memref<32x3x2x16xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %0 = arith.divf %a, %b : f32
    linalg.yield %0 : f32
  }
  memref.dealloc %w : memref<3x64x16xf32>
  memref.dealloc %t : memref<3x64xf32>
  return %y : memref<32x3x2x16xf32>
}
