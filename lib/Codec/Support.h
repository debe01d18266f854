//===- Support.h - Small helpers of the codec -------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CODEC_SUPPORT_H
#define CQ_LIB_CODEC_SUPPORT_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"
#include <cstdint>

namespace mlir::cq::detail {

inline llvm::Error makeError(const llvm::Twine &sentence) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), sentence);
}

inline int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline bool isValidBits(unsigned bits) {
  return (bits >= 2 && bits <= 6) || bits == 8;
}

/// An error unless a weight [n, k], padded in any layout, can be counted in
/// bits without overflow.
llvm::Error checkShape(int64_t n, int64_t k);

/// Calls body(begin, end) for consecutive ranges of `step` rows of [0, n), on
/// `threads` threads (0 = all of the machine). The ranges do not depend on the
/// number of threads.
void parallelForRows(int64_t n, int64_t step, unsigned threads,
                     llvm::function_ref<void(int64_t, int64_t)> body);

/// One tile of 16 rows of layout mma-fragment, of which `rows` exist; codes
/// [rows, k].
void packFragmentTile(unsigned bits, const uint8_t *codes, int64_t k,
                      int64_t rows, uint8_t *packed);
void unpackFragmentTile(unsigned bits, const uint8_t *packed, int64_t k,
                        int64_t rows, uint8_t *codes);

} // namespace mlir::cq::detail

#endif // CQ_LIB_CODEC_SUPPORT_H
