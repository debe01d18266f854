// RUN: cq-opt --cq-set-activations=mode=int8 --cse %s | FileCheck %s --check-prefix=INT8
// RUN: cq-opt --cq-set-activations=mode=int8 --cq-set-activations=mode=f32 --canonicalize %s | FileCheck %s --check-prefix=F32
// RUN: not cq-opt --cq-set-activations=mode=i4 %s 2>&1 | FileCheck %s --check-prefix=ERROR

// ERROR: mode 'i4' is neither int8 nor f32

#scheme = #cq.scheme<bits = 3, group = 64, grid = symmetric, scale = f16>
#layout = #cq.layout<panel16, [192 : 3]>

// Two products of one value share its codes.
// INT8-LABEL: func.func @products
// INT8-SAME:    (%[[X:.*]]: tensor<1x576xf32>
// INT8:         %[[Q:.*]]:3 = cq.dynamic_quantize %[[X]]
// INT8-NOT:     cq.dynamic_quantize
// INT8:         cq.matmul activations(%[[Q]]#0, %[[Q]]#1, %[[Q]]#2
// INT8:         cq.matmul activations(%[[Q]]#0, %[[Q]]#1, %[[Q]]#2
// F32-LABEL:  func.func @products
// F32-SAME:     (%[[X:.*]]: tensor<1x576xf32>
// F32:          cq.matmul x(%[[X]]
// F32-SAME:       mode = #cq.activation<f32>
func.func @products(%x : tensor<1x576xf32>, %q : tensor<41472xi8>, %qs : tensor<1728xf16>,
                    %k : tensor<41472xi8>, %ks : tensor<1728xf16>, %y : tensor<1x192xf32>)
    -> (tensor<1x192xf32>, tensor<1x192xf32>) {
  %0 = cq.matmul x(%x : tensor<1x576xf32>)
    codes(%q : tensor<41472xi8>) scales(%qs : tensor<1728xf16>) outs(%y : tensor<1x192xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  %1 = cq.matmul x(%x : tensor<1x576xf32>)
    codes(%k : tensor<41472xi8>) scales(%ks : tensor<1728xf16>) outs(%y : tensor<1x192xf32>)
    {scheme = #scheme, layout = #layout, mode = #cq.activation<f32>} -> tensor<1x192xf32>
  return %0, %1 : tensor<1x192xf32>, tensor<1x192xf32>
}
