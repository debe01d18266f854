//===- WeightTile.cpp - Weights from global memory to mma operands --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightTile.h"
#include "cq/Dialect/CQ/IR/CQNV.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::nv;

WeightTile::WeightTile(Emitter &b, const MatmulSpec &spec,
                       const KernelArguments &args, Value lane, Value firstTile)
    : b(b), spec(spec), args(args), scheme(spec.segmentScheme()),
      chunk(FragmentChunk::get(spec.bits())), lane(lane),
      rowPair(b.mul(b.div(lane, 4), 2)) {
  int64_t tileBytes = spec.layout.panelBytes(spec.k, spec.bits());
  int64_t groups = scheme.numGroups(spec.k);
  for (unsigned i = 0; i < spec.options.tiles; ++i) {
    Value tile = b.add(firstTile, i);
    // Tiles behind the last read the last; their sums are not stored.
    if (spec.tiles() % (spec.options.tiles * spec.options.warpsN) != 0)
      tile = b.min(tile, b.index(spec.tiles() - 1));
    codeBase.push_back(b.add(b.mul(tile, tileBytes), spec.codeOffset()));
    tile = b.add(tile, spec.firstRow() / 16);
    scaleBase.push_back(b.add(b.mul(tile, groups * 16), rowPair));
  }
}

unsigned WeightTile::groupsIn(const ChunkRange &range) const {
  return groupOf(range, range.count - 1, 1) + 1;
}

unsigned WeightTile::groupOf(const ChunkRange &range, unsigned chunk,
                             unsigned half) const {
  if (scheme.group == 0)
    return 0;
  // A first chunk that is not known starts a group.
  int64_t first = range.knownFirst.value_or(0) * 64;
  return static_cast<unsigned>((first + chunk * 64 + half * 32) / scheme.group -
                               first / scheme.group);
}

Value WeightTile::groupIndex(const ChunkRange &range, unsigned group) {
  if (scheme.group == 0)
    return b.index(0);
  // Padding columns of the last chunk may lie behind the last group.
  int64_t last = scheme.numGroups(spec.k) - 1;
  if (range.knownFirst)
    return b.index(
        std::min(*range.knownFirst * 64 / scheme.group + group, last));
  Value first = scheme.group > 64 ? b.div(range.first, scheme.group / 64)
                                  : b.mul(range.first, 64 / scheme.group);
  Value index = b.add(first, group);
  if (spec.k % (64 * range.count) != 0)
    index = b.min(index, b.index(last));
  return index;
}

SmallVector<Value> WeightTile::load(const ChunkRange &range) {
  SmallVector<Value> data;
  unsigned words = range.count * chunk.bits, bytes = range.planar ? 4 : 16;
  auto wordsType =
      VectorType::get({static_cast<int64_t>(bytes / 4)}, b.getI32Type());
  Value laneOffset = b.mul(lane, bytes);
  Value offset = b.add(b.mul(range.first, chunk.bits * 4 * 32), laneOffset);
  for (Value base : codeBase)
    for (unsigned word = 0; word < words; word += bytes / 4)
      data.push_back(LoadWeightsOp::create(
          b, wordsType, args.codes,
          b.add(b.add(base, offset), static_cast<int64_t>(word) * 4 * 32)));
  for (Value plane : {args.scales, args.zeros}) {
    if (!plane)
      continue;
    for (Value base : scaleBase)
      for (unsigned group = 0; group < groupsIn(range); ++group)
        data.push_back(
            b.load(plane, b.add(base, b.mul(groupIndex(range, group), 16)), 2));
  }
  return data;
}

SmallVector<Value> WeightTile::nothing(const ChunkRange &range) {
  SmallVector<Value> data;
  auto append = [&](int64_t count, int64_t length, Type element) {
    auto type = VectorType::get({length}, element);
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
    data.append(count, zero);
  };
  int64_t tiles = spec.options.tiles;
  int64_t length = range.planar ? 1 : 4;
  append(tiles * range.count * chunk.bits / length, length, b.getI32Type());
  append(tiles * groupsIn(range), 2,
         cast<MemRefType>(args.scales.getType()).getElementType());
  if (args.zeros)
    append(tiles * groupsIn(range), 2, b.getI8Type());
  return data;
}

Value WeightTile::scaleSums(Value scales) {
  Value wide = b.convert(scales, b.getF32Type());
  Value first = b.extract(wide, 0), second = b.extract(wide, 1);
  return vector::FromElementsOp::create(
      b, VectorType::get({4}, b.getF32Type()),
      ValueRange{first, first, second, second});
}

SmallVector<Value> WeightTile::zeroSums(unsigned blocks) {
  Value zero = b.splat(VectorType::get({4}, b.getF32Type()), 0);
  return SmallVector<Value>(spec.options.tiles * blocks, zero);
}

void WeightTile::multiply(const ChunkRange &range, ArrayRef<Value> data,
                          Activations activations, SmallVectorImpl<Value> &sums,
                          unsigned blocks) {
  unsigned tiles = spec.options.tiles, groups = groupsIn(range);
  unsigned perLoad = range.planar ? 1 : 4;
  unsigned words = range.count * chunk.bits;
  ArrayRef<Value> scales = data.drop_front(tiles * words / perLoad);
  ArrayRef<Value> zeros = scales.drop_front(tiles * groups);
  Dequantizer dequantizer(b, scheme, spec.compute);

  SmallVector<SmallVector<Value>> all(tiles);
  for (unsigned tile = 0; tile < tiles; ++tile)
    for (unsigned word = 0; word < words; ++word)
      all[tile].push_back(
          b.extract(data[(tile * words + word) / perLoad], word % perLoad));

  SmallVector<Value> partial(tiles * blocks);
  SmallVector<Origin> origins(tiles);
  unsigned current = ~0u;
  for (unsigned c = 0; c < range.count; ++c)
    for (unsigned half = 0; half < 2; ++half) {
      unsigned group = groupOf(range, c, half);
      if (group != current) {
        current = group;
        for (unsigned tile = 0; tile < tiles; ++tile)
          origins[tile] = args.zeros
                              ? dequantizer.origin(zeros[tile * groups + group])
                              : Origin();
      }
      SmallVector<Value> x;
      for (unsigned block = 0; block < blocks; ++block)
        x.push_back(activations(c, half, block));
      for (unsigned tile = 0; tile < tiles; ++tile)
        for (unsigned step = 2 * half; step < 2 * half + 2; ++step) {
          SmallVector<Value> a;
          for (unsigned r = 0; r < 4; ++r)
            a.push_back(dequantizer.pair(
                ArrayRef(all[tile]).slice(c * chunk.bits, chunk.bits),
                4 * step + r, origins[tile]));
          for (unsigned block = 0; block < blocks; ++block) {
            SmallVector<Value> operands{b.pairOf(x[block], step % 2 * 4),
                                        b.pairOf(x[block], step % 2 * 4 + 2)};
            Value &sum = partial[tile * blocks + block];
            if (!sum)
              sum = b.splat(VectorType::get({4}, b.getF32Type()), 0);
            sum = MmaOp::create(b, a, operands, sum);
          }
        }
      bool last = c + 1 == range.count && half == 1;
      if (!last && groupOf(range, half ? c + 1 : c, half ? 0 : 1) == group)
        continue;
      for (unsigned tile = 0; tile < tiles; ++tile) {
        Value scale = scaleSums(scales[tile * groups + group]);
        for (unsigned block = 0; block < blocks; ++block) {
          Value &sum = sums[tile * blocks + block];
          Value &part = partial[tile * blocks + block];
          sum = math::FmaOp::create(b, scale, part, sum);
          part = {};
        }
      }
    }
}

void WeightTile::multiplyAsync(const ChunkRange &range, ArrayRef<Value> data,
                               Value staged, ActivationTile activations,
                               SmallVectorImpl<Value> &sums, unsigned blocks) {
  unsigned tiles = spec.options.tiles, groups = groupsIn(range);
  unsigned perLoad = range.planar ? 1 : 4;
  unsigned words = range.count * chunk.bits;
  ArrayRef<Value> scales = data.drop_front(tiles * words / perLoad);
  ArrayRef<Value> zeros = scales.drop_front(tiles * groups);
  Dequantizer dequantizer(b, scheme, spec.compute);
  SmallVector<Type> sumTypes(blocks, VectorType::get({4}, b.getF32Type()));

  SmallVector<SmallVector<Value>> all(tiles);
  for (unsigned tile = 0; tile < tiles; ++tile)
    for (unsigned word = 0; word < words; ++word)
      all[tile].push_back(
          b.extract(data[(tile * words + word) / perLoad], word % perLoad));

  SmallVector<SmallVector<Value>> partial(tiles);
  std::optional<unsigned> open; // the group whose products are in flight
  auto finish = [&] {
    if (!open)
      return;
    SmallVector<Value> flying;
    for (const SmallVector<Value> &some : partial)
      flying.append(some);
    auto done = WgmmaWaitOp::create(b, ValueRange(flying).getTypes(),
                                    b.getI32IntegerAttr(0), flying);
    for (unsigned tile = 0; tile < tiles; ++tile) {
      Value scale = scaleSums(scales[tile * groups + *open]);
      for (unsigned block = 0; block < blocks; ++block) {
        unsigned at = tile * blocks + block;
        sums[at] = math::FmaOp::create(b, scale, done.getResult(at), sums[at]);
      }
      partial[tile].clear();
    }
    open.reset();
  };
  for (unsigned c = 0; c < range.count; ++c) {
    Value first = activations(c);
    for (unsigned half = 0; half < 2; ++half) {
      unsigned group = groupOf(range, c, half);
      // Numbers are made while the products before are in flight.
      SmallVector<Value> pairs;
      for (unsigned tile = 0; tile < tiles; ++tile) {
        Origin origin = args.zeros
                            ? dequantizer.origin(zeros[tile * groups + group])
                            : Origin();
        for (unsigned i = 8 * half; i < 8 * half + 8; ++i)
          pairs.push_back(dequantizer.pair(
              ArrayRef(all[tile]).slice(c * chunk.bits, chunk.bits), i,
              origin));
      }
      if (open != group)
        finish();
      open = group;
      auto fence = WgmmaFenceOp::create(b, ValueRange(pairs).getTypes(), pairs);
      for (unsigned step = 0; step < 2; ++step)
        for (unsigned tile = 0; tile < tiles; ++tile) {
          ValueRange a = fence.getFenced().slice(8 * tile + 4 * step, 4);
          auto product = WgmmaOp::create(
              b, sumTypes, a[0], a[1], a[2], a[3], staged,
              b.add(first, 16 * (2 * half + step)), partial[tile]);
          partial[tile] = llvm::to_vector_of<Value>(product.getD());
        }
      bool last = c + 1 == range.count && half == 1;
      if (last || groupOf(range, half ? c + 1 : c, half ? 0 : 1) != group)
        WgmmaCommitOp::create(b);
    }
  }
  finish();
}

SmallVector<ChunkRange> WeightTile::leftOver(Emitter &b, const MatmulSpec &spec,
                                             int64_t first) {
  unsigned perBlock = FragmentChunk::get(spec.bits()).chunksPerBlock;
  SmallVector<ChunkRange> ranges;
  while (first < spec.chunks()) {
    bool planar = first + perBlock > spec.chunks();
    unsigned count = planar ? 1 : perBlock;
    ranges.push_back({b.index(first), first, count, planar});
    first += count;
  }
  return ranges;
}
