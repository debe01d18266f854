// Every op; what comes out is read by a stock mlir-opt.
// RUN: cq-opt %s --convert-cq-to-linalg --split-input-file | FileCheck %s
// RUN: cq-opt %s --convert-cq-to-linalg --split-input-file | mlir-opt --split-input-file --verify-each -o /dev/null

#s = #cq.scheme<bits = 4, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [20 : 4]>

// Bits 4: one vector, two quads, told apart by mask and shift.
// CHECK-DAG: #[[$AT:.*]] = affine_map<(d0, d1) -> ((d0 floordiv 16) * 832 + (d1 floordiv 8) * 64 + (d0 mod 16) * 4 + d1 mod 4)>
// CHECK-LABEL: func.func @unpack
// CHECK-SAME: (%[[CODES:.*]]: tensor<1664xi8>, %[[SCALES:.*]]: tensor<64xf16>)
// CHECK-DAG: %[[MASKS:.*]] = arith.constant dense<[15, 240]> : tensor<2xi32>
// CHECK-DAG: %[[SHIFTS:.*]] = arith.constant dense<[0, 4]> : tensor<2xi32>
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel"]{{.*}} outs(%{{.*}} : tensor<20x100xi8>)
// CHECK: %[[AT:.*]] = affine.apply #[[$AT]]
// CHECK: %[[BYTE:.*]] = tensor.extract %[[CODES]][%[[AT]]]
// CHECK: %[[WIDE:.*]] = arith.extui %[[BYTE]] : i8 to i32
// CHECK: %[[MASK:.*]] = tensor.extract %[[MASKS]]
// CHECK: %[[FIELD:.*]] = arith.andi %[[WIDE]], %[[MASK]]
// CHECK: %[[SHIFT:.*]] = tensor.extract %[[SHIFTS]]
// CHECK: arith.shrui %[[FIELD]], %[[SHIFT]]
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<20x2xf16>)
// CHECK: tensor.extract %[[SCALES]]
func.func @unpack(%pc : tensor<1664xi8>, %ps : tensor<64xf16>)
    -> (tensor<20x100xi8>, tensor<20x2xf16>) {
  %codes, %scales = cq.unpack %pc scales(%ps : tensor<64xf16>) {scheme = #s, layout = #l}
      : tensor<1664xi8> -> tensor<20x100xi8>, tensor<20x2xf16>
  return %codes, %scales : tensor<20x100xi8>, tensor<20x2xf16>
}

// -----

// 3 bits, linear: a code lies in one byte or in two.
#s = #cq.scheme<bits = 3, group = row, grid = half_step, scale = f32>
#l = #cq.layout<linear, [5 : 3]>

// CHECK-DAG: #[[$FIRST:.*]] = affine_map<(d0, d1) -> (d0 * 8 + (d1 * 3) floordiv 8)>
// CHECK-DAG: #[[$LAST:.*]] = affine_map<(d0, d1) -> (d0 * 8 + (d1 * 3 + 2) floordiv 8)>
// CHECK-LABEL: func.func @unpack_linear
// CHECK: affine.apply #[[$FIRST]]
// CHECK: affine.apply #[[$LAST]]
// CHECK-NOT: cq.
func.func @unpack_linear(%pc : tensor<40xi8>, %ps : tensor<5xf32>) -> (tensor<5x21xi8>, tensor<5x1xf32>) {
  %codes, %scales = cq.unpack %pc scales(%ps : tensor<5xf32>) {scheme = #s, layout = #l}
      : tensor<40xi8> -> tensor<5x21xi8>, tensor<5x1xf32>
  return %codes, %scales : tensor<5x21xi8>, tensor<5x1xf32>
}

// -----

#a = #cq.scheme<bits = 4, group = 32, grid = affine, scale = bf16>

// CHECK-DAG: #[[$GROUP:.*]] = affine_map<(d0, d1) -> (d0, d1 floordiv 32)>
// CHECK-LABEL: func.func @dequantize
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[$GROUP]], #[[$GROUP]], #{{.*}}]
// CHECK: ^bb0(%[[CODE:.*]]: i8, %[[SCALE:.*]]: bf16, %[[ZERO:.*]]: i8, %{{.*}}: f32):
// CHECK: arith.extui %[[ZERO]]
// CHECK: arith.subi
// CHECK: arith.sitofp
// CHECK: arith.extf %[[SCALE]]
// CHECK: arith.mulf
func.func @dequantize(%codes : tensor<5x100xi8>, %scales : tensor<5x4xbf16>, %zeros : tensor<5x4xi8>) -> tensor<5x100xf32> {
  %w = cq.dequantize %codes scales(%scales : tensor<5x4xbf16>) zeros(%zeros : tensor<5x4xi8>) {scheme = #a}
      : tensor<5x100xi8> -> tensor<5x100xf32>
  return %w : tensor<5x100xf32>
}

// -----

// Columns behind the last block of 256 that has cherries stay as they are.
#c = #cq.cherries<slot, 1>

// CHECK-LABEL: func.func @scatter
// CHECK-SAME: (%[[DENSE:.*]]: tensor<16x300xf32>
// CHECK: tensor.extract_slice %[[DENSE]][0, 0] [16, 256] [1, 1]
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]
// CHECK: arith.select
// CHECK: tensor.insert_slice
func.func @scatter(%dense : tensor<16x300xf32>, %columns : tensor<16xi8>, %deltas : tensor<16xf16>) -> tensor<16x300xf32> {
  %w = cq.scatter_cherries %dense, %columns, %deltas {cherries = #c}
      : tensor<16x300xf32>, tensor<16xi8>, tensor<16xf16>
  return %w : tensor<16x300xf32>
}

// -----

// A weight too small to have any.
#c = #cq.cherries<slot, 1>

// CHECK-LABEL: func.func @scatter_nothing
// CHECK-SAME: (%[[DENSE:.*]]: tensor<16x100xf32>
// CHECK-NEXT: return %[[DENSE]]
func.func @scatter_nothing(%dense : tensor<16x100xf32>, %columns : tensor<0xi8>, %deltas : tensor<0xf16>) -> tensor<16x100xf32> {
  %w = cq.scatter_cherries %dense, %columns, %deltas {cherries = #c}
      : tensor<16x100xf32>, tensor<0xi8>, tensor<0xf16>
  return %w : tensor<16x100xf32>
}

// -----

#s = #cq.scheme<bits = 2, group = 32, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [16 : 2]>
#c = #cq.cherries<element, 2>

// CHECK-LABEL: func.func @gather
// CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<?x3xi32>) outs(%{{.*}} : tensor<?x3x64xf32>)
// CHECK: arith.index_castui %{{.*}} : i32 to index
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<?x3x1x2xi32>)
// CHECK: linalg.generic {{.*}}"parallel", "parallel", "parallel", "reduction"
func.func @gather(%tokens : tensor<?x3xi32>, %pc : tensor<256xi8>, %ps : tensor<32xf16>,
                  %columns : tensor<32xi16>, %deltas : tensor<32xf16>, %init : tensor<?x3x64xf32>) -> tensor<?x3x64xf32> {
  %rows = cq.gather %tokens : tensor<?x3xi32> codes(%pc : tensor<256xi8>) scales(%ps : tensor<32xf16>)
      cherries(%columns, %deltas : tensor<32xi16>, tensor<32xf16>)
      outs(%init : tensor<?x3x64xf32>) {scheme = #s, layout = #l, cherries = #c} -> tensor<?x3x64xf32>
  return %rows : tensor<?x3x64xf32>
}

// -----

// 100 columns in groups of 64: the last group is padded with zeros.
// CHECK-LABEL: func.func @dynamic_quantize
// CHECK-SAME: (%[[X:.*]]: tensor<?x100xf32>
// CHECK: tensor.pad %[[X]] low[0, 0] high[0, 28]
// CHECK: tensor.expand_shape {{.*}}into tensor<?x2x64xf32>
// CHECK: math.absf
// CHECK: arith.maxnumf
// CHECK: arith.divf
// CHECK: math.roundeven
// CHECK: arith.fptosi %{{.*}} : f32 to i8
// CHECK: arith.addi
func.func @dynamic_quantize(%x : tensor<?x100xf32>, %a : tensor<?x100xi8>, %b : tensor<?x2xf32>, %c : tensor<?x2xi32>)
    -> (tensor<?x100xi8>, tensor<?x2xf32>, tensor<?x2xi32>) {
  %xc, %xs, %xz = cq.dynamic_quantize %x : tensor<?x100xf32>
      outs(%a, %b, %c : tensor<?x100xi8>, tensor<?x2xf32>, tensor<?x2xi32>) {group = 64 : i64}
      -> tensor<?x100xi8>, tensor<?x2xf32>, tensor<?x2xi32>
  return %xc, %xs, %xz : tensor<?x100xi8>, tensor<?x2xf32>, tensor<?x2xi32>
}

// -----

#s = #cq.scheme<bits = 4, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [20 : 4]>

// Sums inside of groups, then the fold over groups, both with fma.
// CHECK-LABEL: func.func @matmul_f32
// CHECK: %[[PARTIAL:.*]] = linalg.generic {{.*}}"parallel", "parallel", "parallel", "reduction"]{{.*}} outs(%{{.*}} : tensor<?x20x2xf32>)
// CHECK: math.fma
// CHECK: %[[Y:.*]] = linalg.generic {{.*}}"parallel", "parallel", "reduction"]{{.*}} ins(%[[PARTIAL]], %{{.*}} : tensor<?x20x2xf32>, tensor<20x2xf16>)
// CHECK: math.fma
// CHECK: return %[[Y]]
func.func @matmul_f32(%x : tensor<?x100xf32>, %pc : tensor<1664xi8>, %ps : tensor<64xf16>, %init : tensor<?x20xf32>) -> tensor<?x20xf32> {
  %y = cq.matmul x(%x : tensor<?x100xf32>) codes(%pc : tensor<1664xi8>) scales(%ps : tensor<64xf16>)
      outs(%init : tensor<?x20xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<?x20xf32>
  return %y : tensor<?x20xf32>
}

// -----

#s = #cq.scheme<bits = 8, group = row, grid = symmetric, scale = f32>
#l = #cq.layout<linear, [3 : 8]>
#c = #cq.cherries<column, 2>

// Whole-row weight groups: activation groups of 128 all read scale (n, 0).
// CHECK-DAG: #[[$ROW:.*]] = affine_map<(d0, d1, d2) -> (d1, 0)>
// CHECK-LABEL: func.func @matmul_int8
// CHECK-SAME: (%[[X:.*]]: tensor<2x200xf32>
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x3x2xi32>)
// CHECK: arith.extsi
// CHECK: arith.extui
// CHECK: arith.muli
// CHECK: %[[ACC:.*]] = linalg.generic {indexing_maps = [{{.*}}#[[$ROW]]{{.*}}]{{.*}} ins(%{{.*}} : tensor<2x3x2xi32>, tensor<2x2xi32>, tensor<2x2xf32>, tensor<3x1xf32>)
// CHECK: arith.muli
// CHECK: arith.subi
// CHECK: math.fma
// CHECK: linalg.generic {{.*}}ins(%{{.*}} : tensor<3x1x2xi32>, tensor<3x1x2xf32>)
// CHECK: tensor.extract %[[X]]
// CHECK: math.fma
// CHECK: linalg.add ins(%[[ACC]]
func.func @matmul_int8(%x : tensor<2x200xf32>, %xc : tensor<2x200xi8>, %xs : tensor<2x2xf32>, %xz : tensor<2x2xi32>,
                       %pc : tensor<600xi8>, %ps : tensor<3xf32>, %columns : tensor<2xi16>, %deltas : tensor<6xf16>,
                       %init : tensor<2x3xf32>) -> tensor<2x3xf32> {
  %y = cq.matmul x(%x : tensor<2x200xf32>) activations(%xc, %xs, %xz : tensor<2x200xi8>, tensor<2x2xf32>, tensor<2x2xi32>)
      codes(%pc : tensor<600xi8>) scales(%ps : tensor<3xf32>) cherries(%columns, %deltas : tensor<2xi16>, tensor<6xf16>)
      outs(%init : tensor<2x3xf32>) {scheme = #s, layout = #l, cherries = #c, mode = #cq.activation<int8>} -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = affine, scale = f16>
#from = #cq.layout<linear, [20 : 3]>
#to = #cq.layout<panel16, [20 : 3]>

// CHECK-LABEL: func.func @relayout
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<20x100xi8>)
// CHECK: tensor.pad {{.*}} low[0, 0] high[12, 28]
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<2x4x3x64xi8>)
// CHECK: tensor.collapse_shape {{.*}}into tensor<1536xi8>
func.func @relayout(%pc : tensor<760xi8>, %ps : tensor<40xf16>, %pz : tensor<40xi8>) -> (tensor<1536xi8>, tensor<64xf16>, tensor<64xi8>) {
  %qc, %qs, %qz = cq.relayout %pc scales(%ps : tensor<40xf16>) zeros(%pz : tensor<40xi8>)
      {scheme = #s, from = #from, to = #to, columns = 100 : i64}
      : tensor<760xi8> -> tensor<1536xi8>, tensor<64xf16>, tensor<64xi8>
  return %qc, %qs, %qz : tensor<1536xi8>, tensor<64xf16>, tensor<64xi8>
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#c = #cq.cherries<slot, 1>

// CHECK-LABEL: func.func @quantize
// CHECK: arith.truncf %{{.*}} : f32 to f16
// CHECK: math.roundeven
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<32xf16>)
func.func @quantize(%w : tensor<20x300xf32>, %columns : tensor<32xi8>) -> (tensor<20x300xi8>, tensor<20x5xf16>, tensor<32xf16>) {
  %codes, %scales, %deltas = cq.quantize %w cherries(%columns : tensor<32xi8>)
      {scheme = #s, quantizer = #cq.quantizer<rtn>, cherries = #c}
      : tensor<20x300xf32> -> tensor<20x300xi8>, tensor<20x5xf16> deltas tensor<32xf16>
  return %codes, %scales, %deltas : tensor<20x300xi8>, tensor<20x5xf16>, tensor<32xf16>
}

// -----

// CHECK-LABEL: func.func @observe
// CHECK-SAME: (%[[X:.*]]: tensor<8x576xf32>)
// CHECK-NEXT: return %[[X]]
func.func @observe(%x : tensor<8x576xf32>) -> tensor<8x576xf32> {
  cq.observe input [0] (%x) : tensor<8x576xf32>
  return %x : tensor<8x576xf32>
}
