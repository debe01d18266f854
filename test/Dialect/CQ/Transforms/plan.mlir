// Facts, decision and application, one pass after the other.
// RUN: cq-opt %s --cq-annotate-weights | FileCheck %s --check-prefix=FACTS
// RUN: cq-opt %s --pass-pipeline='builtin.module(cq-solve-uniform{bits=3 group-size=64 quantizer=mse cherries=quant-error override=down:b4-g32-affine-bf16 keep=gate})' 2> %t.remarks | FileCheck %s --check-prefix=PLAN
// RUN: FileCheck %s --check-prefix=REMARK < %t.remarks
// RUN: cq-opt %s --pass-pipeline='builtin.module(cq-solve-uniform{bits=3 group-size=64 quantizer=mse cherries=quant-error override=down:b4-g32-affine-bf16 keep=gate},cq-verify-plan{plan-out=%t.json},cq-apply-plan)' 2> %t.remarks | FileCheck %s --check-prefix=APPLY
// RUN: FileCheck %s --check-prefix=LEFT < %t.remarks
// The plan, given back, gives the same module.
// RUN: cq-opt %s --pass-pipeline='builtin.module(cq-load-plan{plan=%t.json},cq-verify-plan,cq-apply-plan)' 2> /dev/null > %t.again
// RUN: cq-opt %s --pass-pipeline='builtin.module(cq-solve-uniform{bits=3 group-size=64 quantizer=mse cherries=quant-error override=down:b4-g32-affine-bf16 keep=gate},cq-verify-plan,cq-apply-plan)' 2> /dev/null > %t.first
// RUN: cmp %t.first %t.again
// A plan edited to another layout is stored in it.
// RUN: sed 's/"panel16"/"linear"/' %t.json > %t.linear.json
// RUN: cq-opt %s --pass-pipeline='builtin.module(cq-load-plan{plan=%t.linear.json},cq-verify-plan,cq-apply-plan)' 2> /dev/null | FileCheck %s --check-prefix=LINEAR
// LINEAR-NOT: panel16
// LINEAR: #cq.layout<linear
// LINEAR-NOT: panel16

#nk = affine_map<(m, n, k) -> (n, k)>
#mk = affine_map<(m, n, k) -> (m, k)>
#mn = affine_map<(m, n, k) -> (m, n)>

// FACTS: ml_program.global private @up({{.*}}) : tensor<192x256xf32> {cq.weight = {element_type = f32, name = "up", shape = array<i64: 192, 256>}}
// FACTS: @gate{{.*}}cq.weight
// FACTS: @norm({{.*}}) : tensor<256xf32>{{$}}
// FACTS: @down{{.*}}cq.weight

// PLAN: cq.plan = [{cherries = #cq.cherries<slot, 1>, criterion = #cq.criterion<quant_error>, name = "up", quantizer = #cq.quantizer<mse>, reason = "uniform", scheme = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>, shape = array<i64: 192, 256>},
// PLAN-SAME: {keep, name = "gate", reason = "keep gate", shape = array<i64: 192, 256>},
// PLAN-SAME: name = "down", quantizer = #cq.quantizer<mse>, reason = "override down", scheme = #cq.scheme<bits = 4, group = 32, grid = affine, scale = bf16>, shape = array<i64: 256, 192>}]

// REMARK: remark: weight 'gate' [192, 256]: kept (keep gate)
// REMARK: remark: weight 'down' [256, 192]: b4-g32-affine-bf16 (override down)

// LEFT: remark: plan: 98304 weights in {{[0-9]+}} bytes, {{[0-9.]+}} bits per weight; 49152 weights kept
// LEFT: remark: 'linalg.matmul' stays as it is: weight 'gate' is kept by the plan
module {
  ml_program.global private @up(#ml_program.extern : tensor<192x256xf32>) : tensor<192x256xf32>
  ml_program.global private @gate(#ml_program.extern : tensor<192x256xf32>) : tensor<192x256xf32>
  ml_program.global private @norm(#ml_program.extern : tensor<256xf32>) : tensor<256xf32>
  ml_program.global private @down(#ml_program.extern : tensor<256x192xf32>) : tensor<256x192xf32>

  // The weights' arguments become the planes' arguments; the kept one stays.
  // APPLY-LABEL: func.func private @block(%arg0: tensor<2x256xf32>, %arg1: tensor<18432xi8>, %arg2: tensor<768xf16>, %arg3: tensor<192xi8>, %arg4: tensor<192xf16>, %arg5: tensor<192x256xf32>, %arg6: tensor<24576xi8>, %arg7: tensor<1536xbf16>, %arg8: tensor<1536xi8>, %arg9: tensor<256xi8>, %arg10: tensor<256xf16>)
  // APPLY: cq.matmul x(%arg0 : tensor<2x256xf32>) codes(%arg1 : tensor<18432xi8>) scales(%arg2 : tensor<768xf16>) cherries(%arg3, %arg4 :
  // APPLY: linalg.matmul
  // APPLY-SAME: ins(%arg0, %arg5
  // APPLY: cq.matmul {{.*}} zeros(%arg8 : tensor<1536xi8>)
  func.func private @block(%x : tensor<2x256xf32>, %up : tensor<192x256xf32>, %gate : tensor<192x256xf32>, %down : tensor<256x192xf32>) -> tensor<2x256xf32> {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<2x192xf32>
    %i = linalg.fill ins(%zero : f32) outs(%e : tensor<2x192xf32>) -> tensor<2x192xf32>
    %u = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %up : tensor<2x256xf32>, tensor<192x256xf32>) outs(%i : tensor<2x192xf32>) -> tensor<2x192xf32>
    %g = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%x, %gate : tensor<2x256xf32>, tensor<192x256xf32>) outs(%i : tensor<2x192xf32>) -> tensor<2x192xf32>
    %h = linalg.mul ins(%u, %g : tensor<2x192xf32>, tensor<2x192xf32>) outs(%e : tensor<2x192xf32>) -> tensor<2x192xf32>
    %f = tensor.empty() : tensor<2x256xf32>
    %j = linalg.fill ins(%zero : f32) outs(%f : tensor<2x256xf32>) -> tensor<2x256xf32>
    %y = linalg.matmul indexing_maps = [#mk, #nk, #mn] ins(%h, %down : tensor<2x192xf32>, tensor<256x192xf32>) outs(%j : tensor<2x256xf32>) -> tensor<2x256xf32>
    return %y : tensor<2x256xf32>
  }

  // Cherries are extracted first, then the rest is quantized, then packed.
  // APPLY-LABEL: func.func @main
  // APPLY: %[[W:.*]] = ml_program.global_load @up
  // APPLY: %[[C:.*]] = cq.extract_cherries %[[W]]
  // APPLY: cq.quantize %[[W]] cherries(%[[C]]
  // APPLY: cq.pack
  // APPLY: ml_program.global_load @gate
  // APPLY: call @block(
  // APPLY-NOT: cq.plan
  func.func @main(%x : tensor<2x256xf32>) -> tensor<2x256xf32> {
    %up = ml_program.global_load @up : tensor<192x256xf32>
    %gate = ml_program.global_load @gate : tensor<192x256xf32>
    %down = ml_program.global_load @down : tensor<256x192xf32>
    %y = call @block(%x, %up, %gate, %down) : (tensor<2x256xf32>, tensor<192x256xf32>, tensor<192x256xf32>, tensor<256x192xf32>) -> tensor<2x256xf32>
    return %y : tensor<2x256xf32>
  }
}
