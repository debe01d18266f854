// One token, 3 bits: every activation is a broadcast inside its vpdpbusd, fields
// stay in place (masks only, two shifts a unit), codes further on are fetched
// (each of a unit's three vectors), and nothing is spilled. These
// levels are checked by their assembly here; bits are checked by emulation in
// unittests/Conversion.

// RUN: cq-opt --convert-cq-to-x86=isa=avx512vnni %s | grep -v cq.launch \
// RUN:   | cq-opt --convert-scf-to-cf --convert-vector-to-llvm --finalize-memref-to-llvm --convert-arith-to-llvm --convert-index-to-llvm --convert-cf-to-llvm --convert-func-to-llvm --reconcile-unrealized-casts \
// RUN:   | mlir-translate --mlir-to-llvmir -o %t.ll
// RUN: opt -O3 -mtriple=x86_64-linux-gnu -mcpu=cascadelake %t.ll | llc -O3 -mtriple=x86_64-linux-gnu -mcpu=cascadelake -o %t.clx.s
// RUN: FileCheck %s < %t.clx.s
// RUN: FileCheck %s --check-prefix=CLEAN < %t.clx.s
// RUN: FileCheck %s --check-prefix=FETCH < %t.clx.s
// RUN: FileCheck %s --check-prefix=PROMPT < %t.clx.s
// RUN: FileCheck %s --check-prefix=INNER < %t.clx.s
// RUN: opt -O3 -mtriple=x86_64-linux-gnu -mcpu=znver4 %t.ll | llc -O3 -mtriple=x86_64-linux-gnu -mcpu=znver4 -o %t.zn4.s
// RUN: FileCheck %s < %t.zn4.s
// RUN: FileCheck %s --check-prefix=CLEAN < %t.zn4.s
// RUN: FileCheck %s --check-prefix=PROMPT < %t.zn4.s
// RUN: FileCheck %s --check-prefix=INNER < %t.zn4.s

// RUN: cq-opt --convert-cq-to-x86=target-cpu=alderlake %s | grep -v cq.launch \
// RUN:   | cq-opt --convert-scf-to-cf --convert-vector-to-llvm --finalize-memref-to-llvm --convert-arith-to-llvm --convert-index-to-llvm --convert-cf-to-llvm --convert-func-to-llvm --reconcile-unrealized-casts \
// RUN:   | mlir-translate --mlir-to-llvmir | opt -O3 -mtriple=x86_64-linux-gnu -mcpu=alderlake \
// RUN:   | llc -O3 -mtriple=x86_64-linux-gnu -mcpu=alderlake | FileCheck %s --check-prefix=AVXVNNI

// CHECK-LABEL: {{^}}cq_panels_k576_b3_g64
// A group of 64: 16 quads.
// CHECK-COUNT-16: vpdpbusd {{.*}}{1to16}
// CHECK:       vfmadd
// CHECK-NOT:   vpdpbusd
// CHECK-LABEL: {{^}}cq_matmul_w576x576_b8
// CLEAN-LABEL: {{^}}cq_panels_k576_b3_g64
// CLEAN-NOT:   Spill
// CLEAN-NOT:   Reload
// CLEAN-LABEL: {{^}}cq_matmul_w576x576_b8

// Sixteen tokens, two panels times eight: each of four quads is 16 products,
// and no sum leaves its register (the groups' float sums do, once a group).
// PROMPT-LABEL: {{^}}cq_panels_k576_b8_g64{{.*}}m16
// PROMPT-COUNT-64: vpdpbusd
// PROMPT-NOT:      vpdpbusd
// INNER-LABEL: {{^}}cq_panels_k576_b8_g64{{.*}}m16
// INNER:       vpdpbusd
// INNER-NOT:   {{Spill|Reload}}
// INNER:       {{j[a-z]+}} .LBB

// FETCH-LABEL: {{^}}cq_panels_k576_b3_g64
// Five lines of scales of a panel to come, then six vectors of codes.
// FETCH-COUNT-5: prefetcht0
// FETCH: vmovdqu64
// FETCH-COUNT-6: prefetcht0
// FETCH-NOT:   prefetcht0
// FETCH-LABEL: {{^}}cq_matmul_w576x576_b8

// AVXVNNI-LABEL: {{^}}cq_panels_k576_b3_g64
// AVXVNNI:       {vex} vpdpbusd {{.*}}%ymm

#scheme = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#layout = #cq.layout<panel16, [576 : 3]>

func.func @product(%x : memref<1x576xi8>, %s : memref<1x9xf32>, %z : memref<1x9xi32>,
                   %q : memref<124416xi8>, %qs : memref<5184xf16>, %y : memref<1x576xf32>) {
  cq.matmul activations(%x, %s, %z : memref<1x576xi8>, memref<1x9xf32>, memref<1x9xi32>)
    codes(%q : memref<124416xi8>) scales(%qs : memref<5184xf16>) outs(%y : memref<1x576xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<int8>}
  return
}

#bytes = #cq.scheme<bits = 8, group = 64, grid = symmetric, scale = f16>
#eight = #cq.layout<panel16, [576 : 8]>
func.func @prompt(%x : memref<16x576xi8>, %s : memref<16x9xf32>, %z : memref<16x9xi32>,
                  %q : memref<331776xi8>, %qs : memref<5184xf16>, %y : memref<16x576xf32>) {
  cq.matmul activations(%x, %s, %z : memref<16x576xi8>, memref<16x9xf32>, memref<16x9xi32>)
    codes(%q : memref<331776xi8>) scales(%qs : memref<5184xf16>) outs(%y : memref<16x576xf32>)
    {scheme = #bytes, layout = #eight, mode = #cq.activation<int8>}
  return
}
