// RUN: cq-opt --convert-cq-to-x86=isa=avx2 --split-input-file --verify-diagnostics %s
// RUN: not cq-opt --convert-cq-to-x86=isa=sse9 %s --split-input-file 2>&1 | FileCheck %s --check-prefix=ISA
// RUN: not cq-opt --convert-cq-to-x86=target-cpu=pentium-x %s --split-input-file 2>&1 | FileCheck %s --check-prefix=ISA

// ISA: no x86 vector level for isa='{{(sse9)?}}' target-cpu='{{(pentium-x)?}}'; name one of avx2,

func.func @tensors(%x : tensor<1x64xf32>, %a : tensor<1x64xi8>, %b : tensor<1x1xf32>, %c : tensor<1x1xi32>) {
  // expected-error@+1 {{has no x86 kernel: its operands are tensors: bufferize first}}
  %0:3 = cq.dynamic_quantize %x : tensor<1x64xf32> outs(%a, %b, %c : tensor<1x64xi8>, tensor<1x1xf32>, tensor<1x1xi32>)
    {group = 64 : i64} -> tensor<1x64xi8>, tensor<1x1xf32>, tensor<1x1xi32>
  return
}

// -----

func.func @strided(%x : memref<2x64xf32, strided<[1, 2]>>, %a : memref<2x64xi8>, %b : memref<2x1xf32>, %c : memref<2x1xi32>) {
  // expected-error@+1 {{has no x86 kernel: an operand's last dimension is not contiguous: copy it first}}
  cq.dynamic_quantize %x : memref<2x64xf32, strided<[1, 2]>> outs(%a, %b, %c : memref<2x64xi8>, memref<2x1xf32>, memref<2x1xi32>)
    {group = 64 : i64}
  return
}
