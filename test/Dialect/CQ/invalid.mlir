// RUN: cq-opt %s --split-input-file --verify-diagnostics

// expected-error @+1 {{7}}
#s = #cq.scheme<bits = 7, group = 64, grid = symmetric, scale = f16>

// -----

// expected-error @+1 {{unknown grid 'round'}}
#s = #cq.scheme<bits = 3, group = 64, grid = round, scale = f16>

// -----

// expected-error @+1 {{half-step}}
#s = #cq.scheme<bits = 8, group = 64, grid = half_step, scale = f16>

// -----

// expected-error @+1 {{positive rows with a sum below 2^63}}
#l = #cq.layout<panel16, [9223372036854775807 : 3, 9223372036854775807 : 3]>

// -----

// expected-error @+1 {{positive rows}}
#l = #cq.layout<panel16, [-16 : 3]>

// -----

// expected-error @+1 {{positive count}}
#c = #cq.cherries<slot, 0>

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
func.func @codes_too_short(%x : tensor<1x576xf32>, %c : tensor<41471xi8>, %s : tensor<1728xf16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{plane of codes is 'tensor<41471xi8>', but shape, scheme and layout demand 41472 x 'i8'}}
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<41471xi8>) scales(%s : tensor<1728xf16>)
      outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
func.func @scale_type(%x : tensor<1x576xf32>, %c : tensor<41472xi8>, %s : tensor<1728xf32>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{plane of scales is 'tensor<1728xf32>'}}
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<41472xi8>) scales(%s : tensor<1728xf32>)
      outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 4]>
func.func @segment_bits(%x : tensor<1x576xf32>, %c : tensor<41472xi8>, %s : tensor<1728xf16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{the last rows of the layout must have the 3 bits of the scheme, not 4}}
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<41472xi8>) scales(%s : tensor<1728xf16>)
      outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [176 : 3]>
func.func @rows(%x : tensor<1x576xf32>, %c : tensor<41472xi8>, %s : tensor<1728xf16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{176}}
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<41472xi8>) scales(%s : tensor<1728xf16>)
      outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return
}

// -----

// Products beyond 2^63 are an error, not a wrap.
// expected-error @+1 {{too large to be counted}}
#l = #cq.layout<panel16, [4611686018427387904 : 3]>

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [16777216 : 3]>
func.func @overflow(%x : tensor<1x1099511627776xf32>, %c : tensor<0xi8>, %s : tensor<0xf16>, %i : tensor<1x16777216xf32>) {
  // expected-error @+1 {{too large to be counted}}
  %y = cq.matmul x(%x : tensor<1x1099511627776xf32>) codes(%c : tensor<0xi8>) scales(%s : tensor<0xf16>)
      outs(%i : tensor<1x16777216xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x16777216xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
func.func @int8_without_codes(%x : tensor<1x576xf32>, %c : tensor<41472xi8>, %s : tensor<1728xf16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{reads no f32 activations in mode int8 without cherries}}
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<41472xi8>) scales(%s : tensor<1728xf16>)
      outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<int8>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
func.func @cherries_without_planes(%x : tensor<1x576xf32>, %c : tensor<41472xi8>, %s : tensor<1728xf16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{needs a plane of cherry columns, 384 x 'i8'}}
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<41472xi8>) scales(%s : tensor<1728xf16>)
      outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, cherries = #cq.cherries<slot, 1>, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
func.func @mixed(%x : memref<1x576xf32>, %c : tensor<41472xi8>, %s : tensor<1728xf16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{mixes tensors and memrefs}}
  %y = cq.matmul x(%x : memref<1x576xf32>) codes(%c : tensor<41472xi8>) scales(%s : tensor<1728xf16>)
      outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 4, group = 32, grid = affine, scale = f16>
func.func @affine_without_zeros(%c : tensor<2x64xi8>, %s : tensor<2x2xf16>) {
  // expected-error @+1 {{affine grid needs zero points}}
  %w = cq.dequantize %c scales(%s : tensor<2x2xf16>) {scheme = #s} : tensor<2x64xi8> -> tensor<2x64xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
func.func @groups(%w : tensor<2x65xf32>) {
  // expected-error @+1 {{but the scheme demands [2, 2] of f16}}
  %c, %s = cq.quantize %w {scheme = #s, quantizer = #cq.quantizer<rtn>} : tensor<2x65xf32> -> tensor<2x65xi8>, tensor<2x1xf16>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
func.func @cherry_columns(%w : tensor<192x576xf32>) {
  // expected-error @+1 {{demand 384 of 8 bits}}
  %c = cq.extract_cherries %w {scheme = #s, cherries = #cq.cherries<slot, 1>, criterion = #cq.criterion<magnitude>} : tensor<192x576xf32> -> tensor<384xi16>
  return
}

// -----

func.func @activation_group(%x : tensor<1x100xf32>, %a : tensor<1x100xi8>, %b : tensor<1x1xf32>, %c : tensor<1x1xi32>) {
  // expected-error @+1 {{scales and sums [M, 2]}}
  %r:3 = cq.dynamic_quantize %x : tensor<1x100xf32> outs(%a, %b, %c : tensor<1x100xi8>, tensor<1x1xf32>, tensor<1x1xi32>)
      {group = 64 : i64} -> tensor<1x100xi8>, tensor<1x1xf32>, tensor<1x1xi32>
  return
}

// -----

func.func private @kernel(f32, index)
func.func @launch(%f : f32, %n : index) {
  // expected-error @+1 {{it must take the arguments and two index values (begin, end) and return nothing}}
  cq.launch @kernel(%f : f32) tasks(%n)
  return
}

// -----

func.func @launch(%n : index) {
  // expected-error @+1 {{kernel @nowhere is no func.func in reach}}
  cq.launch @nowhere() tasks(%n)
  return
}

// -----

// K so large that counting its groups would wrap to none.
#s = #cq.scheme<bits = 3, group = row, grid = symmetric, scale = f16>
func.func @quantize_overflow(%w : tensor<2x9223372036854775807xf32>) {
  // expected-error @+1 {{too large to be counted}}
  %c, %s = cq.quantize %w {scheme = #s, quantizer = #cq.quantizer<rtn>}
      : tensor<2x9223372036854775807xf32> -> tensor<2x9223372036854775807xi8>, tensor<2x0xf16>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = row, grid = symmetric, scale = f16>
func.func @dequantize_overflow(%c : tensor<2x9223372036854775807xi8>, %s : tensor<2x0xf16>) {
  // expected-error @+1 {{too large to be counted}}
  %w = cq.dequantize %c scales(%s : tensor<2x0xf16>) {scheme = #s}
      : tensor<2x9223372036854775807xi8> -> tensor<2x9223372036854775807xf32>
  return
}

// -----

func.func @dynamic_quantize_overflow(%x : tensor<1x9223372036854775807xf32>, %a : tensor<1x9223372036854775807xi8>,
                                     %b : tensor<1x72057594037927936xf32>, %c : tensor<1x72057594037927936xi32>) {
  // expected-error @+1 {{too large to be counted}}
  %xc, %xs, %xz = cq.dynamic_quantize %x : tensor<1x9223372036854775807xf32>
      outs(%a, %b, %c : tensor<1x9223372036854775807xi8>, tensor<1x72057594037927936xf32>, tensor<1x72057594037927936xi32>)
      {group = 128 : i64} -> tensor<1x9223372036854775807xi8>, tensor<1x72057594037927936xf32>, tensor<1x72057594037927936xi32>
  return
}

// -----

func.func @negative_group(%x : tensor<1x64xf32>, %a : tensor<1x64xi8>, %b : tensor<1x1xf32>, %c : tensor<1x1xi32>) {
  // expected-error @+1 {{activation group is 1 to 128, got -64}}
  %xc, %xs, %xz = cq.dynamic_quantize %x : tensor<1x64xf32>
      outs(%a, %b, %c : tensor<1x64xi8>, tensor<1x1xf32>, tensor<1x1xi32>)
      {group = -64 : i64} -> tensor<1x64xi8>, tensor<1x1xf32>, tensor<1x1xi32>
  return
}

// -----

// expected-error @+1 {{-64}}
#s = #cq.scheme<bits = 3, group = -64, grid = symmetric, scale = f16>

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
func.func @matmul_int8_overflow(%xc : tensor<1x9223372036854775807xi8>, %xs : tensor<1x144115188075855872xf32>,
                                %xz : tensor<1x144115188075855872xi32>, %c : tensor<0xi8>, %s : tensor<0xf16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{too large to be counted}}
  %y = cq.matmul activations(%xc, %xs, %xz : tensor<1x9223372036854775807xi8>, tensor<1x144115188075855872xf32>, tensor<1x144115188075855872xi32>)
      codes(%c : tensor<0xi8>) scales(%s : tensor<0xf16>) outs(%i : tensor<1x192xf32>)
      {scheme = #s, layout = #l, mode = #cq.activation<int8>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
func.func @dynamic_plane(%x : tensor<1x576xf32>, %c : tensor<?xi8>, %s : tensor<1728xf16>, %i : tensor<1x192xf32>) {
  // expected-error @+1 {{plane of codes is 'tensor<?xi8>', but shape, scheme and layout demand 41472 x 'i8'}}
  %y = cq.matmul x(%x : tensor<1x576xf32>) codes(%c : tensor<?xi8>) scales(%s : tensor<1728xf16>)
      outs(%i : tensor<1x192xf32>) {scheme = #s, layout = #l, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
func.func @dynamic_columns(%t : tensor<2xi32>, %c : tensor<41472xi8>, %s : tensor<1728xf16>, %i : tensor<2x?xf32>) {
  // expected-error @+1 {{needs static N and K}}
  %y = cq.gather %t : tensor<2xi32> codes(%c : tensor<41472xi8>) scales(%s : tensor<1728xf16>)
      outs(%i : tensor<2x?xf32>) {scheme = #s, layout = #l} -> tensor<2x?xf32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
func.func @no_columns(%t : tensor<i32>, %c : tensor<0xi8>, %s : tensor<0xf16>, %i : tensor<f32>) {
  // expected-error @+1 {{must have the shape of the indices}}
  %y = cq.gather %t : tensor<i32> codes(%c : tensor<0xi8>) scales(%s : tensor<0xf16>)
      outs(%i : tensor<f32>) {scheme = #s, layout = #l} -> tensor<f32>
  return
}

// -----

#s = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#l = #cq.layout<panel16, [192 : 3]>
func.func @negative_columns(%c : tensor<41472xi8>, %s : tensor<1728xf16>) {
  // expected-error @+1 {{needs a positive number of columns}}
  %d, %t = cq.relayout %c scales(%s : tensor<1728xf16>) {scheme = #s, from = #l, to = #l, columns = -576 : i64}
      : tensor<41472xi8> -> tensor<41472xi8>, tensor<1728xf16>
  return
}

// -----

// Cherries of a weight whose columns do not fit 16 bits.
func.func @wide(%w : tensor<1x65537xf32>, %c : tensor<1xi16>, %d : tensor<1xf16>) {
  // expected-error @+1 {{16-bit columns}}
  %r = cq.scatter_cherries %w, %c, %d {cherries = #cq.cherries<element, 1>} : tensor<1x65537xf32>, tensor<1xi16>, tensor<1xf16>
  return
}

// -----

func.func @count(%w : tensor<1x64xf32>, %c : tensor<1xi16>, %d : tensor<1xf16>) {
  // expected-error @+1 {{cherry count of the form element must be 1 to 64}}
  %r = cq.scatter_cherries %w, %c, %d {cherries = #cq.cherries<element, 9223372036854775807>} : tensor<1x64xf32>, tensor<1xi16>, tensor<1xf16>
  return
}

// -----

func.func @observe(%x : tensor<8xf32>) {
  // expected-error @+1 {{input takes 1 operand, got 2}}
  cq.observe input [0] (%x, %x) : tensor<8xf32>, tensor<8xf32>
  return
}

// -----

func.func @observe(%x : tensor<8xf32>) {
  // expected-error @+1 {{block takes 2 operands, got 1}}
  cq.observe block [0] (%x) : tensor<8xf32>
  return
}

// -----

func.func @observe(%x : tensor<8xf32>, %y : tensor<9xf32>) {
  // expected-error @+1 {{operands differ in type}}
  cq.observe block [0] (%x, %y) : tensor<8xf32>, tensor<9xf32>
  return
}

// -----

func.func @observe(%x : tensor<8x9xf32>) {
  // expected-error @+1 {{gram needs a square matrix}}
  cq.observe gram [0] (%x) : tensor<8x9xf32>
  return
}

// -----

func.func @observe(%x : tensor<f32>) {
  // expected-error @+1 {{needs operands of rank 1 or more}}
  cq.observe input [0] (%x) : tensor<f32>
  return
}

// -----

func.func @observe(%x : tensor<8xf32>) {
  // expected-error @+1 {{attribute 'offset' failed to satisfy constraint}}
  cq.observe input [-1] (%x) : tensor<8xf32>
  return
}

// -----

func.func @observe(%x : tensor<8xf16>) {
  // expected-error @+1 {{must be variadic of}}
  cq.observe input [0] (%x) : tensor<8xf16>
  return
}
