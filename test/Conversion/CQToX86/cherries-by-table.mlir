// One token's cherries where registers have 512 bits: sixteen activations of a
// slot are eight looks into two registers each, and nothing is gathered or
// spilled.

// RUN: cq-opt --convert-cq-to-x86=isa=avx512vnni %s | grep -v cq.launch \
// RUN:   | cq-opt --convert-scf-to-cf --convert-vector-to-llvm --finalize-memref-to-llvm --convert-arith-to-llvm --convert-index-to-llvm --convert-cf-to-llvm --convert-func-to-llvm --reconcile-unrealized-casts \
// RUN:   | mlir-translate --mlir-to-llvmir -o %t.ll
// RUN: opt -O3 -mtriple=x86_64-linux-gnu -mcpu=cascadelake %t.ll | llc -O3 -mtriple=x86_64-linux-gnu -mcpu=cascadelake \
// RUN:   | FileCheck %s --implicit-check-not=vgather
// RUN: opt -O3 -mtriple=x86_64-linux-gnu -mcpu=znver5 %t.ll | llc -O3 -mtriple=x86_64-linux-gnu -mcpu=znver5 \
// RUN:   | FileCheck %s --implicit-check-not=vgather

// A token of long rows waits for memory: it gathers what it wants of x.
// RUN: sed 's/512/4096/g; s/110592/884736/g; s/4608/36864/g; s/1152/9216/g; s/1x8x/1x64x/g' %s \
// RUN:   | cq-opt --convert-cq-to-x86=isa=avx512vnni | FileCheck %s --check-prefix=LONG

// CHECK-LABEL: {{^}}cq_panels_k512_b3_g64{{.*}}slot1
// CHECK:       vpdpbusd
// CHECK-COUNT-8: vperm{{[it]}}2ps
// CHECK-NOT:   {{Spill|Reload}}
// CHECK:       vfmadd

// LONG-LABEL: func.func private @cq_panels_k4096_b3_g64
// LONG-NOT:   vpermi2var
// LONG:       vector.gather

#scheme = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#layout = #cq.layout<panel16, [576 : 3]>

func.func @product(%x : memref<1x512xf32>, %codes : memref<1x512xi8>, %s : memref<1x8xf32>, %z : memref<1x8xi32>,
                   %q : memref<110592xi8>, %qs : memref<4608xf16>,
                   %columns : memref<1152xi8>, %deltas : memref<1152xf16>, %y : memref<1x576xf32>) {
  cq.matmul x(%x : memref<1x512xf32>) activations(%codes, %s, %z : memref<1x512xi8>, memref<1x8xf32>, memref<1x8xi32>)
    codes(%q : memref<110592xi8>) scales(%qs : memref<4608xf16>) cherries(%columns, %deltas : memref<1152xi8>, memref<1152xf16>)
    outs(%y : memref<1x576xf32>)
    {scheme = #scheme, layout = #layout, cherries = #cq.cherries<slot, 1>, mode = #cq.activation<int8>}
  return
}
