// RUN: cq-opt --cq-merge-functions %s | FileCheck %s

// Equal private functions become the first; that makes their callers equal too.
// CHECK: func.func private @block_0
// CHECK-NOT: @block_1
// CHECK: func.func private @pair_0
// CHECK-NOT: @pair_1
// CHECK: func.func private @other
// CHECK: func.func @f
// CHECK: call @pair_0
// CHECK: call @pair_0
// CHECK: call @other
// A public function keeps its name, whatever its body.
// CHECK: func.func @g
func.func private @block_0(%x: f32) -> f32 {
  %y = arith.addf %x, %x : f32
  return %y : f32
}
func.func private @block_1(%a: f32) -> f32 {
  %b = arith.addf %a, %a : f32
  return %b : f32
}
func.func private @pair_0(%x: f32) -> f32 {
  %y = call @block_0(%x) : (f32) -> f32
  return %y : f32
}
func.func private @pair_1(%x: f32) -> f32 {
  %y = call @block_1(%x) : (f32) -> f32
  return %y : f32
}
func.func private @other(%x: f32) -> f32 {
  %y = arith.mulf %x, %x : f32
  return %y : f32
}
func.func @f(%x: f32) -> f32 {
  %0 = call @pair_0(%x) : (f32) -> f32
  %1 = call @pair_1(%0) : (f32) -> f32
  %2 = call @other(%1) : (f32) -> f32
  return %2 : f32
}
func.func @g(%x: f32) -> f32 {
  %y = arith.addf %x, %x : f32
  return %y : f32
}
