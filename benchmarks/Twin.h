//===- Twin.h - A packed product written by hand ----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The yardstick of generated kernels: 3 bits, groups of 128, symmetric, f16
// scales, panel16 (docs/Codec.md), int8 activations, 1 or 8 tokens, in
// intrinsics for AVX2 and AVX-512 with VNNI.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_BENCHMARKS_TWIN_H
#define CQ_BENCHMARKS_TWIN_H

#include <cstdint>

namespace mlir::cq {

struct TwinProduct {
  int64_t n, k, m;               ///< n % 16 == 0, k % 128 == 0
  const int8_t *activationCodes; ///< [m, k]
  const float *activationScales; ///< [m, k / 128]
  const int32_t *activationSums; ///< [m, k / 128]
  const uint8_t *codes;
  const uint16_t *scales;
  float *y; ///< [m, n]
};

/// Panels [begin, end) of 16 rows. False where neither this CPU nor this shape
/// has a twin.
bool runTwin(const TwinProduct &product, int64_t begin, int64_t end);

} // namespace mlir::cq

#endif // CQ_BENCHMARKS_TWIN_H
