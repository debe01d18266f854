// Every op and attribute: parse, print, generic form, bytecode.
// RUN: cq-opt %s | cq-opt | FileCheck %s
// RUN: cq-opt %s --mlir-print-op-generic | cq-opt | FileCheck %s
// RUN: cq-opt %s --emit-bytecode | cq-opt | FileCheck %s

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#a = #cq.scheme<bits = 4, group = row, grid = affine, scale = f32>
#h = #cq.scheme<bits = 2, group = 32, grid = half_step, scale = bf16>
#l = #cq.layout<panel16, [192 : 3]>
#linear = #cq.layout<linear, [192 : 3]>
#la = #cq.layout<linear, [5 : 4]>
#lh = #cq.layout<panel16, [16 : 2, 3 : 2]>
#c = #cq.cherries<slot, 1>
#ce = #cq.cherries<element, 2>
#f32 = #cq.activation<f32>
#int8 = #cq.activation<int8>

// CHECK-LABEL: func.func @quantize
// CHECK: cq.extract_cherries %{{.*}} {cherries = #cq.cherries<slot, 1>, criterion = #cq.criterion<quant_error>, scheme = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>} : tensor<192x576xf32> -> tensor<384xi8>
// CHECK: cq.quantize %{{.*}} cherries(%{{.*}} : tensor<384xi8>) {{.*}}quantizer = #cq.quantizer<mse>{{.*}} : tensor<192x576xf32> -> tensor<192x576xi8>, tensor<192x9xf16> deltas tensor<384xf16>
// CHECK: cq.pack {{.*}}layout = #cq.layout<panel16, [192 : 3]>
func.func @quantize(%w : tensor<192x576xf32>)
    -> (tensor<41472xi8>, tensor<1728xf16>, tensor<384xi8>, tensor<384xf16>) {
  %columns = cq.extract_cherries %w {scheme = #s, cherries = #c, criterion = #cq.criterion<quant_error>}
      : tensor<192x576xf32> -> tensor<384xi8>
  %codes, %scales, %deltas = cq.quantize %w cherries(%columns : tensor<384xi8>)
      {scheme = #s, quantizer = #cq.quantizer<mse>, cherries = #c}
      : tensor<192x576xf32> -> tensor<192x576xi8>, tensor<192x9xf16> deltas tensor<384xf16>
  %pc, %ps = cq.pack %codes scales(%scales : tensor<192x9xf16>) {scheme = #s, layout = #l}
      : tensor<192x576xi8> -> tensor<41472xi8>, tensor<1728xf16>
  return %pc, %ps, %columns, %deltas
      : tensor<41472xi8>, tensor<1728xf16>, tensor<384xi8>, tensor<384xf16>
}

// CHECK-LABEL: func.func @dequantize
// CHECK: cq.unpack
// CHECK: cq.dequantize
// CHECK: cq.scatter_cherries
func.func @dequantize(%pc : tensor<41472xi8>, %ps : tensor<1728xf16>, %columns : tensor<384xi8>,
                      %deltas : tensor<384xf16>) -> tensor<192x576xf32> {
  %codes, %scales = cq.unpack %pc scales(%ps : tensor<1728xf16>) {scheme = #s, layout = #l}
      : tensor<41472xi8> -> tensor<192x576xi8>, tensor<192x9xf16>
  %dense = cq.dequantize %codes scales(%scales : tensor<192x9xf16>) {scheme = #s}
      : tensor<192x576xi8> -> tensor<192x576xf32>
  %w = cq.scatter_cherries %dense, %columns, %deltas {cherries = #c}
      : tensor<192x576xf32>, tensor<384xi8>, tensor<384xf16>
  return %w : tensor<192x576xf32>
}

// CHECK-LABEL: func.func @affine
// CHECK: cq.quantize %{{.*}} : tensor<5x100xf32> -> tensor<5x100xi8>, tensor<5x1xf32> zeros tensor<5x1xi8>
// CHECK: cq.pack %{{.*}} zeros(%{{.*}} : tensor<5x1xi8>) {{.*}} -> tensor<250xi8>, tensor<5xf32>, tensor<5xi8>
func.func @affine(%w : tensor<5x100xf32>) -> (tensor<5x100xi8>, tensor<5x1xf32>, tensor<5x1xi8>) {
  %codes, %scales, %zeros = cq.quantize %w {scheme = #a, quantizer = #cq.quantizer<rtn>}
      : tensor<5x100xf32> -> tensor<5x100xi8>, tensor<5x1xf32> zeros tensor<5x1xi8>
  %pc, %ps, %pz = cq.pack %codes scales(%scales : tensor<5x1xf32>) zeros(%zeros : tensor<5x1xi8>)
      {scheme = #a, layout = #la} : tensor<5x100xi8> -> tensor<250xi8>, tensor<5xf32>, tensor<5xi8>
  %c, %s, %z = cq.unpack %pc scales(%ps : tensor<5xf32>) zeros(%pz : tensor<5xi8>)
      {scheme = #a, layout = #la} : tensor<250xi8> -> tensor<5x100xi8>, tensor<5x1xf32>, tensor<5x1xi8>
  return %c, %s, %z : tensor<5x100xi8>, tensor<5x1xf32>, tensor<5x1xi8>
}

// CHECK-LABEL: func.func @relayout
// CHECK: cq.relayout %{{.*}}columns = 576 : i64
func.func @relayout(%pc : tensor<41472xi8>, %ps : tensor<1728xf16>) -> (tensor<41472xi8>, tensor<1728xf16>) {
  %qc, %qs = cq.relayout %pc scales(%ps : tensor<1728xf16>)
      {scheme = #s, from = #linear, to = #l, columns = 576 : i64}
      : tensor<41472xi8> -> tensor<41472xi8>, tensor<1728xf16>
  return %qc, %qs : tensor<41472xi8>, tensor<1728xf16>
}

// CHECK-LABEL: func.func @gather
// CHECK: cq.gather %{{.*}} : tensor<2x8xi32> codes(%{{.*}} : tensor<41472xi8>) scales(%{{.*}} : tensor<1728xf16>) outs(%{{.*}} : tensor<2x8x576xf32>)
func.func @gather(%tokens : tensor<2x8xi32>, %pc : tensor<41472xi8>, %ps : tensor<1728xf16>,
                  %init : tensor<2x8x576xf32>) -> tensor<2x8x576xf32> {
  %rows = cq.gather %tokens : tensor<2x8xi32> codes(%pc : tensor<41472xi8>) scales(%ps : tensor<1728xf16>)
      outs(%init : tensor<2x8x576xf32>) {scheme = #s, layout = #l} -> tensor<2x8x576xf32>
  return %rows : tensor<2x8x576xf32>
}

// CHECK-LABEL: func.func @matmul_f32
// CHECK: cq.matmul x(%{{.*}} : tensor<?x576xf32>) codes(%{{.*}}) scales(%{{.*}}) outs(%{{.*}} : tensor<?x192xf32>) {{{.*}}mode = #cq.activation<f32>
func.func @matmul_f32(%x : tensor<?x576xf32>, %pc : tensor<41472xi8>, %ps : tensor<1728xf16>,
                      %init : tensor<?x192xf32>) -> tensor<?x192xf32> {
  %y = cq.matmul x(%x : tensor<?x576xf32>) codes(%pc : tensor<41472xi8>) scales(%ps : tensor<1728xf16>)
      outs(%init : tensor<?x192xf32>) {scheme = #s, layout = #l, mode = #f32} -> tensor<?x192xf32>
  return %y : tensor<?x192xf32>
}

// CHECK-LABEL: func.func @matmul_int8
// CHECK: cq.dynamic_quantize
// CHECK: cq.matmul x({{.*}}) activations({{.*}}) codes({{.*}}) scales({{.*}}) cherries({{.*}}) outs(
func.func @matmul_int8(%x : tensor<8x576xf32>, %pc : tensor<41472xi8>, %ps : tensor<1728xf16>,
                       %columns : tensor<384xi8>, %deltas : tensor<384xf16>, %init : tensor<8x192xf32>,
                       %a : tensor<8x576xi8>, %b : tensor<8x9xf32>, %c : tensor<8x9xi32>) -> tensor<8x192xf32> {
  %xc, %xs, %xz = cq.dynamic_quantize %x : tensor<8x576xf32>
      outs(%a, %b, %c : tensor<8x576xi8>, tensor<8x9xf32>, tensor<8x9xi32>) {group = 64 : i64}
      -> tensor<8x576xi8>, tensor<8x9xf32>, tensor<8x9xi32>
  %y = cq.matmul x(%x : tensor<8x576xf32>)
      activations(%xc, %xs, %xz : tensor<8x576xi8>, tensor<8x9xf32>, tensor<8x9xi32>)
      codes(%pc : tensor<41472xi8>) scales(%ps : tensor<1728xf16>)
      cherries(%columns, %deltas : tensor<384xi8>, tensor<384xf16>)
      outs(%init : tensor<8x192xf32>) {scheme = #s, layout = #l, cherries = #c, mode = #int8} -> tensor<8x192xf32>
  return %y : tensor<8x192xf32>
}

// Two segments, half-step, bf16 scales, element cherries, on memrefs.
// CHECK-LABEL: func.func @memrefs
// CHECK: cq.matmul x(%{{.*}} : memref<1x40xf32>) {{.*}}cherries = #cq.cherries<element, 2>, layout = #cq.layout<panel16, [16 : 2, 3 : 2]>
func.func @memrefs(%x : memref<1x40xf32>, %pc : memref<384xi8>, %ps : memref<64xbf16>,
                   %columns : memref<38xi16>, %deltas : memref<38xf16>, %y : memref<1x19xf32>) {
  cq.matmul x(%x : memref<1x40xf32>) codes(%pc : memref<384xi8>) scales(%ps : memref<64xbf16>)
      cherries(%columns, %deltas : memref<38xi16>, memref<38xf16>)
      outs(%y : memref<1x19xf32>) {scheme = #h, layout = #lh, cherries = #ce, mode = #f32}
  return
}

// CHECK-LABEL: func.func @observe
// CHECK-SAME: (%[[X:.*]]: tensor<8x576xf32>, %[[W:.*]]: tensor<16x16xf32>, %[[BASE:.*]]: index)
// CHECK-NEXT: cq.observe input [%[[BASE]] + 3] (%[[X]]) : tensor<8x576xf32>
// CHECK-NEXT: cq.observe block [0] (%[[X]], %[[X]]) {note} : tensor<8x576xf32>, tensor<8x576xf32>
// CHECK-NEXT: cq.observe gram [7] (%[[W]]) : tensor<16x16xf32>
// CHECK-NEXT: cq.observe gradient [%[[BASE]] + 0] (%[[W]]) : tensor<16x16xf32>
// CHECK-NEXT: cq.observe fisher [%[[BASE]] + 1] (%[[W]]) : tensor<16x16xf32>
func.func @observe(%x : tensor<8x576xf32>, %w : tensor<16x16xf32>, %base : index) {
  cq.observe input [%base + 3] (%x) : tensor<8x576xf32>
  cq.observe block [0] (%x, %x) {note} : tensor<8x576xf32>, tensor<8x576xf32>
  cq.observe gram [7] (%w) : tensor<16x16xf32>
  cq.observe gradient [%base + 0] (%w) : tensor<16x16xf32>
  cq.observe fisher [%base + 1] (%w) : tensor<16x16xf32>
  return
}

func.func private @kernel(memref<8xf32>, i32, index, index)

// CHECK-LABEL: func.func @launch
// CHECK: cq.launch @kernel(%{{.*}}, %{{.*}} : memref<8xf32>, i32) tasks(%{{.*}})
func.func @launch(%x : memref<8xf32>, %i : i32, %n : index) {
  cq.launch @kernel(%x, %i : memref<8xf32>, i32) tasks(%n)
  return
}
