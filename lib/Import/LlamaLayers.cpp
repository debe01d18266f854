//===- LlamaLayers.cpp - The parts of a decoder block ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LlamaLayers.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::llama;

namespace {

using Values = SmallVector<Value, 2>;

Value mulf(ImplicitLocOpBuilder &b, Value x, Value y) {
  return arith::MulFOp::create(b, x, y);
}
Value addf(ImplicitLocOpBuilder &b, Value x, Value y) {
  return arith::AddFOp::create(b, x, y);
}
Value subf(ImplicitLocOpBuilder &b, Value x, Value y) {
  return arith::SubFOp::create(b, x, y);
}
Value divf(ImplicitLocOpBuilder &b, Value x, Value y) {
  return arith::DivFOp::create(b, x, y);
}
Value toIndex(ImplicitLocOpBuilder &b, Value integer) {
  return arith::IndexCastOp::create(b, b.getIndexType(), integer);
}
Value loop(ImplicitLocOpBuilder &b, int64_t dim) {
  return linalg::IndexOp::create(b, dim);
}

/// Combiners of reductions: arguments are (element, accumulator).
Values sum(ImplicitLocOpBuilder &b, ValueRange args) {
  return {addf(b, args[1], args[0])};
}
Values maximum(ImplicitLocOpBuilder &b, ValueRange args) {
  return {arith::MaxNumFOp::create(b, args[1], args[0])};
}
Values multiplyAdd(ImplicitLocOpBuilder &b, ValueRange args) {
  return {addf(b, args[2], mulf(b, args[0], args[1]))};
}

constexpr double minusInfinity = -std::numeric_limits<double>::infinity();

} // namespace

Value LlamaLayers::embed(Value tokenIds, Value embedding) {
  Value dest = graph.empty("empty", graph.shape({tokens, config.width}));
  return graph.generic("x", 2, 0, {{tokenIds, {0}}}, {{dest, {0, 1}}},
                       [&](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
                         Value row = toIndex(b, args[0]), column = loop(b, 1);
                         return {tensor::ExtractOp::create(
                             b, embedding, ValueRange{row, column})};
                       })[0];
}

Value LlamaLayers::reduceLast(StringRef name, Value x,
                              ArrayRef<OpFoldResult> sizes, double init,
                              GraphBuilder::Body body) {
  unsigned rank = sizes.size();
  auto all = llvm::to_vector(llvm::seq<unsigned>(0, rank));
  SmallVector<unsigned> kept(ArrayRef(all).drop_back());
  Value accumulator = graph.filled("init", sizes.drop_back(), init);
  return graph.generic(name, rank - 1, 1, {{x, all}}, {{accumulator, kept}},
                       body)[0];
}

Value LlamaLayers::rmsNorm(StringRef name, Value x, Value weight) {
  ArrayRef<int64_t> shape = cast<RankedTensorType>(x.getType()).getShape();
  unsigned last = shape.size() - 1;
  auto all = llvm::to_vector(llvm::seq<unsigned>(0, last + 1));
  SmallVector<unsigned> rows(ArrayRef(all).drop_back());
  Shape sizes = graph.shape(shape);
  Value squares = reduceLast(
      "squares", x, sizes, 0, [](ImplicitLocOpBuilder &b, ValueRange args) {
        return Values{addf(b, args[1], mulf(b, args[0], args[0]))};
      });
  Value count = graph.f32(shape.back()), epsilon = graph.f32(config.epsilon);
  Value rms =
      graph.generic("rms", last, 0, {{squares, rows}},
                    {{graph.empty("empty", ArrayRef(sizes).drop_back()), rows}},
                    [&](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
                      Value mean = divf(b, args[0], count);
                      return {math::SqrtOp::create(b, addf(b, mean, epsilon))};
                    })[0];
  return graph.generic(name, last + 1, 0,
                       {{x, all}, {rms, rows}, {weight, {last}}},
                       {{graph.empty("empty", sizes), all}},
                       [](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
                         return {mulf(b, divf(b, args[0], args[1]), args[2])};
                       })[0];
}

Value LlamaLayers::headNorm(StringRef name, Value x, Value weight) {
  int64_t width = cast<RankedTensorType>(x.getType()).getDimSize(1);
  SmallVector<ReassociationIndices> groups = {{0}, {1, 2}};
  Value heads = graph.expand(
      "heads", x, graph.shape({tokens, width / config.headDim, config.headDim}),
      groups);
  return graph.collapse(name, rmsNorm("normed", heads, weight), groups);
}

Value LlamaLayers::linear(StringRef name, Value x, Value weight, Value bias) {
  int64_t rows = cast<RankedTensorType>(x.getType()).getDimSize(0);
  int64_t n = cast<RankedTensorType>(weight.getType()).getDimSize(0);
  OpBuilder &builder = graph.getBuilder();
  Value init = graph.filled("zero", graph.shape({rows, n}), 0);
  Value product = linalg::MatmulTransposeBOp::create(
                      builder, graph.loc(name), init.getType(),
                      ValueRange{x, weight}, ValueRange{init})
                      .getResult(0);
  if (!bias)
    return product;
  return graph.generic(name, 2, 0, {{bias, {1}}}, {{product, {0, 1}}},
                       [](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
                         return {addf(b, args[1], args[0])};
                       })[0];
}

Value LlamaLayers::addInPlace(StringRef name, Value x, Value y) {
  return linalg::AddOp::create(graph.getBuilder(), graph.loc(name), x.getType(),
                               ValueRange{x, y}, ValueRange{x})
      .getResult(0);
}

Value LlamaLayers::swiGlu(Value gate, Value up) {
  Value one = graph.f32(1);
  return graph.generic("activation", 2, 0, {{up, {0, 1}}}, {{gate, {0, 1}}},
                       [&](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
                         Value up = args[0], gate = args[1];
                         Value decay = math::ExpOp::create(
                             b, arith::NegFOp::create(b, gate));
                         Value silu = divf(b, gate, addf(b, one, decay));
                         return {mulf(b, silu, up)};
                       })[0];
}

//===----------------------------------------------------------------------===//
// Rotary positions
//===----------------------------------------------------------------------===//

// In double: at position 2000 a float angle is off by 1e-4 before cos sees it.
RopeTable LlamaLayers::ropeTable(ArrayRef<float> frequencies, Value position) {
  OpBuilder &builder = graph.getBuilder();
  int64_t half = frequencies.size();
  auto type = RankedTensorType::get({half}, builder.getF32Type());
  Value constant =
      arith::ConstantOp::create(builder, graph.loc("frequencies"),
                                DenseElementsAttr::get(type, frequencies));
  Shape sizes = graph.shape({tokens, half});
  Value cos = graph.empty("empty", sizes), sin = graph.empty("empty", sizes);
  auto results = graph.generic(
      "rope", 2, 0, {{constant, {1}}}, {{cos, {0, 1}}, {sin, {0, 1}}},
      [&](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
        Type f64 = b.getF64Type(), f32 = b.getF32Type();
        Value place = loop(b, 0);
        if (position)
          place = arith::AddIOp::create(b, place, position);
        place = arith::IndexCastOp::create(b, b.getI64Type(), place);
        Value angle = mulf(b, arith::SIToFPOp::create(b, f64, place),
                           arith::ExtFOp::create(b, f64, args[0]));
        Value cos = math::CosOp::create(b, angle);
        Value sin = math::SinOp::create(b, angle);
        return {arith::TruncFOp::create(b, f32, cos),
                arith::TruncFOp::create(b, f32, sin)};
      });
  return {results[0], results[1]};
}

/// Offsets and sizes of one member of the pairs that lie along `dim`.
static std::pair<SmallVector<int64_t>, SmallVector<int64_t>>
memberSlice(Value pairs, unsigned dim, int64_t which) {
  auto type = cast<RankedTensorType>(pairs.getType());
  SmallVector<int64_t> offsets(type.getRank(), 0), sizes(type.getShape());
  offsets[dim] = which;
  sizes[dim] = 1;
  return {offsets, sizes};
}

Value LlamaLayers::member(StringRef name, Value pairs, unsigned dim,
                          int64_t which) {
  auto [offsets, sizes] = memberSlice(pairs, dim, which);
  return graph.slice(name, pairs, graph.shape(offsets), graph.shape(sizes),
                     {static_cast<int64_t>(dim)});
}

Value LlamaLayers::insertMember(StringRef name, Value part, Value pairs,
                                unsigned dim, int64_t which) {
  auto [offsets, sizes] = memberSlice(pairs, dim, which);
  return graph.insert(name, part, pairs, graph.shape(offsets),
                      graph.shape(sizes));
}

Value LlamaLayers::rotate(StringRef name, Value x, ArrayRef<int64_t> heads,
                          unsigned tokenDim, const RopeTable &table,
                          double scale) {
  unsigned rank = heads.size() + 2;
  int64_t half = config.headDim / 2;

  // The members of the source's pairs: x as [M, heads…, 2, d/2], or as
  // [M, heads…, d/2, 2] when they are interleaved.
  unsigned pairDim = config.interleavedRope ? rank : rank - 1;
  SmallVector<int64_t> sizes = {tokens};
  llvm::append_range(sizes, heads);
  sizes.push_back(half);
  sizes.insert(sizes.begin() + pairDim, 2);
  auto inner = llvm::to_vector<2>(llvm::seq<int64_t>(1, rank + 1));
  Value pairs = graph.expand("pairs", x, graph.shape(sizes), {{0}, inner});
  Value first = member("first", pairs, pairDim, 0);
  Value second = member("second", pairs, pairDim, 1);

  // Loops run in the order of the result: heads and token, then the pair.
  SmallVector<int64_t> destSizes(heads);
  destSizes.insert(destSizes.begin() + tokenDim, tokens);
  destSizes.append({2, half});
  auto all = llvm::to_vector(llvm::seq<unsigned>(0, rank));
  SmallVector<unsigned> source(all), angle = {tokenDim, rank - 1};
  source.erase(source.begin() + tokenDim);
  source.insert(source.begin(), tokenDim);

  // One op for each member, the second after the first is in place: written by
  // one op, the two would not share the result's buffer.
  Value factor = scale == 1 ? Value() : graph.f32(scale);
  auto turn = [&](StringRef name, Value a, Value b, bool add, Value into) {
    return graph.generic(
        name, rank, 0,
        {{a, source}, {b, source}, {table.cos, angle}, {table.sin, angle}},
        {{into, all}}, [&](ImplicitLocOpBuilder &builder, ValueRange args) {
          Value straight = mulf(builder, args[0], args[2]);
          Value crossed = mulf(builder, args[1], args[3]);
          Value sum = add ? addf(builder, straight, crossed)
                          : subf(builder, straight, crossed);
          return Values{factor ? mulf(builder, sum, factor) : sum};
        })[0];
  };
  Value result = graph.empty("empty", graph.shape(destSizes));
  for (int64_t i : {0, 1}) {
    Value into = member("into", result, rank - 1, i);
    Value turned = i == 0 ? turn("turned", first, second, false, into)
                          : turn("turned", second, first, true, into);
    result = insertMember("turned", turned, result, rank - 1, i);
  }

  // [heads…, M, 2, d/2] → [G, R·M, d]; [M, heads…, 2, d/2] → [M, G, d].
  SmallVector<ReassociationIndices> groups = {{0}};
  groups.push_back(llvm::to_vector<2>(llvm::seq<int64_t>(1, rank - 1)));
  groups.push_back({rank - 1, rank});
  return graph.collapse(name, result, groups);
}

Value LlamaLayers::ropeQueries(Value q, const RopeTable &table) {
  return rotate("queries", q, {config.kvHeads, groupSize()}, 2, table,
                1 / std::sqrt(static_cast<double>(config.headDim)));
}

Value LlamaLayers::ropeKeys(Value k, const RopeTable &table) {
  return rotate("keys", k, {config.kvHeads}, 0, table, 1);
}

Value LlamaLayers::splitHeads(StringRef name, Value v) {
  return graph.expand(name, v,
                      graph.shape({tokens, config.kvHeads, config.headDim}),
                      {{0}, {1, 2}});
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

/// Query m sits at position + m and sees no later position.
Value LlamaLayers::maskFuture(Value scores, const KeyValues &cache) {
  Shape sizes = graph.shape({config.kvHeads, groupSize(), tokens});
  sizes.push_back(cache.length);
  SmallVector<ReassociationIndices> groups = {{0}, {1, 2}, {3}};
  Value split = graph.expand("scores", scores, sizes, groups);
  Value hidden = graph.f32(minusInfinity);
  Value masked = graph.generic(
      "masked", 4, 0, {}, {{split, {0, 1, 2, 3}}},
      [&](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
        Value last = loop(b, 2), position = loop(b, 3);
        if (cache.position)
          last = arith::AddIOp::create(b, last, cache.position);
        Value seen =
            arith::CmpIOp::create(b, arith::CmpIPredicate::ule, position, last);
        return {arith::SelectOp::create(b, seen, args[0], hidden)};
      })[0];
  return graph.collapse("masked", masked, groups);
}

Value LlamaLayers::attention(Value queries, const KeyValues &cache) {
  int64_t rows = groupSize() * tokens;
  Shape sizes = graph.shape({config.kvHeads, rows});
  sizes.push_back(cache.length);

  // Loops: group g, row r, position l, feature k.
  Value scores = graph.generic(
      "scores", 3, 1, {{queries, {0, 1, 3}}, {cache.keys, {2, 0, 3}}},
      {{graph.filled("zero", sizes, 0), {0, 1, 2}}}, multiplyAdd)[0];
  // A single token is the last one: it sees everything.
  if (tokens > 1)
    scores = maskFuture(scores, cache);

  Value largest = reduceLast("largest", scores, sizes, minusInfinity, maximum);
  Value weights = graph.generic(
      "weights", 3, 0, {{largest, {0, 1}}}, {{scores, {0, 1, 2}}},
      [](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
        return {math::ExpOp::create(b, subf(b, args[1], args[0]))};
      })[0];
  Value total = reduceLast("total", weights, sizes, 0, sum);

  // Loops: group g, row r, feature n, position l.
  Shape mixedSizes = graph.shape({config.kvHeads, rows, config.headDim});
  Value mixed = graph.generic(
      "mixed", 3, 1, {{weights, {0, 1, 3}}, {cache.values, {3, 0, 2}}},
      {{graph.filled("zero", mixedSizes, 0), {0, 1, 2}}}, multiplyAdd)[0];

  // Divide once a feature, not once a position, on the way back to [M, H·d].
  Shape split =
      graph.shape({config.kvHeads, groupSize(), tokens, config.headDim});
  Value mixed4 = graph.expand("mixed", mixed, split, {{0}, {1, 2}, {3}});
  Value total3 =
      graph.expand("total", total, ArrayRef(split).drop_back(), {{0}, {1, 2}});
  Shape byToken = {split[2], split[0], split[1], split[3]};
  Value heads = graph.generic(
      "heads", 4, 0, {{mixed4, {1, 2, 0, 3}}, {total3, {1, 2, 0}}},
      {{graph.empty("empty", byToken), {0, 1, 2, 3}}},
      [](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
        return {divf(b, args[0], args[1])};
      })[0];
  return graph.collapse("attention", heads, {{0}, {1, 2, 3}});
}

//===----------------------------------------------------------------------===//
// Loss
//===----------------------------------------------------------------------===//

LlamaLayers::SoftmaxParts LlamaLayers::softmaxParts(Value logits) {
  auto type = cast<RankedTensorType>(logits.getType());
  Shape sizes = graph.shape(type.getShape());
  Value largest = reduceLast("largest", logits, sizes, minusInfinity, maximum);
  Value zero = graph.filled("init", ArrayRef(sizes).drop_back(), 0);
  Value total = graph.generic(
      "total", 1, 1, {{logits, {0, 1}}, {largest, {0}}}, {{zero, {0}}},
      [](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
        Value weight = math::ExpOp::create(b, subf(b, args[0], args[1]));
        return {addf(b, args[2], weight)};
      })[0];
  return {largest, total};
}

Value LlamaLayers::negativeLogLikelihood(Value logits, Value targets) {
  SoftmaxParts parts = softmaxParts(logits);
  auto type = cast<RankedTensorType>(logits.getType());
  Value dest = graph.empty("empty", graph.shape({type.getDimSize(0)}));
  return graph.generic(
      "loss", 1, 0, {{parts.largest, {0}}, {parts.total, {0}}, {targets, {0}}},
      {{dest, {0}}}, [&](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
        Value row = loop(b, 0), column = toIndex(b, args[2]);
        Value logit =
            tensor::ExtractOp::create(b, logits, ValueRange{row, column});
        Value logTotal = math::LogOp::create(b, args[1]);
        return {subf(b, addf(b, logTotal, args[0]), logit)};
      })[0];
}

// Σ p (log p − log q) = Σ p (x − y) + log Σ exp y − log Σ exp x for logits x
// (reference) and y: the large sums run once over the vocabulary each.
Value LlamaLayers::divergence(Value logits, Value reference) {
  SoftmaxParts ours = softmaxParts(logits), theirs = softmaxParts(reference);
  int64_t rows = cast<RankedTensorType>(logits.getType()).getDimSize(0);
  Value zero = graph.filled("init", graph.shape({rows}), 0);
  Value difference = graph.generic(
      "difference", 1, 1,
      {{reference, {0, 1}}, {theirs.largest, {0}}, {logits, {0, 1}}},
      {{zero, {0}}}, [](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
        Value weight = math::ExpOp::create(b, subf(b, args[0], args[1]));
        Value term = mulf(b, weight, subf(b, args[0], args[2]));
        return {addf(b, args[3], term)};
      })[0];
  Value dest = graph.empty("empty", graph.shape({rows}));
  return graph.generic(
      "divergence", 1, 0,
      {{difference, {0}},
       {theirs.largest, {0}},
       {theirs.total, {0}},
       {ours.largest, {0}},
       {ours.total, {0}}},
      {{dest, {0}}}, [](ImplicitLocOpBuilder &b, ValueRange args) -> Values {
        Value theirs = addf(b, args[1], math::LogOp::create(b, args[2]));
        Value ours = addf(b, args[3], math::LogOp::create(b, args[4]));
        Value mean = divf(b, args[0], args[2]);
        return {addf(b, mean, subf(b, ours, theirs))};
      })[0];
}
