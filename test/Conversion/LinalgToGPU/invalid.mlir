// RUN: cq-opt %s --convert-linalg-to-gpu --split-input-file --verify-diagnostics

func.func @no_bound(%n: memref<1xindex>) {
  %c0 = arith.constant 0 : index
  %length = memref.load %n[%c0] : memref<1xindex>
  // expected-error @below {{has no largest size}}
  %y = memref.alloc(%length) : memref<?x4xf32>
  return
}

// -----

func.func @from_the_host(%n: memref<1xf32>, %y: memref<4xf32>) {
  %c0 = arith.constant 0 : index
  %value = memref.load %n[%c0] : memref<1xf32>
  // expected-error @below {{has no kernel: it depends on what 'memref.load' makes on the host}}
  linalg.fill ins(%value : f32) outs(%y : memref<4xf32>)
  return
}
