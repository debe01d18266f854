//===- Transpose.cpp - Rows of B, transposed into scratch memory ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Conversion/Transpose.h"
#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::cq;

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
