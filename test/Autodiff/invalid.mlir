// RUN: cq-opt %s --split-input-file --verify-diagnostics --cq-differentiate='wrt=all'

func.func @loss(%x: tensor<4xf32>) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) {
  ^bb0(%a: f32, %o: f32):
    // expected-error @+1 {{'math.ceil' has no differentiation rule (docs/Autodiff.md lists the ops}}
    %b = math.ceil %a : f32
    linalg.yield %b : f32
  } -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @loss(%x: tensor<4xf32>, %c: i1) -> tensor<4xf32> {
  // expected-error @+1 {{'scf.if' has no differentiation rule}}
  %y = scf.if %c -> tensor<4xf32> {
    scf.yield %x : tensor<4xf32>
  } else {
    %z = linalg.exp ins(%x : tensor<4xf32>) outs(%x : tensor<4xf32>) -> tensor<4xf32>
    scf.yield %z : tensor<4xf32>
  }
  return %y : tensor<4xf32>
}

// -----

func.func @loss(%x: tensor<4x3xf32>, %one: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{result 0 is reduced by something else than a sum, a maximum or a minimum}}
  %y = linalg.reduce { arith.mulf } ins(%x : tensor<4x3xf32>) outs(%one : tensor<4xf32>) dimensions = [1]
  return %y : tensor<4xf32>
}

// -----

func.func @loss(%x: tensor<4x3xf32>, %start: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{a maximum or minimum that starts from a differentiated value}}
  %y = linalg.reduce { arith.maximumf } ins(%x : tensor<4x3xf32>) outs(%start : tensor<4xf32>) dimensions = [1]
  return %y : tensor<4xf32>
}

// -----

func.func private @somewhere(tensor<4xf32>) -> tensor<4xf32>
func.func @loss(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{calls @somewhere, which has no body to differentiate}}
  %y = call @somewhere(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

ml_program.global private @w(#ml_program.extern : tensor<4xf32>) : tensor<4xf32>
func.func private @inner(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{loads a differentiated weight inside of @inner; load it in the caller and pass it as an argument}}
  %w = ml_program.global_load @w : tensor<4xf32>
  %y = linalg.mul ins(%x, %w : tensor<4xf32>, tensor<4xf32>) outs(%x : tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}
func.func @loss(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = call @inner(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// expected-error @+1 {{calls itself, which is not differentiated}}
func.func private @again(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = call @again(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}
func.func @loss(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = call @again(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// expected-error @+1 {{there is nothing to differentiate @loss by (wrt=all)}}
func.func @loss(%x: tensor<4xi32>) -> tensor<4xi32> {
  return %x : tensor<4xi32>
}

// -----

// expected-error @+1 {{the module has no function @loss with a body}}
module {}
