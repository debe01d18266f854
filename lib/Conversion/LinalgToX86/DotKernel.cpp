//===- DotKernel.cpp - Products along a contiguous K ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// For x · Wᵀ with few rows of x, and Q · Kᵀ: rows of both operands are read
// where they lie, nothing is packed, sums stay in registers until K ends. Tasks
// take the batches (heads) of some columns before the next columns: a cache has
// the keys of a token's heads side by side.
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::cq;

int64_t mlir::cq::getDotColumns(unsigned lanes, int64_t rows) {
  // rows × columns sums, one vector a row and one of W must fit the registers:
  // 16 with AVX2, 32 with AVX-512.
  if (lanes >= 16)
    return rows == 1 ? 8 : rows <= 3 ? 8 : 6;
  return rows <= 3 ? 4 : 3;
}

func::FuncOp mlir::cq::getDotKernel(ModuleOp module, unsigned lanes,
                                    int64_t rows) {
  std::string name = "cq_f32_dot_" + std::to_string(rows);
  if (auto existing = module.lookupSymbol<func::FuncOp>(name))
    return existing;
  MLIRContext *context = module.getContext();
  MemRefType unit = getViewType(context, true),
             any = getViewType(context, false);
  KernelBuilder k(module, name, {unit, unit, any, IntegerType::get(context, 1)},
                  lanes);
  Value lhs = k.argument(0), rhs = k.argument(1), out = k.argument(2);
  Value accumulate = k.argument(3), begin = k.argument(4), end = k.argument(5);
  const int64_t columns = getDotColumns(lanes, rows);
  // A single row has too few sums to hide the latency of an FMA.
  const int64_t unroll = rows == 1 && columns <= 4 ? 2 : 1;

  Value c0 = k.index(0), c1 = k.index(1), step = k.index(lanes);
  Value m = k.dim(out, 2), n = k.dim(out, 3), depth = k.dim(lhs, 3);
  Value batches = k.dim(out, 1), allBatches = k.mul(k.dim(out, 0), batches);
  Value lastRow = k.sub(m, c1), lastColumn = k.sub(n, c1);
  Value block = k.index(unroll * lanes);
  Value whole = k.sub(depth, k.rem(depth, block));

  k.loop(begin, end, c1, [&](Value task) {
    Value batch = k.rem(task, allBatches);
    Value n0 = k.mul(k.div(task, allBatches), k.index(columns));
    Value b0 = k.div(batch, batches), b1 = k.rem(batch, batches);
    // Rows of a key cache lie a stride apart that hardware does not foresee:
    // the first cache lines of those two tiles ahead, as much as a head has.
    constexpr int64_t lineElements = 16, lines = 4;
    for (int64_t j = 0; j < columns; ++j)
      for (int64_t line = 0; line < lines; ++line)
        k.prefetch(rhs,
                   {b0, b1,
                    k.min(k.add(n0, k.index(2 * columns + j)), lastColumn),
                    k.min(k.index(line * lineElements), k.sub(depth, c1))});
    k.loop(c0, m, k.index(rows), [&](Value m0) {
      // Rows beyond the edge are read from the last one and not stored.
      SmallVector<Value> row, column;
      for (int64_t i = 0; i < rows; ++i)
        row.push_back(k.min(k.add(m0, k.index(i)), lastRow));
      for (int64_t j = 0; j < columns; ++j)
        column.push_back(k.min(k.add(n0, k.index(j)), lastColumn));
      auto accumulateBlock = [&](Value at, ValueRange sums, int64_t part,
                                 Value mask) {
        SmallVector<Value> next(sums), a;
        Value kk = part ? k.add(at, k.index(part * lanes)) : at;
        auto read = [&](Value from, Value r) {
          return mask ? k.maskedLoad(from, {b0, b1, r, kk}, mask)
                      : k.load(from, {b0, b1, r, kk});
        };
        for (int64_t i = 0; i < rows; ++i)
          a.push_back(read(lhs, row[i]));
        for (int64_t j = 0; j < columns; ++j) {
          Value w = read(rhs, column[j]);
          for (int64_t i = 0; i < rows; ++i) {
            Value &sum = next[(part * rows + i) * columns + j];
            sum = k.fma(a[i], w, sum);
          }
        }
        return next;
      };
      SmallVector<Value> zeros(unroll * rows * columns, k.zeroVector());
      SmallVector<Value> sums =
          k.loop(c0, whole, block, zeros, [&](Value at, ValueRange sums) {
            SmallVector<Value> next(sums);
            for (int64_t part = 0; part < unroll; ++part)
              next = accumulateBlock(at, next, part, nullptr);
            return next;
          });
      sums = k.loop(whole, depth, step, sums, [&](Value at, ValueRange sums) {
        return accumulateBlock(at, sums, 0, k.mask(k.sub(depth, at)));
      });
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) {
          Value sum = sums[i * columns + j];
          if (unroll == 2)
            sum =
                arith::AddFOp::create(k.b, sum, sums[(rows + i) * columns + j]);
          Value total =
              vector::ReductionOp::create(k.b, vector::CombiningKind::ADD, sum,
                                          arith::FastMathFlags::reassoc);
          Value inside = k.both(k.less(k.add(m0, k.index(i)), m),
                                k.less(k.add(n0, k.index(j)), n));
          k.ifThen(inside, [&] {
            SmallVector<Value> at{b0, b1, row[i], column[j]};
            Value old = memref::LoadOp::create(k.b, out, at);
            old = arith::SelectOp::create(k.b, accumulate, old, k.zero());
            memref::StoreOp::create(k.b, arith::AddFOp::create(k.b, old, total),
                                    out, at);
          });
        }
    });
  });
  k.finish();
  return k.function;
}
