//===- Transpose.h - Squares of eight or sixteen, transposed ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_TRANSPOSE_H
#define CQ_CONVERSION_TRANSPOSE_H

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include <array>

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

/// Sixteen vectors of sixteen: squares of four in 128-bit quarters, then the
/// quarters.
inline SmallVector<Value> transpose16(OpBuilder &b, Location loc,
                                      ValueRange rows) {
  auto shuffle = [&](Value x, Value y, int64_t first, bool pairs) -> Value {
    SmallVector<int64_t> mask;
    for (int64_t quarter = 0; quarter < 16; quarter += 4)
      for (int64_t i = 0; i < 4; ++i)
        mask.push_back(quarter + first +
                       (pairs ? i % 2 + i / 2 * 16 : i / 2 + i % 2 * 16));
    return vector::ShuffleOp::create(b, loc, x, y, mask);
  };
  // Quarters `p` and `q` of x, then those of y.
  auto quarters = [&](Value x, Value y, int64_t p, int64_t q) -> Value {
    SmallVector<int64_t> mask;
    for (int64_t from : {4 * p, 4 * q, 16 + 4 * p, 16 + 4 * q})
      for (int64_t i = 0; i < 4; ++i)
        mask.push_back(from + i);
    return vector::ShuffleOp::create(b, loc, x, y, mask);
  };
  // Of column 4 q + c and four rows in quarter q.
  SmallVector<std::array<Value, 4>> fours;
  for (int i = 0; i < 16; i += 4) {
    std::array<Value, 4> columns;
    for (int c = 0; c < 4; ++c)
      columns[c] =
          shuffle(shuffle(rows[i], rows[i + 1], c / 2 * 2, /*pairs=*/false),
                  shuffle(rows[i + 2], rows[i + 3], c / 2 * 2, /*pairs=*/false),
                  c % 2 * 2, /*pairs=*/true);
    fours.push_back(columns);
  }
  SmallVector<Value> out(16);
  for (int c = 0; c < 4; ++c)
    for (int half = 0; half < 4; half += 2) {
      Value low = quarters(fours[0][c], fours[1][c], half, half + 1);
      Value high = quarters(fours[2][c], fours[3][c], half, half + 1);
      out[4 * half + c] = quarters(low, high, 0, 2);
      out[4 * half + 4 + c] = quarters(low, high, 1, 3);
    }
  return out;
}

} // namespace mlir::cq

#endif // CQ_CONVERSION_TRANSPOSE_H
