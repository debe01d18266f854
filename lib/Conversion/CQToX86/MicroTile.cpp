//===- MicroTile.cpp - Rows of panels times a few tokens ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MicroTile.h"
#include "PairOffsets.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/bit.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

MicroTile::MicroTile(Emitter &e, const MatmulSpec &spec, const KernelArgs &args,
                     ArrayRef<WeightReader *> readers, const TilePlan &plan,
                     TileProduct *tiles)
    : e(e), spec(spec), args(args), readers(readers), plan(plan), isa(spec.isa),
      scheme(readers.front()->scheme()), tiles(tiles),
      parts(plan.rows / isa.lanes()),
      fields(planFields(readers.front()->unit(), scheme.maxCode(), isa,
                        plan.inPlace)),
      exponentList(exponents(fields)) {}

void MicroTile::emit(Value token, Value lane) {
  tokenBase = token;
  laneBase = lane;
  storeTile(spec.mode == ActivationMode::Int8 ? emitInt8() : emitFloat());
}

//===----------------------------------------------------------------------===//
// Pieces both modes share
//===----------------------------------------------------------------------===//

SmallVector<Value> MicroTile::loadUnit(Value column, int64_t offset,
                                       unsigned part) {
  SmallVector<Value> vectors;
  for (unsigned v = 0; v < reader(part).unit().vectors; ++v)
    vectors.push_back(reader(part).loadVector(column, offset, v, lane(part)));
  return vectors;
}

Value MicroTile::weightGroup(Value column) {
  return scheme.group == 0 ? e.index(0) : e.udiv(column, scheme.group);
}

Value MicroTile::loadScales(Value group, unsigned part) {
  Value scales = reader(part).loadScales(group, lane(part));
  if (scheme.grid == Grid::HalfStep)
    scales = arith::MulFOp::create(e, scales, e.constF32(0.5f, isa.lanes()));
  return scales;
}

void MicroTile::storeTile(ValueRange accumulators) {
  for (WeightReader *panel : readers)
    forPanelEdge(e, *panel, [&](bool masked) {
      for (unsigned p = 0; p < parts; ++p)
        for (unsigned t = 0; t < plan.tokens && &reader(p) == panel; ++t)
          storeRows(e, args.y, token(t), *panel, lane(p),
                    accumulators[part(p, t)], masked);
    });
}

//===----------------------------------------------------------------------===//
// int8 activations
//===----------------------------------------------------------------------===//

Value MicroTile::broadcastQuad(int64_t t, Value column, int64_t length) {
  if (length == 4)
    return e.broadcastQuad(args.activationCodes, {token(t), column},
                           isa.lanes());
  SmallVector<Value> codes;
  for (int64_t i = 0; i < 4; ++i)
    codes.push_back(
        i < length ? e.load(args.activationCodes, {token(t), e.add(column, i)})
                   : e.constInt(8, 0));
  Value word = e.extract(e.bitcast(e.fromElements(codes), e.getI32Type()), 0);
  return e.bitcast(e.splat(word, isa.lanes()), e.getI8Type());
}

SmallVector<Value> MicroTile::productsInt8(Value column, int64_t length,
                                           ValueRange totals) {
  for (WeightReader *panel : readers)
    panel->prepare(column, length);
  SmallVector<Accumulator> sums;
  for (Value total : totals)
    sums.push_back({total, nullptr, 0});
  DotProduct dot(e, isa);
  int64_t unitColumns = readers.front()->unit().columns();
  SmallVector<unsigned> turns(exponentList.size(), 0);
  for (int64_t offset = 0; offset < length; offset += unitColumns) {
    SmallVector<SmallVector<Value>> vectors;
    for (unsigned p = 0; p < parts; ++p)
      vectors.push_back(loadUnit(column, offset, p));
    for (WeightReader *panel : readers)
      panel->fetchAhead(column, offset);
    for (const Field &field : fields) {
      int64_t at = offset + 4 * field.quad;
      // Quads past the end of K hold padding: there is no activation for them.
      if (at >= length)
        continue;
      unsigned exponent =
          llvm::find(exponentList, field.exponent) - exponentList.begin();
      unsigned chain = turns[exponent]++ % plan.chains;
      SmallVector<Operand> operands;
      for (unsigned p = 0; p < parts; ++p)
        operands.push_back(dot.prepare(emitField(e, field, vectors[p]),
                                       field.max, field.centered));
      for (unsigned t = 0; t < plan.tokens; ++t) {
        Value activation = broadcastQuad(t, e.add(column, at),
                                         std::min<int64_t>(4, length - at));
        for (unsigned p = 0; p < parts; ++p) {
          unsigned i = (exponent * plan.chains + chain) * parts * plan.tokens +
                       part(p, t);
          dot.accumulate(sums[i], operands[p], activation);
        }
      }
    }
  }
  SmallVector<Value> result;
  for (Accumulator &sum : sums) {
    dot.finish(sum);
    result.push_back(sum.total);
  }
  return result;
}

/// Σ over exponents and chains of total · 2^exponent: exact, because a sum of
/// fields that lie s bits up is a multiple of 2^s.
static Value combine(Emitter &e, ArrayRef<int> exponents, unsigned chains,
                     llvm::function_ref<Value(unsigned)> total) {
  Value sum;
  for (auto [index, exponent] : llvm::enumerate(exponents)) {
    Value part;
    for (unsigned c = 0; c < chains; ++c) {
      Value value = total(static_cast<unsigned>(index) * chains + c);
      part = part ? arith::AddIOp::create(e, part, value).getResult() : value;
    }
    int64_t lanes = cast<VectorType>(part.getType()).getNumElements();
    if (exponent < 0)
      part = arith::ShRSIOp::create(e, part, e.constI32(-exponent, lanes));
    else
      part = e.shift(part, -exponent);
    sum = sum ? arith::AddIOp::create(e, sum, part).getResult() : part;
  }
  return sum;
}

SmallVector<Value> MicroTile::fold(Value column, ValueRange totals,
                                   ValueRange accumulators, int64_t center) {
  Value group = weightGroup(column);
  Value activationGroupIndex = e.udiv(column, activationGroup(scheme));
  int64_t lanes = isa.lanes();
  SmallVector<Value> scales, zeros, result(parts * plan.tokens);
  for (unsigned p = 0; p < parts; ++p) {
    scales.push_back(loadScales(group, p));
    if (scheme.hasZeroPoints())
      zeros.push_back(reader(p).loadZeros(group, lane(p)));
  }
  for (unsigned t = 0; t < plan.tokens; ++t) {
    Value s = e.splat(
        e.load(args.activationScales, {token(t), activationGroupIndex}), lanes);
    Value sum; // where it matters
    auto activationSum = [&] {
      if (!sum)
        sum = e.load(args.activationSums, {token(t), activationGroupIndex});
      return sum;
    };
    for (unsigned p = 0; p < parts; ++p) {
      Value i = combine(e, exponentList, plan.chains, [&](unsigned index) {
        return totals[index * parts * plan.tokens + part(p, t)];
      });
      // What the products lack, and what the grid takes off, in one multiple.
      if (scheme.hasZeroPoints()) {
        Value zero = zeros[p];
        if (center)
          zero = arith::SubIOp::create(e, zero, e.constI32(center, lanes));
        i = arith::SubIOp::create(
            e, i,
            arith::MulIOp::create(e, zero, e.splat(activationSum(), lanes)));
      } else {
        int64_t multiple = scheme.offset() - center;
        if (scheme.grid == Grid::HalfStep) {
          i = arith::AddIOp::create(e, i, i);
          multiple = scheme.maxCode() - 2 * center;
        }
        if (multiple != 0)
          i = arith::SubIOp::create(
              e, i,
              e.splat(arith::MulIOp::create(e, activationSum(),
                                            e.constI32(multiple)),
                      lanes));
      }
      Value value = arith::SIToFPOp::create(e, e.vec(lanes, e.getF32Type()), i);
      Value scale = arith::MulFOp::create(e, scales[p], s);
      result[part(p, t)] =
          LLVM::FMAOp::create(e, value, scale, accumulators[part(p, t)]);
    }
  }
  return result;
}

Value MicroTile::groupLength(Value first, Value end) {
  int64_t group = activationGroup(scheme);
  return spec.weight.k % group == 0 ? e.index(group)
                                    : e.min(e.sub(end, first), e.index(group));
}

SmallVector<Value> MicroTile::addPacked(Value column, Value end,
                                        ValueRange sums) {
  int64_t k = spec.weight.k, group = activationGroup(scheme),
          step = plan.columnsPerStep;
  assert(k % step == 0 && group % step == 0 && "steps end with a group");
  SmallVector<Value> zeros(sums.size() * exponentList.size() * plan.chains,
                           e.constI32(0, isa.lanes()));
  int64_t center = fields.front().centered ? 128 : 0;
  return e.loop(column, end, group, sums, [&](Value first, ValueRange carried) {
    Value length = groupLength(first, end);
    SmallVector<Value> totals = e.loop(
        e.index(0), length, step, zeros, [&](Value offset, ValueRange before) {
          return productsInt8(e.add(first, offset), step, before);
        });
    return fold(first, totals, carried, center);
  });
}

SmallVector<Value> MicroTile::emitInt8() {
  int64_t k = spec.weight.k, group = activationGroup(scheme),
          step = plan.columnsPerStep;
  // A shorter last group takes fewer rounds of the same loop: of several tokens
  // a step is long code, and nobody wants it twice.
  if (plan.tokens > 2 && k > group && k % step == 0 && group % step == 0)
    return addPacked(e.index(0), e.index(k), zeroSums());
  unsigned tile = parts * plan.tokens;
  SmallVector<Value> zeros(tile * exponentList.size() * plan.chains,
                           e.constI32(0, isa.lanes()));
  int64_t center = fields.front().centered ? 128 : 0;
  return e.pieces(
      k, group, zeroSums(),
      [&](Value column, int64_t length, ValueRange carried) {
        SmallVector<Value> totals =
            e.pieces(length, std::min(plan.columnsPerStep, length), zeros,
                     [&](Value offset, int64_t step, ValueRange sums) {
                       return productsInt8(e.add(column, offset), step, sums);
                     });
        return fold(column, totals, carried, center);
      });
}

SmallVector<Value> MicroTile::addColumns(Value token, Value column, Value end,
                                         ValueRange sums, PairOffsets *offsets,
                                         Value firstToken, const Fetch &fetch) {
  tokenBase = token;
  laneBase = e.index(0);
  if (tiles)
    return addTiles(column, end, sums, fetch);
  return plan.unpacked
             ? addUnpacked(column, end, sums, offsets, firstToken, fetch)
             : addPacked(column, end, sums);
}

void MicroTile::fetchNext(const Fetch &fetch, Value offset) {
  for (WeightReader *panel : readers)
    if (fetch.next)
      panel->fetchPart(e.add(fetch.next, offset), activationGroup(scheme),
                       fetch.turn, fetch.turns);
}

SmallVector<Value> MicroTile::addTiles(Value column, Value end, ValueRange sums,
                                       const Fetch &fetch) {
  int64_t k = spec.weight.k, group = activationGroup(scheme);
  int64_t step = TileProduct::columnsPerStep(k, group);
  return e.loop(column, end, group, sums, [&](Value first, ValueRange carried) {
    SmallVector<CodeBytes> codes;
    for (WeightReader *panel : readers)
      codes.push_back(panel->bytesFrom(first));
    SmallVector<Value> totals =
        tiles->sum(args.activationCodes, tokenBase, plan.tokens, first,
                   groupLength(first, end), step, codes);
    fetchNext(fetch, e.sub(first, column));
    return fold(first, totals, carried, /*center=*/0);
  });
}

//===----------------------------------------------------------------------===//
// int8 activations, unpacked panels
//===----------------------------------------------------------------------===//

SmallVector<Value> MicroTile::pairsOfRun(Value column, Value length,
                                         int64_t step, ValueRange begin) {
  DotProduct dot(e, isa);
  const Field &field = fields.front();
  return e.loop(
      e.index(0), length, step, begin, [&](Value start, ValueRange sums) {
        SmallVector<Value> result(sums);
        for (int64_t offset = 0; offset < step; offset += 4) {
          Value at = e.add(e.add(column, start), offset);
          SmallVector<Operand> operands;
          for (unsigned p = 0; p < parts; ++p)
            operands.push_back(dot.prepare(
                emitField(e, field, loadUnit(at, 0, p)), field.max, false));
          for (unsigned t = 0; t < plan.tokens; ++t) {
            Value activation = broadcastQuad(t, at, 4);
            for (unsigned p = 0; p < parts; ++p)
              result[part(p, t)] = dot.addPairProducts(result[part(p, t)],
                                                       operands[p], activation);
          }
        }
        return result;
      });
}

SmallVector<Value> MicroTile::addUnpacked(Value column, Value end,
                                          ValueRange sums, PairOffsets *offsets,
                                          Value firstToken,
                                          const Fetch &fetch) {
  int64_t k = spec.weight.k, group = activationGroup(scheme);
  auto lengthOf = [&](Value from, Value to, int64_t whole) {
    return k % whole == 0 ? e.index(whole)
                          : e.min(e.sub(to, from), e.index(whole));
  };
  SmallVector<Value> zeros(parts * plan.tokens, e.constI32(0, isa.lanes()));
  // A power of two, so that runs divide groups.
  int64_t run = 0;
  if (offsets)
    run = offsets->run();
  else if (!isa.hasDotProduct())
    run = 4 * static_cast<int64_t>(llvm::bit_floor<uint64_t>(
                  DotProduct::pairsPerSum(fields.front().max)));
  auto sumGroup = [&](Value first, Value length) -> SmallVector<Value> {
    if (!offsets && run < minColumnsPerRun())
      return e.loop(e.index(0), length, plan.columnsPerStep, zeros,
                    [&](Value offset, ValueRange totals) {
                      return productsInt8(e.add(first, offset),
                                          plan.columnsPerStep, totals);
                    });
    DotProduct dot(e, isa);
    int64_t step = std::min<int64_t>(8, plan.columnsPerStep);
    auto widened = [&](Value from, Value columns) {
      SmallVector<Value> begin(parts * plan.tokens, dot.zeroPairs());
      for (unsigned t = 0; t < plan.tokens && offsets; ++t)
        for (unsigned p = 0; p < parts; ++p)
          begin[part(p, t)] =
              offsets->load(e.add(firstToken, t), from, isa.lanes());
      return llvm::map_to_vector(
          pairsOfRun(from, columns, step, begin),
          [&](Value pairs) { return dot.widenPairs(pairs); });
    };
    if (run >= group)
      return widened(first, length);
    return e.loop(
        e.index(0), length, run, zeros, [&](Value offset, ValueRange before) {
          SmallVector<Value> after =
              widened(e.add(first, offset), lengthOf(offset, length, run));
          for (auto [total, sum] : llvm::zip_equal(before, after))
            sum = arith::AddIOp::create(e, total, sum);
          return after;
        });
  };
  int64_t center = offsets ? offsets->center() : 0;
  return e.loop(column, end, group, sums, [&](Value first, ValueRange carried) {
    SmallVector<Value> totals = sumGroup(first, groupLength(first, end));
    fetchNext(fetch, e.sub(first, column));
    return fold(first, totals, carried, center);
  });
}

SmallVector<Value> MicroTile::zeroSums() {
  return SmallVector<Value>(parts * plan.tokens, e.constF32(0.0f, isa.lanes()));
}

void MicroTile::store(Value token, ValueRange sums) {
  tokenBase = token;
  laneBase = e.index(0);
  storeTile(sums);
}

SmallVector<Value> MicroTile::loadStoredSums(Value token) {
  tokenBase = token;
  laneBase = e.index(0);
  SmallVector<Value> sums(parts * plan.tokens);
  for (unsigned t = 0; t < plan.tokens; ++t)
    for (unsigned p = 0; p < parts; ++p)
      sums[part(p, t)] =
          loadStored(e, args.y, this->token(t), reader(p), lane(p), isa.lanes(),
                     reader(p).segment().ragged());
  return sums;
}

void MicroTile::fetchNextRows() {
  for (unsigned t = 0; t < plan.tokens; ++t)
    for (WeightReader *panel : readers)
      if (!panel->rowOrder()) // rows of another order are anywhere
        e.prefetch(
            args.y,
            {token(t), panel->row(e.index(16 * int64_t(readers.size())))},
            /*forWrite=*/true);
}

SmallVector<Value> MicroTile::loadSums(Value memref, Value token) {
  SmallVector<Value> sums(parts * plan.tokens);
  for (unsigned t = 0; t < plan.tokens; ++t)
    for (unsigned p = 0; p < parts; ++p)
      sums[part(p, t)] = e.loadVector(
          memref, {e.add(token, t), e.index(p * isa.lanes())}, isa.lanes());
  return sums;
}

void MicroTile::keepSums(Value memref, Value token, ValueRange sums) {
  for (unsigned t = 0; t < plan.tokens; ++t)
    for (unsigned p = 0; p < parts; ++p)
      e.store(sums[part(p, t)], memref,
              {e.add(token, t), e.index(p * isa.lanes())});
}

//===----------------------------------------------------------------------===//
// f32 activations
//===----------------------------------------------------------------------===//

SmallVector<Value> MicroTile::productsFloat(Value column, int64_t length,
                                            ValueRange sums, ValueRange zeros) {
  for (WeightReader *panel : readers)
    panel->prepare(column, length);
  SmallVector<Value> result(sums);
  int64_t lanes = isa.lanes(), unitColumns = readers.front()->unit().columns();
  auto codes = [&](Value word, unsigned bit) {
    return e.andMask(e.shift(word, static_cast<int>(bit)), scheme.maxCode());
  };
  for (int64_t offset = 0; offset < length; offset += unitColumns) {
    SmallVector<SmallVector<Value>> words(parts);
    for (unsigned p = 0; p < parts; ++p)
      for (Value vector : loadUnit(column, offset, p))
        words[p].push_back(e.bitcast(vector, e.getI32Type()));
    for (auto [q, quad] : llvm::enumerate(readers.front()->unit().quads)) {
      SmallVector<Value> placed;
      for (unsigned p = 0; p < parts; ++p)
        placed.push_back(emitQuadWord(e, quad, words[p]));
      for (int64_t j = 0, at = offset + 4 * q; j < 4 && at < length;
           ++j, ++at) {
        SmallVector<Value> levels;
        for (unsigned p = 0; p < parts; ++p) {
          Value u = codes(placed[p], 8 * j + quad.shiftClass);
          if (scheme.grid == Grid::HalfStep)
            u = arith::AddIOp::create(e, u, u);
          Value offsetValue =
              scheme.hasZeroPoints()
                  ? zeros[p]
                  : e.constI32(scheme.grid == Grid::HalfStep ? scheme.maxCode()
                                                             : scheme.offset(),
                               lanes);
          u = arith::SubIOp::create(e, u, offsetValue);
          levels.push_back(
              arith::SIToFPOp::create(e, e.vec(lanes, e.getF32Type()), u));
        }
        for (unsigned t = 0; t < plan.tokens; ++t) {
          Value x =
              e.splat(e.load(args.x, {token(t), e.add(column, at)}), lanes);
          for (unsigned p = 0; p < parts; ++p)
            result[part(p, t)] =
                LLVM::FMAOp::create(e, levels[p], x, result[part(p, t)]);
        }
      }
    }
  }
  return result;
}

SmallVector<Value> MicroTile::emitFloat() {
  SmallVector<Value> zeroSums(parts * plan.tokens,
                              e.constF32(0.0f, isa.lanes()));
  return e.pieces(
      spec.weight.k, scheme.groupLength(spec.weight.k), zeroSums,
      [&](Value column, int64_t length, ValueRange carried) {
        Value group = weightGroup(column);
        SmallVector<Value> zeros;
        for (unsigned p = 0; p < parts && scheme.hasZeroPoints(); ++p)
          zeros.push_back(reader(p).loadZeros(group, lane(p)));
        SmallVector<Value> sums = e.pieces(
            length, std::min(plan.columnsPerStep, length), zeroSums,
            [&](Value offset, int64_t step, ValueRange partial) {
              return productsFloat(e.add(column, offset), step, partial, zeros);
            });
        SmallVector<Value> result;
        for (unsigned p = 0; p < parts; ++p) {
          Value scales = loadScales(group, p);
          for (unsigned t = 0; t < plan.tokens; ++t)
            result.push_back(LLVM::FMAOp::create(e, sums[part(p, t)], scales,
                                                 carried[part(p, t)]));
        }
        return result;
      });
}
