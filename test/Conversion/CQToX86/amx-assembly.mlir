// Prompts on CPUs with AMX: of two panels times sixteen tokens, a group of 128
// columns is four multiplications of tiles, the last four tokens of twenty take
// tiles of their own shape, and no tile is spilled. Fewer than sixteen tokens
// are products of vectors. Bits are checked by emulation in
// unittests/Conversion, and in an emulated CPU (scripts/test-emulated-cpu).

// RUN: cq-opt --convert-cq-to-x86=target-cpu=sapphirerapids %s | grep -v cq.launch \
// RUN:   | cq-opt --convert-scf-to-cf --convert-vector-to-llvm --finalize-memref-to-llvm --convert-arith-to-llvm --convert-index-to-llvm --convert-cf-to-llvm --convert-func-to-llvm --reconcile-unrealized-casts \
// RUN:   | mlir-translate --mlir-to-llvmir \
// RUN:   | opt -O3 -mtriple=x86_64-linux-gnu -mcpu=sapphirerapids \
// RUN:   | llc -O3 -mtriple=x86_64-linux-gnu -mcpu=sapphirerapids -o %t.s
// RUN: FileCheck %s < %t.s
// RUN: FileCheck %s --check-prefix=CLEAN < %t.s
// RUN: cq-opt --convert-cq-to-x86=target-cpu=sapphirerapids %s | FileCheck %s --check-prefix=MEMORY

// CHECK-LABEL: {{^}}cq_panels_k512_b3_g128{{.*}}m20_avx512amx:
// CHECK:       ldtilecfg
// CHECK:       tilezero
// CHECK:       tileloadd
// CHECK-COUNT-4: tdpbsud
// CHECK-NOT:   tdpbsud
// CHECK-COUNT-2: tilestored
// CHECK-COUNT-32: vfmadd231ps
// CHECK:       tilezero
// CHECK-COUNT-4: tdpbsud
// CHECK-COUNT-2: tilestored
// CHECK-COUNT-8: vfmadd231ps
// CHECK:       tilerelease
// CLEAN-LABEL: {{^}}cq_panels_k512_b3_g128{{.*}}m20_avx512amx:
// CLEAN-NOT:   {{vpdpbusd|tile.*(Spill|Reload)}}
// CLEAN-LABEL: {{^}}cq_panels_k512_b3_g128{{.*}}m8_avx512amx:
// CLEAN-NOT:   {{ldtilecfg|tdpbsud}}
// CLEAN:       vpdpbusd
// CLEAN-NOT:   {{ldtilecfg|tdpbsud}}
// CLEAN-LABEL: {{^}}cq_panels_k512_b8_g128

// Codes of eight bits are multiplied where they are, others from memory of a
// piece of a panel.
// MEMORY-LABEL: func.func private @cq_panels_k512_b3_g128{{.*}}m20_avx512amx(
// MEMORY-COUNT-2: memref.alloca() {alignment = 64 : i64} : memref<8192xi8>
// MEMORY-LABEL: func.func private @cq_panels_k512_b8_g128{{.*}}m16_avx512amx(
// MEMORY-NOT:   memref.alloca(){{.*}}xi8>
// MEMORY:       memref.alloca() {alignment = 64 : i64} : memref<2x16x16xi32>
// MEMORY-NOT:   memref.alloca(){{.*}}xi8>

#scheme = #cq.scheme<bits = 3, group = 128, grid = symmetric, scale = f16>
#layout = #cq.layout<panel16, [512 : 3]>
func.func @prompt(%x : memref<20x512xi8>, %s : memref<20x4xf32>, %z : memref<20x4xi32>,
                  %q : memref<98304xi8>, %qs : memref<2048xf16>, %y : memref<20x512xf32>) {
  cq.matmul activations(%x, %s, %z : memref<20x512xi8>, memref<20x4xf32>, memref<20x4xi32>)
    codes(%q : memref<98304xi8>) scales(%qs : memref<2048xf16>) outs(%y : memref<20x512xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<int8>}
  return
}

func.func @few(%x : memref<8x512xi8>, %s : memref<8x4xf32>, %z : memref<8x4xi32>,
               %q : memref<98304xi8>, %qs : memref<2048xf16>, %y : memref<8x512xf32>) {
  cq.matmul activations(%x, %s, %z : memref<8x512xi8>, memref<8x4xf32>, memref<8x4xi32>)
    codes(%q : memref<98304xi8>) scales(%qs : memref<2048xf16>) outs(%y : memref<8x512xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<int8>}
  return
}

#bytes = #cq.scheme<bits = 8, group = 128, grid = symmetric, scale = f16>
#eight = #cq.layout<panel16, [512 : 8]>
func.func @whole(%x : memref<16x512xi8>, %s : memref<16x4xf32>, %z : memref<16x4xi32>,
                 %q : memref<262144xi8>, %qs : memref<2048xf16>, %y : memref<16x512xf32>) {
  cq.matmul activations(%x, %s, %z : memref<16x512xi8>, memref<16x4xf32>, memref<16x4xi32>)
    codes(%q : memref<262144xi8>) scales(%qs : memref<2048xf16>) outs(%y : memref<16x512xf32>)
    {scheme = #bytes, layout = #eight, mode = #cq.activation<int8>}
  return
}
