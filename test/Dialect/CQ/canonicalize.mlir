// RUN: cq-opt %s --canonicalize | FileCheck %s

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
#linear = #cq.layout<linear, [192 : 3]>

// CHECK-LABEL: func.func @unpack_of_pack
// CHECK-SAME: %[[C:.*]]: tensor<192x576xi8>, %[[S:.*]]: tensor<192x9xf16>
// CHECK-NEXT: return %[[C]], %[[S]]
func.func @unpack_of_pack(%c : tensor<192x576xi8>, %s : tensor<192x9xf16>) -> (tensor<192x576xi8>, tensor<192x9xf16>) {
  %pc, %ps = cq.pack %c scales(%s : tensor<192x9xf16>) {scheme = #s, layout = #l}
      : tensor<192x576xi8> -> tensor<41472xi8>, tensor<1728xf16>
  %uc, %us = cq.unpack %pc scales(%ps : tensor<1728xf16>) {scheme = #s, layout = #l}
      : tensor<41472xi8> -> tensor<192x576xi8>, tensor<192x9xf16>
  return %uc, %us : tensor<192x576xi8>, tensor<192x9xf16>
}

// The bytes fit both layouts, but they do not mean the same.
// CHECK-LABEL: func.func @unpack_of_other_pack
// CHECK: cq.pack
// CHECK: cq.unpack
func.func @unpack_of_other_pack(%c : tensor<192x576xi8>, %s : tensor<192x9xf16>) -> (tensor<192x576xi8>, tensor<192x9xf16>) {
  %pc, %ps = cq.pack %c scales(%s : tensor<192x9xf16>) {scheme = #s, layout = #linear}
      : tensor<192x576xi8> -> tensor<41472xi8>, tensor<1728xf16>
  %uc, %us = cq.unpack %pc scales(%ps : tensor<1728xf16>) {scheme = #s, layout = #l}
      : tensor<41472xi8> -> tensor<192x576xi8>, tensor<192x9xf16>
  return %uc, %us : tensor<192x576xi8>, tensor<192x9xf16>
}

// CHECK-LABEL: func.func @relayout_there_and_back
// CHECK-SAME: %[[C:.*]]: tensor<41472xi8>, %[[S:.*]]: tensor<1728xf16>
// CHECK-NEXT: return %[[C]], %[[S]]
func.func @relayout_there_and_back(%c : tensor<41472xi8>, %s : tensor<1728xf16>) -> (tensor<41472xi8>, tensor<1728xf16>) {
  %ac, %as = cq.relayout %c scales(%s : tensor<1728xf16>) {scheme = #s, from = #linear, to = #l, columns = 576 : i64}
      : tensor<41472xi8> -> tensor<41472xi8>, tensor<1728xf16>
  %bc, %bs = cq.relayout %ac scales(%as : tensor<1728xf16>) {scheme = #s, from = #l, to = #linear, columns = 576 : i64}
      : tensor<41472xi8> -> tensor<41472xi8>, tensor<1728xf16>
  return %bc, %bs : tensor<41472xi8>, tensor<1728xf16>
}

// CHECK-LABEL: func.func @pack_for_last_layout
// CHECK: cq.pack {{.*}}layout = #cq.layout<linear, [192 : 3]>
// CHECK-NOT: cq.relayout
func.func @pack_for_last_layout(%c : tensor<192x576xi8>, %s : tensor<192x9xf16>) -> (tensor<41472xi8>, tensor<1728xf16>) {
  %pc, %ps = cq.pack %c scales(%s : tensor<192x9xf16>) {scheme = #s, layout = #l}
      : tensor<192x576xi8> -> tensor<41472xi8>, tensor<1728xf16>
  %ac, %as = cq.relayout %pc scales(%ps : tensor<1728xf16>) {scheme = #s, from = #l, to = #linear, columns = 576 : i64}
      : tensor<41472xi8> -> tensor<41472xi8>, tensor<1728xf16>
  return %ac, %as : tensor<41472xi8>, tensor<1728xf16>
}

// 0.5 · (6 − 4) = 1
// CHECK-LABEL: func.func @dequantize_splat
// CHECK-NEXT: %[[W:.*]] = arith.constant dense<1.000000e+00> : tensor<2x64xf32>
// CHECK-NEXT: return %[[W]]
func.func @dequantize_splat() -> tensor<2x64xf32> {
  %c = arith.constant dense<6> : tensor<2x64xi8>
  %s = arith.constant dense<0.5> : tensor<2x1xf16>
  %w = cq.dequantize %c scales(%s : tensor<2x1xf16>) {scheme = #s} : tensor<2x64xi8> -> tensor<2x64xf32>
  return %w : tensor<2x64xf32>
}

// Twice the same: two observations.
// CHECK-LABEL: func.func @observe_stays
// CHECK-COUNT-2: cq.observe input [0]
func.func @observe_stays(%x : tensor<8xf32>) {
  cq.observe input [0] (%x) : tensor<8xf32>
  cq.observe input [0] (%x) : tensor<8xf32>
  return
}
