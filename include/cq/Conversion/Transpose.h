//===- Transpose.h - Eight vectors of eight, transposed ---------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_TRANSPOSE_H
#define CQ_CONVERSION_TRANSPOSE_H

#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace mlir::cq {

/// Eight vectors of eight, transposed with shuffles that stay in 128-bit halves
/// until the last step.
inline SmallVector<Value> transpose8(OpBuilder &b, Location loc,
                                     ValueRange rows) {
  auto shuffle = [&](Value x, Value y, ArrayRef<int64_t> mask) -> Value {
    return vector::ShuffleOp::create(b, loc, x, y, mask);
  };
  SmallVector<Value> t, s, out(8);
  for (int i = 0; i < 8; i += 2) {
    t.push_back(shuffle(rows[i], rows[i + 1], {0, 8, 1, 9, 4, 12, 5, 13}));
    t.push_back(shuffle(rows[i], rows[i + 1], {2, 10, 3, 11, 6, 14, 7, 15}));
  }
  for (int half = 0; half < 8; half += 4)
    for (int i = 0; i < 2; ++i) {
      Value x = t[half + i], y = t[half + i + 2];
      s.push_back(shuffle(x, y, {0, 1, 8, 9, 4, 5, 12, 13}));
      s.push_back(shuffle(x, y, {2, 3, 10, 11, 6, 7, 14, 15}));
    }
  for (int i = 0; i < 4; ++i) {
    out[i] = shuffle(s[i], s[i + 4], {0, 1, 2, 3, 8, 9, 10, 11});
    out[i + 4] = shuffle(s[i], s[i + 4], {4, 5, 6, 7, 12, 13, 14, 15});
  }
  return out;
}

} // namespace mlir::cq

#endif // CQ_CONVERSION_TRANSPOSE_H
