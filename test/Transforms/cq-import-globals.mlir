// RUN: cq-opt %s --allow-unregistered-dialect --cq-import-globals=parameters=w.safetensors | FileCheck %s
// RUN: cq-opt %s --allow-unregistered-dialect --cq-import-globals --cq-print-weights -o /dev/null | FileCheck %s --check-prefix=WEIGHTS

// The generic form of what IREE's front ends print.
// CHECK: module attributes {cq.parameters = "w.safetensors"}
// CHECK-DAG: ml_program.global private @fc.weight({{.*}}) : tensor<32x64xf32>
// CHECK-DAG: ml_program.global private @head.weight({{.*}}) : tensor<64x16xf32>
// CHECK-DAG: ml_program.global private @inline(dense<1.000000e+00> : tensor<64xf32>) : tensor<64xf32>
// CHECK-DAG: ml_program.global private mutable @count
// CHECK-NOT: util.
// CHECK: func.func @main(
// CHECK: ml_program.global_load @fc.weight : tensor<32x64xf32>
// CHECK: call @layer(
// WEIGHTS-DAG: weight 'fc.weight' [64, 32] f32 global
// WEIGHTS-DAG: weight 'head.weight' [16, 64] f32 global
module {
  "util.global"() <{initial_value = #flow.parameter.named<"model"::"fc.weight"> : tensor<32x64xf32>, sym_name = "_params.fc", sym_visibility = "private", type = tensor<32x64xf32>}> : () -> ()
  // Another name of the same parameter.
  "util.global"() <{initial_value = #stream.parameter.named<"model"::"fc.weight"> : tensor<32x64xf32>, sym_name = "again", sym_visibility = "private", type = tensor<32x64xf32>}> : () -> ()
  "util.global"() <{initial_value = dense<1.0> : tensor<64xf32>, sym_name = "inline", sym_visibility = "private", type = tensor<64xf32>}> : () -> ()
  "util.global"() <{initial_value = 0 : i32, is_mutable, sym_name = "count", sym_visibility = "private", type = i32}> : () -> ()
  "util.func"() <{function_type = (tensor<2x32xf32>, tensor<2x64xf32>, tensor<2x16xf32>) -> tensor<2x16xf32>, sym_name = "main"}> ({
  ^bb0(%x : tensor<2x32xf32>, %i : tensor<2x64xf32>, %j : tensor<2x16xf32>):
    %w = "util.global.load"() <{global = @_params.fc}> : () -> tensor<32x64xf32>
    %v = "util.global.load"() <{global = @again}> : () -> tensor<32x64xf32>
    %b = "util.global.load"() <{global = @inline}> : () -> tensor<64xf32>
    %y = linalg.matmul ins(%x, %w : tensor<2x32xf32>, tensor<32x64xf32>) outs(%i : tensor<2x64xf32>) -> tensor<2x64xf32>
    %z = linalg.matmul ins(%x, %v : tensor<2x32xf32>, tensor<32x64xf32>) outs(%y : tensor<2x64xf32>) -> tensor<2x64xf32>
    %c = "util.global.load"() <{global = @count}> : () -> i32
    "util.global.store"(%c) <{global = @count}> : (i32) -> ()
    %r = "util.call"(%z, %j) <{callee = @layer}> : (tensor<2x64xf32>, tensor<2x16xf32>) -> tensor<2x16xf32>
    "util.return"(%r) : (tensor<2x16xf32>) -> ()
  }) : () -> ()
  "util.func"() <{function_type = (tensor<2x64xf32>, tensor<2x16xf32>) -> tensor<2x16xf32>, sym_name = "layer", sym_visibility = "private"}> ({
  ^bb0(%x : tensor<2x64xf32>, %j : tensor<2x16xf32>):
    %h = "flow.tensor.constant"() <{value = #flow.parameter.named<"model"::"head.weight"> : tensor<64x16xf32>}> : () -> tensor<64x16xf32>
    %r = linalg.matmul ins(%x, %h : tensor<2x64xf32>, tensor<64x16xf32>) outs(%j : tensor<2x16xf32>) -> tensor<2x16xf32>
    "util.return"(%r) : (tensor<2x16xf32>) -> ()
  }) : () -> ()
}
