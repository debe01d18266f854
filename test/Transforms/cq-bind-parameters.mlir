// RUN: cq-opt --cq-bind-parameters --split-input-file --verify-diagnostics %s | FileCheck %s

// The table comes first, then arguments, then pointers of results that are not an
// argument updated in place.
// CHECK: module attributes {cq.parameter_order = ["a", "w"]}
// CHECK-NOT: ml_program.global
// CHECK: func.func @cq_step(%[[TABLE:.*]]: !llvm.ptr, %[[X:.*]]: !llvm.ptr, %[[POS:.*]]: index, %[[CACHE:.*]]: !llvm.ptr, %[[Y:.*]]: !llvm.ptr) {
// CHECK: %[[SLOT:.*]] = llvm.getelementptr %[[TABLE]][1]
// CHECK: llvm.load %[[SLOT]] : !llvm.ptr -> !llvm.ptr
// CHECK: bufferization.to_tensor {{.*}} restrict : memref<4xf32>
// CHECK: bufferization.materialize_in_destination {{.*}} in restrict writable {{.*}} : (tensor<4xf32>, memref<4xf32>)
// CHECK: bufferization.materialize_in_destination {{.*}} in restrict writable {{.*}} : (tensor<8x4xf32>, memref<8x4xf32>)
// CHECK: return
ml_program.global private @a(#ml_program.extern : tensor<2xi8>) : tensor<2xi8>
ml_program.global private @w(#ml_program.extern : tensor<4xf32>) : tensor<4xf32>
func.func @step(%x: tensor<4xf32>, %pos: index, %cache: tensor<8x4xf32>) -> (tensor<4xf32>, tensor<8x4xf32>) {
  %w = ml_program.global_load @w : tensor<4xf32>
  %e = tensor.empty() : tensor<4xf32>
  %y = linalg.add ins(%x, %w : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %c = call @write(%x, %pos, %cache) : (tensor<4xf32>, index, tensor<8x4xf32>) -> tensor<8x4xf32>
  return %y, %c : tensor<4xf32>, tensor<8x4xf32>
}
func.func private @write(%x: tensor<4xf32>, %pos: index, %cache: tensor<8x4xf32>) -> tensor<8x4xf32> {
  %c = tensor.insert_slice %x into %cache[%pos, 0] [1, 4] [1, 1] : tensor<4xf32> into tensor<8x4xf32>
  return %c : tensor<8x4xf32>
}

// -----

// expected-error @below {{public function @f has 'tensor<?xf32>' in its signature; cq compiles tensors of static shape}}
func.func @f(%x: tensor<?xf32>) -> tensor<?xf32> {
  return %x : tensor<?xf32>
}

// -----

ml_program.global private @w(#ml_program.extern : tensor<4xf32>) : tensor<4xf32>
func.func private @inner() -> tensor<4xf32> {
  // expected-error @below {{loads the parameter @w inside a private function; load it in the public caller and pass it as an argument}}
  %w = ml_program.global_load @w : tensor<4xf32>
  return %w : tensor<4xf32>
}
