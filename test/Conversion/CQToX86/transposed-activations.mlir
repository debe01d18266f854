// Slot cherries of 16 and more tokens read x by columns: it is transposed once
// behind its quantization, for all products of it, and freed behind the last.
// Not so for a product behind another quantization into the same codes.
// RUN: cq-opt --convert-cq-to-x86=isa=avx2 %s | FileCheck %s

#scheme = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#layout = #cq.layout<panel16, [192 : 3]>

// CHECK-LABEL: func.func @products
// CHECK-SAME:    %[[X:[^:]+]]: memref<64x576xf32>, %[[Y:[^:]+]]: memref<64x576xf32>
// CHECK:       cq.launch @cq_dynamic_quantize_k576_g64_m64(%[[X]],
// CHECK:       %[[C:.*]] = memref.alloc() : memref<4x512x16xf32>
// CHECK:       cq.launch @[[T:cq_transpose_k576_m64]](%[[X]], %[[C]] :
// CHECK-NOT:   cq_transpose
// CHECK:       cq.launch @[[P:cq_matmul.*_m64_transposed_avx2]](%[[C]],
// CHECK-NOT:   dealloc
// CHECK:       cq.launch @[[P]](%[[C]],
// CHECK:       memref.dealloc %[[C]]
// CHECK:       cq.launch @cq_dynamic_quantize_k576_g64_m64(%[[Y]],
// CHECK:       cq.launch @[[T]](%[[Y]], %[[D:[^ ]+]] :
// CHECK:       cq.launch @[[P]](%[[D]],
// CHECK:       memref.dealloc %[[D]]
func.func @products(%x : memref<64x576xf32>, %other : memref<64x576xf32>,
                    %a : memref<64x576xi8>, %s : memref<64x9xf32>, %z : memref<64x9xi32>,
                    %q : memref<41472xi8>, %qs : memref<1728xf16>,
                    %columns : memref<384xi8>, %deltas : memref<384xf16>,
                    %y0 : memref<64x192xf32>, %y1 : memref<64x192xf32>) {
  cq.dynamic_quantize %x : memref<64x576xf32> outs(%a, %s, %z : memref<64x576xi8>, memref<64x9xf32>, memref<64x9xi32>) {group = 64 : i64}
  cq.matmul x(%x : memref<64x576xf32>) activations(%a, %s, %z : memref<64x576xi8>, memref<64x9xf32>, memref<64x9xi32>)
    codes(%q : memref<41472xi8>) scales(%qs : memref<1728xf16>) cherries(%columns, %deltas : memref<384xi8>, memref<384xf16>) outs(%y0 : memref<64x192xf32>)
    {scheme = #scheme, layout = #layout, cherries = #cq.cherries<slot, 1>, mode = #cq.activation<int8>}
  cq.matmul x(%x : memref<64x576xf32>) activations(%a, %s, %z : memref<64x576xi8>, memref<64x9xf32>, memref<64x9xi32>)
    codes(%q : memref<41472xi8>) scales(%qs : memref<1728xf16>) cherries(%columns, %deltas : memref<384xi8>, memref<384xf16>) outs(%y1 : memref<64x192xf32>)
    {scheme = #scheme, layout = #layout, cherries = #cq.cherries<slot, 1>, mode = #cq.activation<int8>}
  cq.dynamic_quantize %other : memref<64x576xf32> outs(%a, %s, %z : memref<64x576xi8>, memref<64x9xf32>, memref<64x9xi32>) {group = 64 : i64}
  cq.matmul x(%other : memref<64x576xf32>) activations(%a, %s, %z : memref<64x576xi8>, memref<64x9xf32>, memref<64x9xi32>)
    codes(%q : memref<41472xi8>) scales(%qs : memref<1728xf16>) cherries(%columns, %deltas : memref<384xi8>, memref<384xf16>) outs(%y0 : memref<64x192xf32>)
    {scheme = #scheme, layout = #layout, cherries = #cq.cherries<slot, 1>, mode = #cq.activation<int8>}
  return
}
