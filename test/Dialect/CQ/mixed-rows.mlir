// Rows of two widths: text round trip, and everything that hostile attributes
// and operands can get wrong.
// RUN: cq-opt %s -split-input-file -verify-diagnostics | cq-opt -split-input-file | FileCheck %s

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [32 : 4, 160 : 3], permuted>

// CHECK-LABEL: func.func @offline
func.func @offline(%w : tensor<192x576xf32>) -> (tensor<43776xi8>, tensor<1728xf16>) {
  // CHECK: cq.rank_rows %{{.*}} {layout = #cq.layout<panel16, [32 : 4, 160 : 3], permuted>, scheme = {{.*}}} : tensor<192x576xf32> -> tensor<192xi16>
  %order = cq.rank_rows %w {scheme = #s, layout = #l} : tensor<192x576xf32> -> tensor<192xi16>
  // CHECK: cq.permute_rows %{{.*}}, %{{.*}} : tensor<192x576xf32>, tensor<192xi16>
  %v = cq.permute_rows %w, %order : tensor<192x576xf32>, tensor<192xi16>
  // CHECK: cq.quantize %{{.*}} {layout = #cq.layout<panel16, [32 : 4, 160 : 3], permuted>
  %codes, %scales = cq.quantize %v {scheme = #s, quantizer = #cq.quantizer<mse>, layout = #l}
      : tensor<192x576xf32> -> tensor<192x576xi8>, tensor<192x9xf16>
  // 32 rows of 4 bits are 9216 bytes, 160 of 3 are 34560.
  %pc, %ps = cq.pack %codes scales(%scales : tensor<192x9xf16>) {scheme = #s, layout = #l}
      : tensor<192x576xi8> -> tensor<43776xi8>, tensor<1728xf16>
  return %pc, %ps : tensor<43776xi8>, tensor<1728xf16>
}

// CHECK-LABEL: func.func @product
func.func @product(%x : tensor<1x576xf32>, %c : tensor<43776xi8>, %s : tensor<1728xf16>,
                   %o : tensor<192xi16>, %i : tensor<1x192xf32>) -> tensor<1x192xf32> {
  // CHECK: rows(%{{.*}} : tensor<192xi16>) outs
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<43776xi8>) scales(%s : tensor<1728xf16>)
      rows(%o : tensor<192xi16>) outs(%i : tensor<1x192xf32>)
      {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return %y : tensor<1x192xf32>
}

// Widths that differ in an order of their own need no operand.
#m = #cq.layout<panel16, [32 : 4, 160 : 3]>
func.func @in_order(%x : tensor<1x576xf32>, %c : tensor<43776xi8>, %s : tensor<1728xf16>,
                    %i : tensor<1x192xf32>) -> tensor<1x192xf32> {
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<43776xi8>) scales(%s : tensor<1728xf16>)
      outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #m, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return %y : tensor<1x192xf32>
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [32 : 4, 160 : 3], permuted>
func.func @no_order(%x : tensor<1x576xf32>, %c : tensor<43776xi8>, %s : tensor<1728xf16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{needs a plane of row order, 192 x 'i16'}}
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<43776xi8>) scales(%s : tensor<1728xf16>)
      outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
func.func @order_of_nothing(%x : tensor<1x576xf32>, %c : tensor<41472xi8>, %s : tensor<1728xf16>, %o : tensor<192xi16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{has a plane of row order that its scheme, layout and cherries do not have}}
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<41472xi8>) scales(%s : tensor<1728xf16>)
      rows(%o : tensor<192xi16>) outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [32 : 4, 160 : 3], permuted>
func.func @short_order(%x : tensor<1x576xf32>, %c : tensor<43776xi8>, %s : tensor<1728xf16>, %o : tensor<191xi16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{plane of row order is 'tensor<191xi16>'}}
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<43776xi8>) scales(%s : tensor<1728xf16>)
      rows(%o : tensor<191xi16>) outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [32 : 4, 160 : 3], permuted>
func.func @uniform_codes(%x : tensor<1x576xf32>, %c : tensor<41472xi8>, %s : tensor<1728xf16>, %o : tensor<192xi16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{plane of codes is 'tensor<41472xi8>', but shape, scheme and layout demand 43776}}
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<41472xi8>) scales(%s : tensor<1728xf16>)
      rows(%o : tensor<192xi16>) outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [32 : 4, 160 : 3], permuted>
func.func @lookup(%t : tensor<8xi32>, %c : tensor<43776xi8>, %s : tensor<1728xf16>, %i : tensor<8x576xf32>) {
  // expected-error @+1 {{cannot look up rows of a permuted layout}}
  %y = cq.gather %t : tensor<8xi32> codes(%c : tensor<43776xi8>) scales(%s : tensor<1728xf16>)
      outs(%i : tensor<8x576xf32>) {scheme = #s, layout = #l} -> tensor<8x576xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = half_step, scale = f16>
#l = #cq.layout<panel16, [32 : 5, 160 : 3], permuted>
func.func @grid_without_width(%w : tensor<192x576xf32>) {
  // expected-error @+1 {{the half-step grid has 2 to 4 bits, not 5}}
  %order = cq.rank_rows %w {scheme = #s, layout = #l} : tensor<192x576xf32> -> tensor<192xi16>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [32 : 2, 160 : 3], permuted>
func.func @narrow_first(%w : tensor<192x576xf32>) {
  // expected-error @+1 {{needs a permuted layout of two segments, the wider rows first}}
  %order = cq.rank_rows %w {scheme = #s, layout = #l} : tensor<192x576xf32> -> tensor<192xi16>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [32 : 4, 144 : 3], permuted>
func.func @other_rows(%w : tensor<192x576xf32>) {
  // expected-error @+1 {{layout has 176 rows, the weight has 192}}
  %c, %s = cq.quantize %w {scheme = #s, quantizer = #cq.quantizer<rtn>, layout = #l}
      : tensor<192x576xf32> -> tensor<192x576xi8>, tensor<192x9xf16>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [32 : 4, 70000 : 3], permuted>
func.func @many_rows(%w : tensor<70032x64xf32>) {
  // expected-error @+1 {{order is 'tensor<70032xi16>', but the rows demand 'tensor<70032xi32>'}}
  %order = cq.rank_rows %w {scheme = #s, layout = #l} : tensor<70032x64xf32> -> tensor<70032xi16>
  return
}

// -----

func.func @wrong_order(%w : tensor<192x576xf32>, %o : tensor<192xi32>) {
  // expected-error @+1 {{order is 'tensor<192xi32>'}}
  %v = cq.permute_rows %w, %o : tensor<192x576xf32>, tensor<192xi32>
  return
}

// -----

// expected-error @+1 {{row segment 0 has 24 rows, but every panel16 segment except the last has a multiple of 16}}
#l = #cq.layout<panel16, [24 : 4, 168 : 3], permuted>

// -----

// expected-error @+1 {{expected 'permuted'}}
#l = #cq.layout<panel16, [32 : 4, 160 : 3], shuffled>
