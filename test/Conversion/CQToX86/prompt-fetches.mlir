// 32 tokens are four tiles: each asks for a quarter of the codes of the next
// piece, a group at a time, between its products and its fold (3 bits times 128
// columns are twelve lines a panel, of two panels), and unpacking asks for none:
// many at once would stop the core.
// RUN: cq-opt --convert-cq-to-x86=isa=avx512 %s | FileCheck %s --check-prefixes=CHECK,VECTOR
// Tiles of sixteen tokens are two, and ask for half.
// RUN: cq-opt --convert-cq-to-x86=isa=avx512amx %s | FileCheck %s --check-prefixes=CHECK,TILE

// CHECK-LABEL: func.func {{.*}}@cq_panels_k256_b3_g128
// CHECK-NOT:       memref.prefetch {{.*}}xi8>
// VECTOR-COUNT-16: pmaddubs
// VECTOR-COUNT-6:  memref.prefetch {{.*}} : memref<?xi8>
// TILE-COUNT-2:    tdpbsud
// TILE-COUNT-12:   memref.prefetch {{.*}} : memref<?xi8>
// CHECK-NOT:       memref.prefetch
// CHECK-COUNT-16:  llvm.intr.fma
// CHECK-NOT:       memref.prefetch
// CHECK:           return

#scheme = #cq.scheme<bits = 3, group = 128, grid = symmetric, scale = f16>
#layout = #cq.layout<panel16, [32 : 3]>

func.func @product(%x : memref<32x256xi8>, %s : memref<32x2xf32>, %z : memref<32x2xi32>,
                   %q : memref<3072xi8>, %qs : memref<64xf16>, %y : memref<32x32xf32>) {
  cq.matmul activations(%x, %s, %z : memref<32x256xi8>, memref<32x2xf32>, memref<32x2xi32>)
    codes(%q : memref<3072xi8>) scales(%qs : memref<64xf16>) outs(%y : memref<32x32xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<int8>}
  return
}
