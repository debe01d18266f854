// One block function for two weights: its arguments become planes once, every
// caller supplies its own, and both must be stored in one way.
// RUN: cq-opt %s --cq-quantize=bits=3 2> /dev/null | FileCheck %s
// RUN: cq-opt %s --cq-quantize="bits=3 activations=int8" 2> /dev/null | FileCheck %s --check-prefix=INT8
// RUN: not cq-opt %s --cq-quantize="bits=3 override=w0:b4-g64" 2>&1 | FileCheck %s --check-prefix=CONFLICT
// Nor may only one have wide rows.
// RUN: cq-opt %s --pass-pipeline='builtin.module(cq-annotate-weights,cq-solve-uniform{bits=3 rows=1/3:4},cq-verify-plan{plan-out=%t.json})' > /dev/null 2>&1
// RUN: %python -c "import json; p = json.load(open(r'%t.json')); w = p['weights'][1]; del w['wide_rows'], w['bytes']; json.dump(p, open(r'%t.json', 'w'))"
// RUN: not cq-opt %s --pass-pipeline='builtin.module(cq-load-plan{plan=%t.json},cq-verify-plan)' 2>&1 | FileCheck %s --check-prefix=CONFLICT

// CONFLICT: error: weights 'w0' and 'w1' enter the same argument of a function and must be stored in one way

#nk = affine_map<(m, n, k) -> (n, k)>
#mk = affine_map<(m, n, k) -> (m, k)>
#mn = affine_map<(m, n, k) -> (m, n)>

module {
  ml_program.global private @w0(#ml_program.extern : tensor<48x64xf32>) : tensor<48x64xf32>
  ml_program.global private @w1(#ml_program.extern : tensor<48x64xf32>) : tensor<48x64xf32>

  // CHECK-LABEL: func.func private @block(%arg0: tensor<2x64xf32>, %arg1: tensor<1152xi8>, %arg2: tensor<48xf16>)
  // CHECK-COUNT-1: cq.matmul
  // INT8: %[[Q:.*]]:3 = cq.dynamic_quantize %arg0 : tensor<2x64xf32>
  // INT8: cq.matmul activations(%[[Q]]#0, %[[Q]]#1, %[[Q]]#2 : tensor<2x64xi8>, tensor<2x1xf32>, tensor<2x1xi32>)
  func.func private @block(%x : tensor<2x64xf32>, %w : tensor<48x64xf32>) -> tensor<2x48xf32> {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<2x48xf32>
    %i = linalg.fill ins(%zero : f32) outs(%e : tensor<2x48xf32>) -> tensor<2x48xf32>
    %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %w : tensor<2x64xf32>, tensor<48x64xf32>) outs(%i : tensor<2x48xf32>) -> tensor<2x48xf32>
    return %y : tensor<2x48xf32>
  }

  // A function between passes weights on.
  // CHECK-LABEL: func.func private @layer(%arg0: tensor<2x64xf32>, %arg1: tensor<1152xi8>, %arg2: tensor<48xf16>)
  // CHECK: call @block(%arg0, %arg1, %arg2)
  func.func private @layer(%x : tensor<2x64xf32>, %w : tensor<48x64xf32>) -> tensor<2x48xf32> {
    %y = call @block(%x, %w) : (tensor<2x64xf32>, tensor<48x64xf32>) -> tensor<2x48xf32>
    return %y : tensor<2x48xf32>
  }

  // CHECK-LABEL: func.func @main
  // CHECK-DAG: ml_program.global_load @w0
  // CHECK-DAG: ml_program.global_load @w1
  // CHECK: call @layer(%arg0, %{{.*}}, %{{.*}}) : (tensor<2x64xf32>, tensor<1152xi8>, tensor<48xf16>)
  // CHECK: call @block(%arg0, %{{.*}}, %{{.*}}) : (tensor<2x64xf32>, tensor<1152xi8>, tensor<48xf16>)
  func.func @main(%x : tensor<2x64xf32>) -> (tensor<2x48xf32>, tensor<2x48xf32>) {
    %w0 = ml_program.global_load @w0 : tensor<48x64xf32>
    %w1 = ml_program.global_load @w1 : tensor<48x64xf32>
    %a = call @layer(%x, %w0) : (tensor<2x64xf32>, tensor<48x64xf32>) -> tensor<2x48xf32>
    %b = call @block(%x, %w1) : (tensor<2x64xf32>, tensor<48x64xf32>) -> tensor<2x48xf32>
    return %a, %b : tensor<2x48xf32>, tensor<2x48xf32>
  }
}
