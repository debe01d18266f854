//===- ReferenceGemm.h - The oracle of every kernel -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Y [m, n] = X [m, k] · Ŵᵀ with Ŵ = dequantize(codes) + cherries. The order of
// operations is part of the definition; every kernel equals it bit for bit.
// With rows of several widths, b is the width of the row; the result of stored
// row s is column order[s] of Y.
//
// act = int8. Activation groups of `actGroup` columns (min(group, 128), and 128
// where the weight group is the whole row). For token t and activation group a:
//   amax = max |x|;  s = amax / 127 (f32);  code = s == 0 ? 0 :
//   clamp(round_half_even(x / s), −127, 127) (f32 division);  sum = Σ code, i32
// For every activation group in order of k, with weight group g containing it:
//   i = Σ_k u·code − offset·sum        symmetric (offset 2^(b−1))
//   i = Σ_k u·code − z·sum             affine
//   i = 2·Σ_k u·code − (2^b − 1)·sum   half-step, with S/2 in the place of S
//   acc = fma(float(i), S·s, acc)      acc starts at +0; S·s one f32 product
// act = f32. For every weight group in order: p = +0; for k in order
//   p = fma(q_k, x_k, p) with q = float(u − offset | u − z | 2u − (2^b−1));
//   acc = fma(p, S, acc)              (S/2 for half-step).
// Cherries, both modes, in f32, only where the form is not none: c = +0; for
// every cherry of the row in the order of the plane (element: entries; column:
// entries; slot: blocks, then slots):
//   c = fma(delta, x[column], c);     y = acc + c
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CODEC_REFERENCEGEMM_H
#define CQ_CODEC_REFERENCEGEMM_H

#include "cq/Codec/Quantizer.h"

namespace mlir::cq {

enum class ActivationMode : uint8_t { F32, Int8 };
llvm::StringRef stringifyActivationMode(ActivationMode mode); // "f32" "int8"
std::optional<ActivationMode> parseActivationMode(llvm::StringRef text);

/// The activation group that goes with a weight scheme: min(group, 128); 128
/// for whole-row groups.
inline int64_t activationGroup(const Scheme &scheme) {
  return scheme.group == 0 || scheme.group > 128 ? 128 : scheme.group;
}

/// Dynamically quantized activations.
struct QuantizedActivations {
  int64_t m = 0, k = 0, group = 0;
  std::vector<int8_t> codes; ///< [m, k]
  std::vector<float> scales; ///< [m, ceil(k/group)]
  std::vector<int32_t> sums; ///< [m, ceil(k/group)]
};
QuantizedActivations quantizeActivations(const float *x, int64_t m, int64_t k,
                                         int64_t group);

/// y [m, n], overwritten. x [m, k] row-major.
void referenceGemm(const float *x, int64_t m, const QuantizedWeight &w,
                   const CherryPositions *cherries, ActivationMode mode,
                   float *y);

} // namespace mlir::cq

#endif // CQ_CODEC_REFERENCEGEMM_H
