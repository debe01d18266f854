//===- Transpose.cpp - Rows of B, transposed into scratch memory ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::cq;

/// Eight vectors of eight, transposed with shuffles that stay in 128-bit halves
/// until the last step.
static SmallVector<Value> transpose8(OpBuilder &b, Location loc,
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

void mlir::cq::packTransposed(KernelBuilder &k, Value from, ValueRange batch,
                              ValueRange rows, Value first, Value count,
                              Value to, Value base) {
  Value c1 = k.index(1), step = k.index(8), stride = k.index(rows.size());
  auto eight = VectorType::get({8}, k.b.getF32Type());
  auto place = [&](Value kk, size_t j) {
    return k.add(base, k.add(k.mul(kk, stride), k.index(j)));
  };
  auto element = [&](size_t j, Value kk) {
    SmallVector<Value> at(batch);
    at.append({rows[j], k.add(first, kk)});
    return at;
  };
  Value whole = k.sub(count, k.rem(count, step));
  k.loop(k.index(0), whole, step, [&](Value kk) {
    for (size_t j = 0; j < rows.size(); j += 8) {
      SmallVector<Value> lines;
      for (size_t i = 0; i < 8; ++i)
        lines.push_back(
            vector::LoadOp::create(k.b, eight, from, element(j + i, kk)));
      lines = transpose8(k.b, k.b.getLoc(), lines);
      for (size_t i = 0; i < 8; ++i)
        vector::StoreOp::create(k.b, lines[i], to,
                                place(k.add(kk, k.index(i)), j));
    }
  });
  k.loop(whole, count, c1, [&](Value kk) {
    for (size_t j = 0; j < rows.size(); ++j)
      memref::StoreOp::create(k.b,
                              memref::LoadOp::create(k.b, from, element(j, kk)),
                              to, place(kk, j));
  });
}
