// Attributes of the dialect on other ops are dropped, unless they are asked for.
// RUN: cq-opt %s --convert-cq-to-linalg | FileCheck %s --implicit-check-not=cq.
// RUN: cq-opt %s --convert-cq-to-linalg | mlir-opt -o /dev/null
// RUN: cq-opt %s --convert-cq-to-linalg=keep-attributes | FileCheck %s --check-prefix=KEEP


// CHECK: module attributes {mine.kept = 1 : i64}
// KEEP: module attributes {cq.model = {architecture = "llama"}, cq.parameters = "w.gguf"
module attributes {cq.model = {architecture = "llama"}, cq.parameters = "w.gguf", mine.kept = 1 : i64} {
  // CHECK: func.func @f(%{{.*}}: tensor<4xf32>) -> tensor<4xf32> {
  // KEEP: func.func @f(%{{.*}}: tensor<4xf32> {cq.weight = "w"}) -> tensor<4xf32> attributes {note = #cq.activation<f32>}
  func.func @f(%x : tensor<4xf32> {cq.weight = "w"}) -> tensor<4xf32> attributes {note = #cq.activation<f32>} {
    cq.observe input [0] (%x) : tensor<4xf32>
    return %x : tensor<4xf32>
  }
}
