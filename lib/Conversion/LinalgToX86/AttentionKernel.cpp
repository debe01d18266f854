//===- AttentionKernel.cpp - Causal attention of a block of tokens --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// A task is two vectors of consecutive tokens of one head, a token a lane, from
// scores to weighted means: scores [position, token] stay in its cache, maxima
// and sums are vertical, and elements of keys and values are broadcast from
// where they lie. Positions that none of the tokens sees are not computed.
// Every token's sums run over positions in ascending order.
//
//===----------------------------------------------------------------------===//

#include "Attention.h"
#include "KernelBuilder.h"
#include "cq/Conversion/Transpose.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::cq;

static constexpr int64_t kVectors = 2, kTransposed = 8;

int64_t mlir::cq::getAttentionRows(unsigned lanes) { return kVectors * lanes; }

namespace {
struct AttentionKernel {
  KernelBuilder &k;
  AttentionShape shape;
  const int64_t lanes = k.lanes, rows = getAttentionRows(k.lanes);
  /// Positions, and elements of values, of a register tile: with two vectors
  /// each 16 sums of 32 registers, or 8 of 16.
  const int64_t tile = lanes >= 16 ? 8 : 4;
  Value queries = k.argument(0), keys = k.argument(1), values = k.argument(2),
        result = k.argument(3), position = k.argument(4);
  Value c0 = k.index(0), c1 = k.index(1);
  Value scratch = {};
  /// scratch[weights + l · rows + i] is the score, then the weight, of position
  /// l for token i; in front of them the queries by columns, then results.
  Value weights = k.index(shape.width * rows);

  using Vectors = SmallVector<Value>;

  Value place(Value base, Value row, int64_t vector) {
    return k.add(k.add(base, k.mul(row, k.index(rows))),
                 k.index(vector * lanes));
  }
  void store(Value vector, Value at) {
    vector::StoreOp::create(k.b, vector, scratch, at);
  }

  /// One step of a tile's products: sum[i][v] += from[row i] · lanes of v.
  Vectors multiply(Value from, ArrayRef<SmallVector<Value>> elements,
                   ArrayRef<Value> lines, ValueRange sums) {
    Vectors next(sums);
    for (auto [i, element] : llvm::enumerate(elements)) {
      Value x = k.splat(memref::LoadOp::create(k.b, from, element));
      for (int64_t v = 0; v < kVectors; ++v)
        next[i * kVectors + v] = k.fma(x, lines[v], next[i * kVectors + v]);
    }
    return next;
  }
  Vectors readLines(Value base, Value row) {
    Vectors lines;
    for (int64_t v = 0; v < kVectors; ++v)
      lines.push_back(k.load(scratch, place(base, row, v)));
    return lines;
  }
  Vectors zeros(int64_t count) {
    return Vectors(count * kVectors, k.zeroVector());
  }

  /// Scores of positions below `seen`; returns their maxima. `m0`: the first
  /// token.
  Vectors score(Value group, Value m0, Value seen) {
    auto integers = VectorType::get({lanes}, k.b.getI32Type());
    auto toI32 = [&](Value x) -> Value {
      return arith::IndexCastOp::create(k.b, k.b.getI32Type(), x);
    };
    Value least = arith::ConstantOp::create(
        k.b, DenseElementsAttr::get(k.vector(),
                                    -std::numeric_limits<float>::infinity()));
    // The last position that each token sees.
    Vectors last;
    for (int64_t v = 0; v < kVectors; ++v) {
      SmallVector<int32_t> counts;
      for (int64_t i = 0; i < lanes; ++i)
        counts.push_back(static_cast<int32_t>(v * lanes + i));
      Value tokens = arith::ConstantOp::create(
          k.b, DenseElementsAttr::get(integers, ArrayRef(counts)));
      Value first = vector::BroadcastOp::create(k.b, integers,
                                                toI32(k.add(position, m0)));
      last.push_back(arith::AddIOp::create(k.b, first, tokens));
    }
    Value lastPosition = k.sub(seen, c1);
    return k.loop(
        c0, seen, k.index(tile), Vectors(kVectors, least),
        [&](Value l0, ValueRange most) {
          Vectors next(most), at;
          for (int64_t i = 0; i < tile; ++i)
            at.push_back(k.add(l0, k.index(i)));
          Vectors sums = k.loop(
              c0, k.index(shape.width), c1, zeros(tile),
              [&](Value kk, ValueRange sums) {
                SmallVector<SmallVector<Value>> elements;
                for (Value l : at)
                  elements.push_back({k.min(l, lastPosition), group, kk});
                return multiply(keys, elements, readLines(c0, kk), sums);
              });
          for (int64_t i = 0; i < tile; ++i) {
            Value here =
                vector::BroadcastOp::create(k.b, integers, toI32(at[i]));
            for (int64_t v = 0; v < kVectors; ++v) {
              Value visible = arith::CmpIOp::create(
                  k.b, arith::CmpIPredicate::sle, here, last[v]);
              Value score = k.select(visible, sums[i * kVectors + v], least);
              next[v] = arith::MaxNumFOp::create(k.b, next[v], score);
              store(score, place(weights, at[i], v));
            }
          }
          return next;
        });
  }

  /// Scores become weights; returns their sums.
  Vectors weigh(ArrayRef<Value> most, Value seen) {
    return k.loop(c0, seen, c1, zeros(1), [&](Value l, ValueRange totals) {
      Vectors next(totals);
      for (int64_t v = 0; v < kVectors; ++v) {
        Value at = place(weights, l, v);
        Value x = arith::SubFOp::create(k.b, k.load(scratch, at), most[v]);
        Value weight = math::ExpOp::create(k.b, x);
        store(weight, at);
        next[v] = arith::AddFOp::create(k.b, next[v], weight);
      }
      return next;
    });
  }

  /// Weighted means of the values, by columns, where the queries were.
  void mix(Value group, ArrayRef<Value> totals, Value seen) {
    Vectors factors;
    Value one = k.splat(arith::ConstantOp::create(k.b, k.b.getF32FloatAttr(1)));
    for (Value total : totals)
      factors.push_back(arith::DivFOp::create(k.b, one, total));
    k.loop(c0, k.index(shape.width), k.index(tile), [&](Value d0) {
      Vectors columns;
      for (int64_t i = 0; i < tile; ++i)
        columns.push_back(k.add(d0, k.index(i)));
      Vectors sums =
          k.loop(c0, seen, c1, zeros(tile), [&](Value l, ValueRange sums) {
            SmallVector<SmallVector<Value>> elements;
            for (Value d : columns)
              elements.push_back({l, group, d});
            return multiply(values, elements, readLines(weights, l), sums);
          });
      for (int64_t i = 0; i < tile; ++i)
        for (int64_t v = 0; v < kVectors; ++v)
          store(arith::MulFOp::create(k.b, sums[i * kVectors + v], factors[v]),
                place(c0, columns[i], v));
    });
  }

  /// The means of `rows` tokens from `m0` on to the result.
  void finish(Value group, Value head, Value m0) {
    auto eight = VectorType::get({kTransposed}, k.b.getF32Type());
    Value step = k.index(kTransposed);
    k.loop(c0, k.index(rows), step, [&](Value i0) {
      k.loop(c0, k.index(shape.width), step, [&](Value d0) {
        Vectors lines;
        for (int64_t i = 0; i < kTransposed; ++i)
          lines.push_back(vector::LoadOp::create(
              k.b, eight, scratch,
              k.add(place(c0, k.add(d0, k.index(i)), 0), i0)));
        lines = transpose8(k.b, k.b.getLoc(), lines);
        for (int64_t i = 0; i < kTransposed; ++i)
          vector::StoreOp::create(
              k.b, lines[i], result,
              ValueRange{k.add(k.add(m0, i0), k.index(i)), group, head, d0});
      });
    });
  }

  void emit() {
    int64_t blocks = shape.tokens / rows;
    Value positions = k.dim(keys, 0);
    // Scores are stored in whole tiles.
    Value count =
        k.mul(k.add(positions, k.index(shape.width + tile)), k.index(rows));
    scratch =
        callScratch(k.b, k.b.getLoc(), k.function->getParentOfType<ModuleOp>(),
                    "cq_scratch", count);
    k.loop(k.argument(5), k.argument(6), c1, [&](Value task) {
      Value m0 = k.mul(k.rem(task, k.index(blocks)), k.index(rows));
      Value head = k.div(task, k.index(blocks));
      Value group = k.div(head, k.index(shape.heads));
      head = k.rem(head, k.index(shape.heads));
      Value seen = k.min(positions, k.add(k.add(position, m0), k.index(rows)));
      Value row = k.add(k.mul(head, k.index(shape.tokens)), m0);
      Vectors lines;
      for (int64_t i = 0; i < rows; ++i)
        lines.push_back(k.add(row, k.index(i)));
      packTransposed(k, queries, {group}, lines, c0, k.index(shape.width),
                     scratch, c0);
      Vectors most = score(group, m0, seen);
      mix(group, weigh(most, seen), seen);
      finish(group, head, m0);
    });
    k.finish();
  }
};
} // namespace

func::FuncOp mlir::cq::getAttentionKernel(ModuleOp module,
                                          const Attention &attention,
                                          unsigned lanes) {
  const AttentionShape &shape = attention.shape;
  Type types[] = {attention.queries.getType(), attention.keys.getType(),
                  attention.values.getType(), attention.result.getType(),
                  IndexType::get(module.getContext())};
  std::string name;
  // Shapes of one model have one type of each operand; another's get a number.
  for (int64_t number = 0;; ++number) {
    name = "cq_attention_" + std::to_string(shape.groups) + "x" +
           std::to_string(shape.heads) + "_m" + std::to_string(shape.tokens) +
           "_d" + std::to_string(shape.width) +
           (number ? "_" + std::to_string(number) : "");
    auto existing = module.lookupSymbol<func::FuncOp>(name);
    if (!existing)
      break;
    if (existing.getArgumentTypes().drop_back(2) == ArrayRef(types))
      return existing;
  }
  KernelBuilder k(module, name, types, lanes);
  AttentionKernel{k, shape}.emit();
  return k.function;
}
