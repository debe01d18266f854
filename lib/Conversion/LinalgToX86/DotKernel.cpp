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

DotTile DotTile::get(unsigned lanes, int64_t rows) {
  // rows × columns sums, one vector a row and one of W must fit the registers:
  // 16 with AVX2, 32 with AVX-512.
  int64_t most = lanes >= 16 ? 6 : 3;
  int64_t each = llvm::divideCeil(rows, llvm::divideCeil(rows, most));
  return {each, lanes >= 16 && each <= 3 ? 8 : 4};
}

/// [Σ four[0], Σ four[1], Σ four[2], Σ four[3]]: rows of a transposed matrix
/// added as they come, a third of the instructions of four sums apart.
static Value sumEach(KernelBuilder &k, ArrayRef<Value> four) {
  auto shuffle = [&](Value x, Value y, ArrayRef<int64_t> quad) {
    int64_t size = cast<VectorType>(x.getType()).getNumElements();
    SmallVector<int64_t> mask;
    for (int64_t block = 0; block < size; block += 4)
      for (int64_t lane : quad)
        mask.push_back(block + (lane < 4 ? lane : size + lane - 4));
    return vector::ShuffleOp::create(k.b, x, y, mask);
  };
  auto addShuffled = [&](Value x, Value y, ArrayRef<int64_t> one,
                         ArrayRef<int64_t> other) -> Value {
    return arith::AddFOp::create(k.b, shuffle(x, y, one), shuffle(x, y, other));
  };
  Value first = addShuffled(four[0], four[1], {0, 4, 1, 5}, {2, 6, 3, 7});
  Value second = addShuffled(four[2], four[3], {0, 4, 1, 5}, {2, 6, 3, 7});
  Value sum = addShuffled(first, second, {0, 1, 4, 5}, {2, 3, 6, 7});
  for (int64_t half = k.lanes / 2; half >= 4; half /= 2) {
    auto part = [&](int64_t from) {
      return vector::ExtractStridedSliceOp::create(
          k.b, sum, ArrayRef<int64_t>{from}, ArrayRef<int64_t>{half},
          ArrayRef<int64_t>{1});
    };
    sum = arith::AddFOp::create(k.b, part(0), part(half));
  }
  return sum;
}

func::FuncOp mlir::cq::getDotKernel(ModuleOp module, unsigned lanes,
                                    const DotTile &tile) {
  const int64_t rows = tile.rows, columns = tile.columns;
  std::string name = "cq_f32_dot_" + std::to_string(rows);
  if (auto existing = module.lookupSymbol<func::FuncOp>(name))
    return existing;
  MLIRContext *context = module.getContext();
  MemRefType unit = getViewType(context, true);
  KernelBuilder k(module, name,
                  {unit, unit, unit, IntegerType::get(context, 1)}, lanes);
  Value lhs = k.argument(0), rhs = k.argument(1), out = k.argument(2);
  Value accumulate = k.argument(3), begin = k.argument(4), end = k.argument(5);
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
    // Rows of a key cache lie a stride apart that hardware does not foresee.
    // Of longer rows the beginning is enough.
    constexpr int64_t rowsAhead = 16, fetched = 256;
    SmallVector<Value> ahead;
    for (int64_t j = 0; j < columns; ++j)
      ahead.push_back(k.min(k.add(n0, k.index(rowsAhead + j)), lastColumn));
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
        Value line = k.min(kk, k.index(fetched));
        auto read = [&](Value from, Value r) {
          return mask ? k.maskedLoad(from, {b0, b1, r, kk}, mask)
                      : k.load(from, {b0, b1, r, kk});
        };
        for (int64_t i = 0; i < rows; ++i)
          a.push_back(read(lhs, row[i]));
        for (int64_t j = 0; j < columns; ++j) {
          Value w = read(rhs, column[j]);
          k.prefetch(rhs, {b0, b1, ahead[j], line});
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
      auto type = VectorType::get({columns}, k.b.getF32Type());
      Value zero = arith::ConstantOp::create(k.b, k.b.getZeroAttr(type));
      Value inside = vector::CreateMaskOp::create(
          k.b, VectorType::get({columns}, k.b.getI1Type()), k.sub(n, n0));
      for (int64_t i = 0; i < rows; ++i) {
        SmallVector<Value> all(ArrayRef(sums).slice(i * columns, columns));
        for (int64_t j = 0; unroll == 2 && j < columns; ++j)
          all[j] = arith::AddFOp::create(k.b, all[j],
                                         sums[(rows + i) * columns + j]);
        Value total = sumEach(k, ArrayRef(all).take_front(4));
        if (columns == 8)
          total = vector::ShuffleOp::create(
              k.b, total, sumEach(k, ArrayRef(all).drop_front(4)),
              ArrayRef<int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
        k.ifThen(k.less(k.add(m0, k.index(i)), m), [&] {
          SmallVector<Value> at{b0, b1, row[i], n0};
          Value old =
              vector::MaskedLoadOp::create(k.b, type, out, at, inside, zero);
          old = k.select(accumulate, old, zero);
          vector::MaskedStoreOp::create(k.b, out, at, inside,
                                        arith::AddFOp::create(k.b, old, total));
        });
      }
    });
  });
  k.finish();
  return k.function;
}
