// The planes and the destination become buffers, without a copy or an allocation.
// RUN: cq-opt %s --one-shot-bufferize="bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map" | FileCheck %s

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>

// CHECK-LABEL: func.func @matmul
// CHECK-NOT: memref.alloc
// CHECK-NOT: memref.copy
// CHECK: cq.dynamic_quantize %{{.*}} : memref<1x576xf32> outs(
// CHECK: cq.matmul activations({{.*}} : memref<1x576xi8>, memref<1x9xf32>, memref<1x9xi32>) codes(%{{.*}} : memref<41472xi8>) {{.*}} outs(%[[Y:.*]] : memref<1x192xf32>) {{{.*}}mode = #cq.activation<int8>
// CHECK: return %[[Y]]
func.func @matmul(%x : tensor<1x576xf32>, %pc : tensor<41472xi8>, %ps : tensor<1728xf16>, %init : tensor<1x192xf32>,
                  %a : tensor<1x576xi8>, %b : tensor<1x9xf32>, %c : tensor<1x9xi32>) -> tensor<1x192xf32> {
  %xc, %xs, %xz = cq.dynamic_quantize %x : tensor<1x576xf32>
      outs(%a, %b, %c : tensor<1x576xi8>, tensor<1x9xf32>, tensor<1x9xi32>) {group = 64 : i64}
      -> tensor<1x576xi8>, tensor<1x9xf32>, tensor<1x9xi32>
  %y = cq.matmul activations(%xc, %xs, %xz : tensor<1x576xi8>, tensor<1x9xf32>, tensor<1x9xi32>)
      codes(%pc : tensor<41472xi8>) scales(%ps : tensor<1728xf16>)
      outs(%init : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<int8>} -> tensor<1x192xf32>
  return %y : tensor<1x192xf32>
}

// CHECK-LABEL: func.func @gather
// CHECK: cq.gather %{{.*}} : memref<8xi32> {{.*}} outs(%{{.*}} : memref<8x576xf32>)
// CHECK: cq.observe input [3] (%{{.*}}) : memref<8x576xf32>
func.func @gather(%t : tensor<8xi32>, %pc : tensor<41472xi8>, %ps : tensor<1728xf16>, %init : tensor<8x576xf32>) -> tensor<8x576xf32> {
  %y = cq.gather %t : tensor<8xi32> codes(%pc : tensor<41472xi8>) scales(%ps : tensor<1728xf16>)
      outs(%init : tensor<8x576xf32>) {scheme = #s, layout = #l} -> tensor<8x576xf32>
  cq.observe input [3] (%y) : tensor<8x576xf32>
  return %y : tensor<8x576xf32>
}

// Observed before it is overwritten: no copy. Rows that lie apart are copied.
// CHECK-LABEL: func.func @observe
// CHECK-SAME: (%[[X:.*]]: memref<8x576xf32>, %[[BASE:.*]]: index)
// CHECK-NOT: memref.alloc
// CHECK: cq.observe input [%[[BASE]] + 1] (%[[X]]) : memref<8x576xf32>
// CHECK: linalg.exp ins(%[[X]]{{.*}}) outs(%[[X]]
// CHECK: %[[COPY:.*]] = memref.alloc
// CHECK: memref.copy %{{.*}}, %[[COPY]]
// CHECK: cq.observe gradient [4] (%[[COPY]]) : memref<8x16xf32>
func.func @observe(%x : tensor<8x576xf32>, %base : index) -> tensor<8x576xf32> {
  cq.observe input [%base + 1] (%x) : tensor<8x576xf32>
  %y = linalg.exp ins(%x : tensor<8x576xf32>) outs(%x : tensor<8x576xf32>) -> tensor<8x576xf32>
  %part = tensor.extract_slice %y[0, 32] [8, 16] [1, 1] : tensor<8x576xf32> to tensor<8x16xf32>
  cq.observe gradient [4] (%part) : tensor<8x16xf32>
  return %y : tensor<8x576xf32>
}
