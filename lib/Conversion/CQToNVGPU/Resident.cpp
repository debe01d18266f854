//===- Resident.cpp - Kernels for up to eight tokens ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Decoding is bound by the bytes of the weight: x goes to shared memory once,
// weights go straight to registers, a unit ahead of their use, and the warps of
// a CTA share the columns so that many loads are in flight.
//
//===----------------------------------------------------------------------===//

#include "KernelFrame.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::nv;

/// Units of a CTA; the last has those left over and the chunks that fill none.
static int64_t splitUnits(const MatmulSpec &spec) {
  int64_t units = spec.chunks() / spec.options.unitChunks;
  return (units + spec.options.splitK - 1) / spec.options.splitK;
}

static int64_t splitChunks(const MatmulSpec &spec) {
  if (spec.options.splitK == 1)
    return spec.chunks();
  return splitUnits(spec) * spec.options.unitChunks +
         spec.chunks() % spec.options.unitChunks;
}

int64_t nv::residentPhases(const MatmulSpec &spec) {
  int64_t columns = residentColumns(spec);
  return (splitChunks(spec) * 64 + columns - 1) / columns;
}

int64_t nv::residentColumns(const MatmulSpec &spec) {
  const KernelOptions &options = spec.options;
  int64_t whole = splitChunks(spec) * 64;
  if (whole * options.tokens * 2 <= options.sharedBytes)
    return whole;
  // Every warp gets as many units of a phase.
  int64_t unit = options.unitChunks * options.warpsK * 64;
  return std::max<int64_t>(unit, options.sharedBytes / (2 * options.tokens) /
                                     unit * unit);
}

Value nv::loadActivations(Emitter &b, const MatmulSpec &spec,
                          const KernelFrame &frame, Value token, Value column) {
  Type compute = b.floatType(spec.compute);
  auto type = VectorType::get({8}, compute);
  int64_t width = spec.x == FloatKind::F32 ? 4 : 8;
  SmallVector<Value> values;
  if (spec.k % 8 == 0) {
    auto whole = [&]() -> SmallVector<Value> {
      if (width == 8)
        return {b.convert(b.load(frame.args.x, {token, column}, 8), compute)};
      Value low = b.load(frame.args.x, {token, column}, 4);
      Value high = b.load(frame.args.x, {token, b.add(column, 4)}, 4);
      Value both = vector::ShuffleOp::create(
          b, low, high, ArrayRef<int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
      return {b.convert(both, compute)};
    };
    if (spec.k % 64 == 0)
      return whole().front();
    return b.when(b.less(column, b.index(spec.k)), b.splat(type, 0), whole)
        .front();
  }
  // Rows are not aligned: one number at a time.
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(compute));
  for (int64_t i = 0; i < 8; ++i) {
    Value at = b.add(column, i);
    auto one = [&]() -> SmallVector<Value> {
      return {b.convert(b.scalar(frame.args.x, {token, at}), compute)};
    };
    values.push_back(b.when(b.less(at, b.index(spec.k)), zero, one).front());
  }
  return vector::FromElementsOp::create(b, type, values);
}

void nv::buildResidentBody(Emitter &b, const MatmulSpec &spec,
                           const KernelFrame &frame) {
  const KernelOptions &options = spec.options;
  const Place &place = frame.place;
  int64_t columns = residentColumns(spec);
  int64_t unit = options.unitChunks, units = spec.chunks() / unit;
  int64_t phaseUnits = columns / 64 / unit;
  int64_t phases = residentPhases(spec), share = splitUnits(spec);
  bool splits = options.splitK > 1;
  // The first unit and column of the CTA.
  Value base =
      splits ? b.min(b.mul(frame.split, share), b.index(units)) : b.index(0);
  Value baseColumn = b.mul(base, unit * 64);
  Value staged = sharedView(b, frame, 0, {options.tokens, columns},
                            b.floatType(spec.compute));
  // Lanes of tokens that do not exist read the last one; what they add up is
  // never stored.
  Value g = b.div(place.lane, 4), t = b.rem(place.lane, 4);
  Value token = b.min(g, b.sub(frame.tokens, b.index(1)));
  if (options.tokens < 8)
    token = b.min(token, b.index(options.tokens - 1));
  Value laneColumn = swizzled(b, token, b.mul(t, 8));
  Value otherColumn = b.xorBits(laneColumn, b.index(32));

  auto stage = [&](Value firstColumn) {
    int64_t pieces = columns / 8;
    Value count = b.min(frame.tokens, b.index(options.tokens));
    count = b.mul(count, pieces);
    b.loop(place.thread, count, b.index(options.threads()), {},
           [&](Value i, ValueRange) -> SmallVector<Value> {
             Value row = options.tokens == 1 ? b.index(0) : b.div(i, pieces);
             Value column =
                 b.mul(options.tokens == 1 ? i : b.rem(i, pieces), 8);
             Value from = b.add(firstColumn, column);
             // The last phase may be shorter.
             Value needed = phases == 1 && !splits
                                ? arith::ConstantIntOp::create(b, 1, 1)
                                : b.less(from, b.index(spec.chunks() * 64));
             b.when(needed, [&] {
               b.store(loadActivations(b, spec, frame, row, from), staged,
                       {row, swizzled(b, row, column)});
             });
             return {};
           });
    gpu::BarrierOp::create(b);
  };
  WeightTile weights(b, spec, frame.args, place.lane, place.firstTile);
  auto multiply = [&](const ChunkRange &range, ArrayRef<Value> data,
                      Value firstColumn, SmallVectorImpl<Value> &sums) {
    Value local = b.sub(b.mul(range.first, 64), firstColumn);
    Value near = b.add(local, laneColumn), far = b.add(local, otherColumn);
    weights.multiply(
        range, data,
        [&](unsigned chunk, unsigned half, unsigned) {
          return b.load(staged, {token, b.add(half ? far : near, chunk * 64)},
                        8);
        },
        sums, 1);
  };

  auto phase = [&](Value number, SmallVector<Value> sums) {
    Value firstColumn = b.add(baseColumn, b.mul(number, columns));
    stage(firstColumn);
    if (units == 0)
      return sums;
    Value start = b.add(base, b.mul(number, splits ? share : phaseUnits));
    Value first = b.add(start, place.warpK);
    Value end =
        b.min(b.add(start, splits ? share : phaseUnits), b.index(units));
    auto range = [&](Value index) {
      return ChunkRange{b.mul(index, unit), std::nullopt,
                        static_cast<unsigned>(unit), false};
    };
    auto loadIf = [&](Value index) {
      SmallVector<Value> nothing = weights.nothing(range(index));
      return b.when(b.less(index, end), nothing,
                    [&] { return weights.load(range(index)); });
    };
    // A unit ahead: the loads of the next one are in flight during this one.
    SmallVector<Value> carried = sums;
    carried.append(loadIf(first));
    Value step = b.index(options.warpsK);
    SmallVector<Value> result =
        b.loop(first, end, step, carried, [&](Value index, ValueRange values) {
          SmallVector<Value> next = loadIf(b.add(index, step));
          SmallVector<Value> sums(values.take_front(options.tiles));
          multiply(range(index),
                   SmallVector<Value>(values.drop_front(options.tiles)),
                   firstColumn, sums);
          sums.append(next);
          return sums;
        });
    result.truncate(options.tiles);
    return result;
  };

  SmallVector<Value> sums = weights.zeroSums(1);
  if (phases == 1)
    sums = phase(b.index(0), sums);
  else
    sums = b.loop(b.index(0), b.index(phases), b.index(1), sums,
                  [&](Value number, ValueRange values) {
                    // Others may still read the phase before.
                    gpu::BarrierOp::create(b);
                    return phase(number, SmallVector<Value>(values));
                  });

  // Chunks that fill no unit: one warp each.
  Value lastColumn = b.add(baseColumn, (phases - 1) * columns);
  SmallVector<ChunkRange> ranges = WeightTile::leftOver(b, spec, units * unit);
  for (size_t i = 0; i < ranges.size(); ++i) {
    const ChunkRange &range = ranges[i];
    Value mine = arith::CmpIOp::create(
        b, arith::CmpIPredicate::eq, place.warpK,
        b.index(static_cast<int64_t>(i % options.warpsK)));
    if (splits)
      mine = b.both(mine, b.less(b.index(options.splitK - 2), frame.split));
    sums = b.when(mine, sums, [&] {
      SmallVector<Value> result = sums;
      multiply(range, weights.load(range), lastColumn, result);
      return result;
    });
  }
  storeSums(b, spec, frame, sums);
}
