// RUN: cq-opt --convert-cq-to-x86=isa=avx2 %s | FileCheck %s
// RUN: cq-opt --convert-cq-to-x86=isa=avx2 %s | grep -c "func.func private" | FileCheck %s --check-prefix=COUNT

// COUNT: {{^}}9{{$}}

#scheme = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#layout = #cq.layout<panel16, [192 : 3]>

// Products of one shape share a kernel, another number of tokens has its own.
// CHECK-LABEL: func.func @products
// CHECK:         call @cq_dynamic_quantize_k576_g64_m1(
// CHECK:         %[[PANELS:.*]] = arith.constant 12 : index
// CHECK:         cq.launch @[[M1:cq_matmul_w192x576_b3_g64_symmetric_f16_panel16_int8_m1_avx2]](
// CHECK-SAME:      tasks(%[[PANELS]])
// CHECK:         cq.launch @[[M1]](
// CHECK:         cq.launch @[[M8:cq_matmul_w192x576_b3_g64_symmetric_f16_panel16_int8_m8_avx2]](
func.func @products(%x : memref<1x576xf32>, %x1 : memref<1x576xi8>, %s1 : memref<1x9xf32>, %z1 : memref<1x9xi32>,
                    %x8 : memref<8x576xi8>, %s8 : memref<8x9xf32>, %z8 : memref<8x9xi32>,
                    %q : memref<41472xi8>, %qs : memref<1728xf16>, %k : memref<41472xi8>, %ks : memref<1728xf16>,
                    %y : memref<1x192xf32>, %y8 : memref<8x192xf32>) {
  cq.dynamic_quantize %x : memref<1x576xf32> outs(%x1, %s1, %z1 : memref<1x576xi8>, memref<1x9xf32>, memref<1x9xi32>) {group = 64 : i64}
  cq.matmul activations(%x1, %s1, %z1 : memref<1x576xi8>, memref<1x9xf32>, memref<1x9xi32>)
    codes(%q : memref<41472xi8>) scales(%qs : memref<1728xf16>) outs(%y : memref<1x192xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<int8>}
  cq.matmul activations(%x1, %s1, %z1 : memref<1x576xi8>, memref<1x9xf32>, memref<1x9xi32>)
    codes(%k : memref<41472xi8>) scales(%ks : memref<1728xf16>) outs(%y : memref<1x192xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<int8>}
  cq.matmul activations(%x8, %s8, %z8 : memref<8x576xi8>, memref<8x9xf32>, memref<8x9xi32>)
    codes(%q : memref<41472xi8>) scales(%qs : memref<1728xf16>) outs(%y8 : memref<8x192xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<int8>}
  return
}

// CHECK-LABEL: func.func @embedding
// CHECK:         %[[ROWS:.*]] = memref.dim
// CHECK:         call @cq_gather_w192x576_b3_g64_symmetric_f16_panel16(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %[[ROWS]])
func.func @embedding(%tokens : memref<8xi32>, %q : memref<41472xi8>, %qs : memref<1728xf16>, %out : memref<8x576xf32>) {
  cq.gather %tokens : memref<8xi32> codes(%q : memref<41472xi8>) scales(%qs : memref<1728xf16>)
    outs(%out : memref<8x576xf32>) {scheme = #scheme, layout = #layout}
  return
}

// Any number of index dimensions is one list of rows.
// CHECK-LABEL: func.func @index_ranks
// CHECK:         memref.collapse_shape %{{.*}} {{\[\[}}0, 1]] : memref<2x4xi32> into memref<8xi32>
// CHECK:         memref.collapse_shape %{{.*}} {{\[\[}}0, 1], [2]] : memref<2x4x576xf32> into memref<8x576xf32>
// CHECK:         call @cq_gather_w192x576_b3_g64_symmetric_f16_panel16(
// CHECK:         memref.expand_shape
// CHECK:         memref.expand_shape
// CHECK:         call @cq_gather_w192x576_b3_g64_symmetric_f16_panel16_0(
func.func @index_ranks(%tokens : memref<2x4xi32>, %token : memref<i32>, %q : memref<41472xi8>, %qs : memref<1728xf16>,
                       %out : memref<2x4x576xf32>, %row : memref<576xf32>) {
  cq.gather %tokens : memref<2x4xi32> codes(%q : memref<41472xi8>) scales(%qs : memref<1728xf16>)
    outs(%out : memref<2x4x576xf32>) {scheme = #scheme, layout = #layout}
  cq.gather %token : memref<i32> codes(%q : memref<41472xi8>) scales(%qs : memref<1728xf16>)
    outs(%row : memref<576xf32>) {scheme = #scheme, layout = #layout}
  return
}

#rows = #cq.layout<panel16, [32 : 4, 160 : 3]>

// Rows of 3 bits are those of the weight above, wherever they are.
// CHECK-LABEL: func.func @rows
// CHECK:         cq.launch @[[MIXED:cq_matmul_w192x576_b3_g64_symmetric_f16_panel16_32b4_160b3_int8_m8_avx2]](
func.func @rows(%x8 : memref<8x576xi8>, %s8 : memref<8x9xf32>, %z8 : memref<8x9xi32>,
                %q : memref<43776xi8>, %qs : memref<1728xf16>, %y8 : memref<8x192xf32>) {
  cq.matmul activations(%x8, %s8, %z8 : memref<8x576xi8>, memref<8x9xf32>, memref<8x9xi32>)
    codes(%q : memref<43776xi8>) scales(%qs : memref<1728xf16>) outs(%y8 : memref<8x192xf32>)
    {scheme = #scheme, layout = #rows, mode = #cq.activation<int8>}
  return
}

// Kernels are private, and nothing of the dialect but the launches is left.
// CHECK:       func.func private @cq_dynamic_quantize_k576_g64_m1(
// CHECK:       func.func private @[[M1]](
// CHECK:         call @[[PANELS1:cq_panels_k576_b3_g64_symmetric_f16_panel16_int8_m1_avx2]](
// CHECK:       func.func private @[[PANELS1]](
// A group of 64 is two units of three vectors, each read in two halves.
// CHECK-COUNT-12: vector.load {{.*}} vector<32xi8>
// CHECK:       func.func private @[[M8]](
// CHECK:         call @[[PANELS8:cq_panels_k576_b3_g64_symmetric_f16_panel16_int8_m8_avx2]](
// CHECK:       func.func private @[[MIXED]](
// CHECK:         call @cq_panels_k576_b4_g64_symmetric_f16_panel16_int8_m8_avx2(
// CHECK:         call @[[PANELS8]](
// CHECK-NOT:   {{^ *cq\.}}
