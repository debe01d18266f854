"""A weight that is COUNT sums of a value with itself, in front of a product: deep-chain.py COUNT"""
import sys

count = int(sys.argv[1])
weight = "tensor<4x4xf32>"
kinds = 'indexing_maps = [#same, #same], iterator_types = ["parallel", "parallel"]'
print("#same = affine_map<(a, b) -> (a, b)>")
print(f"func.func @f(%x : {weight}) -> {weight} {{")
print("  %codes = arith.constant dense<1> : tensor<4x4xi8>")
print(f"  %e = tensor.empty() : {weight}")
print(f"  %w0 = linalg.generic {{{kinds}}} ins(%codes : tensor<4x4xi8>) outs(%e : {weight}) {{")
print("  ^bb0(%c : i8, %o : f32):\n    %f = arith.sitofp %c : i8 to f32\n    linalg.yield %f : f32")
print(f"  }} -> {weight}")
for i in range(count):
    print(f"  %w{i + 1} = linalg.generic {{indexing_maps = [#same, #same, #same], iterator_types = "
          f'["parallel", "parallel"]}} ins(%w{i}, %w{i} : {weight}, {weight}) outs(%e : {weight}) {{')
    print("  ^bb0(%a : f32, %b : f32, %o : f32):\n    %s = arith.addf %a, %b : f32\n    linalg.yield %s : f32")
    print(f"  }} -> {weight}")
print(f"  %y = linalg.matmul ins(%x, %w{count} : {weight}, {weight}) outs(%e : {weight}) -> {weight}")
print(f"  return %y : {weight}\n}}")
