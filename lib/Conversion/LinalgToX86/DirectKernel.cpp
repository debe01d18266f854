//===- DirectKernel.cpp - Products with contiguous rows of B --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// For P · V of attention and few rows times W[K, N]: rows of B are read where
// they lie, elements of A are broadcast. With few rows of A (decode) all tasks
// of a thread do a block of rows of B before the next block: memory is read in
// its order, and sums wait in C. For Q · Kᵀ of many tokens a
// task transposes its keys first.
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::cq;

int64_t mlir::cq::getDirectRows(unsigned lanes, int64_t rows) {
  // Two sums a row, two vectors of B and a broadcast must fit the registers: 16
  // with AVX2, 32 with AVX-512.
  int64_t most = lanes >= 16 ? 12 : 6;
  return llvm::divideCeil(rows, llvm::divideCeil(rows, most));
}

func::FuncOp mlir::cq::getDirectKernel(ModuleOp module, unsigned lanes,
                                       int64_t rows, DirectForm form) {
  const bool transposed = form == DirectForm::Transposed,
             few = form == DirectForm::FewRows;
  std::string name = "cq_f32_direct_";
  name += (few ? "few_" : transposed ? "nk_" : "") + std::to_string(rows);
  if (auto existing = module.lookupSymbol<func::FuncOp>(name))
    return existing;
  MLIRContext *context = module.getContext();
  MemRefType unit = getViewType(context, true),
             any = getViewType(context, false);
  KernelBuilder k(module, name, {any, unit, unit, IntegerType::get(context, 1)},
                  lanes);
  Value lhs = k.argument(0), rhs = k.argument(1), out = k.argument(2);
  Value accumulate = k.argument(3), begin = k.argument(4), end = k.argument(5);
  constexpr int64_t vectors = 2;
  /// Rows of B in a block: those of all heads of a model of 135 M are 24 KB.
  constexpr int64_t blockRows = 32;
  constexpr int64_t lineElements = 16;

  Value c0 = k.index(0), c1 = k.index(1);
  Value m = k.dim(out, 2), n = k.dim(out, 3), depth = k.dim(lhs, 3);
  Value batches = k.dim(out, 1), tiles = k.ceilDiv(n, vectors * lanes);
  Value lastRow = k.sub(m, c1), scratch;
  if (transposed)
    scratch = callScratch(k.b, k.b.getLoc(), module, "cq_scratch",
                          k.mul(depth, k.index(vectors * lanes)));

  // At least one block: C is written even where K is 0.
  Value most = k.max(depth, c1), block = most;
  // Sums that are added to C do not wait there.
  if (few)
    block = k.select(accumulate, most, k.index(blockRows));
  auto emitTask = [&](Value task, Value from, Value to) {
    Value batch = k.div(task, tiles);
    Value n0 = k.mul(k.rem(task, tiles), k.index(vectors * lanes));
    Value b0 = k.div(batch, batches), b1 = k.rem(batch, batches);
    SmallVector<Value> column, mask;
    for (int64_t v = 0; v < vectors; ++v)
      column.push_back(k.add(n0, k.index(v * lanes)));
    if (transposed) {
      // Columns beyond N repeat the last one and are not stored.
      SmallVector<Value> lines;
      for (int64_t j = 0; j < vectors * lanes; ++j)
        lines.push_back(k.min(k.add(n0, k.index(j)), k.sub(n, c1)));
      packTransposed(k, rhs, {b0, b1}, lines, c0, depth, scratch, c0);
    }
    auto emitRows = [&](bool masked) {
      auto read = [&](Value from, Value r, int64_t v) {
        SmallVector<Value> at{b0, b1, r, column[v]};
        return masked ? k.maskedLoad(from, at, mask[v]) : k.load(from, at);
      };
      k.loop(c0, m, k.index(rows), [&](Value m0) {
        SmallVector<Value> row;
        for (int64_t i = 0; i < rows; ++i)
          row.push_back(k.min(k.add(m0, k.index(i)), lastRow));
        SmallVector<Value> begun(rows * vectors, k.zeroVector());
        if (few) {
          Value first = k.less(from, c1);
          for (int64_t i = 0; i < rows; ++i)
            for (int64_t v = 0; v < vectors; ++v) {
              Value &sum = begun[i * vectors + v];
              sum = k.select(first, sum, read(out, row[i], v));
            }
        }
        SmallVector<Value> sums =
            k.loop(from, to, c1, begun, [&](Value at, ValueRange sums) {
              SmallVector<Value> next(sums), w;
              for (unsigned j = 0; few && j < vectors * lanes;
                   j += lineElements)
                k.prefetch(rhs, {b0, b1,
                                 k.min(k.add(at, k.index(blockRows)),
                                       k.sub(depth, c1)),
                                 k.min(k.add(n0, k.index(j)), k.sub(n, c1))});
              for (int64_t v = 0; v < vectors; ++v)
                w.push_back(
                    transposed
                        ? k.load(scratch,
                                 k.add(k.mul(at, k.index(vectors * lanes)),
                                       k.index(v * lanes)))
                        : read(rhs, at, v));
              for (int64_t i = 0; i < rows; ++i) {
                Value a = k.splat(memref::LoadOp::create(
                    k.b, lhs, ValueRange{b0, b1, row[i], at}));
                for (int64_t v = 0; v < vectors; ++v)
                  next[i * vectors + v] = k.fma(a, w[v], next[i * vectors + v]);
              }
              return next;
            });
        for (int64_t i = 0; i < rows; ++i)
          k.ifThen(k.less(k.add(m0, k.index(i)), m), [&] {
            for (int64_t v = 0; v < vectors; ++v) {
              SmallVector<Value> at{b0, b1, row[i], column[v]};
              Value old =
                  k.select(accumulate, read(out, row[i], v), k.zeroVector());
              Value sum =
                  arith::AddFOp::create(k.b, old, sums[i * vectors + v]);
              if (masked)
                vector::MaskedStoreOp::create(k.b, out, at, mask[v], sum);
              else
                vector::StoreOp::create(k.b, sum, out, at);
            }
          });
      });
    };
    Value inside = k.less(k.add(n0, k.index(vectors * lanes - 1)), n);
    k.ifThen(
        inside, [&] { emitRows(false); },
        [&] {
          for (int64_t v = 0; v < vectors; ++v) {
            // n − column may be negative; signed min keeps the mask empty then.
            Value left = k.sub(n, column[v]);
            mask.push_back(k.mask(left));
          }
          emitRows(true);
        });
  };
  k.loop(c0, most, block, [&](Value from) {
    Value to = k.min(k.add(from, block), depth);
    k.loop(begin, end, c1, [&](Value task) { emitTask(task, from, to); });
  });
  k.finish();
  return k.function;
}
