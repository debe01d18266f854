//===- PackedKernel.cpp - Register-tiled products over packed panels ------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// The loops of Goto and van de Geijn (TOMS 2008), with roles fitted to C = X ·
// Wᵀ: A is packed once by all threads; a thread packs `panels` panels of B (its
// own columns of C) for `depth` of K and runs all rows of A over them. Every
// element of C sums K in the same order at any number of threads.
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::cq;

/// P[k0 · paddedM + panel · rows · depth + k · rows + i] = A[panel · rows + i,
/// k0 + k]
func::FuncOp mlir::cq::getPackKernel(ModuleOp module,
                                     const GemmTiling &tiling) {
  StringRef name = "cq_f32_pack";
  if (auto existing = module.lookupSymbol<func::FuncOp>(name))
    return existing;
  MLIRContext *context = module.getContext();
  auto flat =
      MemRefType::get({ShapedType::kDynamic}, Float32Type::get(context));
  KernelBuilder k(module, name, {getViewType(context, false), flat},
                  tiling.lanes);
  Value from = k.argument(0), to = k.argument(1);
  Value c0 = k.index(0), c1 = k.index(1), rows = k.index(tiling.rows);
  Value m = k.dim(from, 2), depth = k.dim(from, 3),
        block = k.index(tiling.depth);
  Value padded = k.mul(k.ceilDiv(m, tiling.rows), rows), last = k.sub(m, c1);
  k.loop(k.argument(2), k.argument(3), c1, [&](Value panel) {
    Value m0 = k.mul(panel, rows);
    SmallVector<Value> row;
    for (unsigned i = 0; i < tiling.rows; ++i)
      row.push_back(k.min(k.add(m0, k.index(i)), last));
    k.loop(c0, depth, block, [&](Value k0) {
      Value count = k.min(block, k.sub(depth, k0));
      Value base = k.add(k.mul(k0, padded), k.mul(m0, count));
      k.loop(c0, count, c1, [&](Value kk) {
        Value at = k.add(base, k.mul(kk, rows)), column = k.add(k0, kk);
        for (unsigned i = 0; i < tiling.rows; ++i) {
          Value value = memref::LoadOp::create(
              k.b, from, ValueRange{c0, c0, row[i], column});
          memref::StoreOp::create(k.b, value, to, k.add(at, k.index(i)));
        }
      });
    });
  });
  k.finish();
  return k.function;
}

namespace {
/// The body of cq_f32_packed…, one method a loop level.
struct PackedKernel {
  KernelBuilder &k;
  const GemmTiling &tiling;
  bool unitK, unitN;
  Value packed = k.argument(0), rhs = k.argument(1), out = k.argument(2),
        accumulate = k.argument(3), begin = k.argument(4), end = k.argument(5);
  Value c0 = k.index(0), c1 = k.index(1), columns = k.index(tiling.columns()),
        rows = k.index(tiling.rows);
  Value m = k.dim(out, 2), n = k.dim(out, 3),
        depth = unitN && !unitK ? k.dim(rhs, 2) : k.dim(rhs, 3), scratch = {};

  /// scratch[base + kk · columns + j] = B[n0 + j, k0 + kk]; columns beyond N
  /// repeat the last and are not stored later.
  void packPanel(Value base, Value n0, Value k0, Value count) {
    Value last = k.sub(n, c1);
    SmallVector<Value> column;
    auto scalars = [&](Value from) {
      k.loop(from, count, c1, [&](Value kk) {
        Value at = k.add(base, k.mul(kk, columns)), depthIndex = k.add(k0, kk);
        for (int64_t j = 0; j < tiling.columns(); ++j) {
          Value value = memref::LoadOp::create(
              k.b, rhs,
              unitN && !unitK ? ValueRange{c0, c0, depthIndex, column[j]}
                              : ValueRange{c0, c0, column[j], depthIndex});
          memref::StoreOp::create(k.b, value, scratch, k.add(at, k.index(j)));
        }
      });
    };
    auto readColumns = [&] {
      for (int64_t j = 0; j < tiling.columns(); ++j)
        column.push_back(k.min(k.add(n0, k.index(j)), last));
    };
    if (unitK) {
      readColumns();
      packTransposed(k, rhs, {c0, c0}, column, k0, count, scratch, base);
      return;
    }
    if (!unitN) {
      readColumns();
      scalars(c0);
      return;
    }
    Value inside = k.less(k.add(n0, k.index(tiling.columns() - 1)), n);
    k.ifThen(
        inside,
        [&] {
          k.loop(c0, count, c1, [&](Value kk) {
            for (unsigned v = 0; v < tiling.vectors; ++v) {
              Value offset = k.index(v * tiling.lanes);
              Value line =
                  k.load(rhs, {c0, c0, k.add(k0, kk), k.add(n0, offset)});
              vector::StoreOp::create(
                  k.b, line, scratch,
                  k.add(base, k.add(k.mul(kk, columns), offset)));
            }
          });
        },
        [&] {
          readColumns();
          scalars(c0);
        });
  }

  /// One register tile of C.
  void multiply(Value aBase, Value bBase, Value m0, Value n0, Value count,
                Value addToC) {
    unsigned r = tiling.rows, vs = tiling.vectors;
    SmallVector<Value> zeros(r * vs, k.zeroVector());
    SmallVector<Value> sums =
        k.loop(c0, count, c1, zeros, [&](Value kk, ValueRange sums) {
          SmallVector<Value> next(sums), w;
          Value a = k.add(aBase, k.mul(kk, rows));
          Value b = k.add(bBase, k.mul(kk, columns));
          for (unsigned v = 0; v < vs; ++v)
            w.push_back(k.load(scratch, k.add(b, k.index(v * tiling.lanes))));
          for (unsigned i = 0; i < r; ++i) {
            Value x = k.splat(
                memref::LoadOp::create(k.b, packed, k.add(a, k.index(i))));
            for (unsigned v = 0; v < vs; ++v)
              next[i * vs + v] = k.fma(x, w[v], next[i * vs + v]);
          }
          return next;
        });
    auto place = [&](unsigned i, unsigned v) {
      return SmallVector<Value>{c0, c0, k.add(m0, k.index(i)),
                                k.add(n0, k.index(v * tiling.lanes))};
    };
    Value inside = k.both(k.less(k.add(m0, k.index(r - 1)), m),
                          k.less(k.add(n0, k.index(tiling.columns() - 1)), n));
    auto storeAll = [&](bool add) {
      for (unsigned i = 0; i < r; ++i)
        for (unsigned v = 0; v < vs; ++v) {
          Value sum = sums[i * vs + v];
          if (add)
            sum = arith::AddFOp::create(k.b, k.load(out, place(i, v)), sum);
          vector::StoreOp::create(k.b, sum, out, place(i, v));
        }
    };
    auto storeEdge = [&] {
      SmallVector<Value> mask;
      for (unsigned v = 0; v < vs; ++v)
        mask.push_back(k.mask(k.sub(n, k.add(n0, k.index(v * tiling.lanes)))));
      for (unsigned i = 0; i < r; ++i)
        k.ifThen(k.less(k.add(m0, k.index(i)), m), [&] {
          for (unsigned v = 0; v < vs; ++v) {
            Value old = arith::SelectOp::create(
                k.b, addToC, k.maskedLoad(out, place(i, v), mask[v]),
                k.zeroVector());
            vector::MaskedStoreOp::create(
                k.b, out, place(i, v), mask[v],
                arith::AddFOp::create(k.b, old, sums[i * vs + v]));
          }
        });
    };
    k.ifThen(
        inside,
        [&] {
          k.ifThen(addToC, [&] { storeAll(true); }, [&] { storeAll(false); });
        },
        storeEdge);
  }

  void emit() {
    Value panelStride = k.index(tiling.columns() * tiling.depth);
    Value group = k.index(tiling.panels), block = k.index(tiling.depth);
    Value padded = k.mul(k.ceilDiv(m, tiling.rows), rows);
    scratch =
        callScratch(k.b, k.b.getLoc(), k.function->getParentOfType<ModuleOp>(),
                    "cq_scratch", k.mul(group, panelStride));
    k.loop(begin, end, group, [&](Value first) {
      Value panels = k.min(group, k.sub(end, first));
      k.loop(c0, depth, block, [&](Value k0) {
        Value count = k.min(block, k.sub(depth, k0));
        Value addToC = k.either(accumulate, k.less(c0, k0));
        k.loop(c0, panels, c1, [&](Value p) {
          packPanel(k.mul(p, panelStride), k.mul(k.add(first, p), columns), k0,
                    count);
        });
        k.loop(c0, m, rows, [&](Value m0) {
          Value aBase = k.add(k.mul(k0, padded), k.mul(m0, count));
          k.loop(c0, panels, c1, [&](Value p) {
            multiply(aBase, k.mul(p, panelStride), m0,
                     k.mul(k.add(first, p), columns), count, addToC);
          });
        });
      });
    });
    k.finish();
  }
};
} // namespace

func::FuncOp mlir::cq::getPackedKernel(ModuleOp module,
                                       const GemmTiling &tiling, bool unitK,
                                       bool unitN) {
  StringRef name = unitK   ? "cq_f32_packed_nk"
                   : unitN ? "cq_f32_packed_kn"
                           : "cq_f32_packed";
  if (auto existing = module.lookupSymbol<func::FuncOp>(name))
    return existing;
  MLIRContext *context = module.getContext();
  auto flat =
      MemRefType::get({ShapedType::kDynamic}, Float32Type::get(context));
  KernelBuilder k(module, name,
                  {flat, getViewType(context, unitK || unitN),
                   getViewType(context, true), IntegerType::get(context, 1)},
                  tiling.lanes);
  PackedKernel{k, tiling, unitK, unitN}.emit();
  return k.function;
}
