//===- MicroTile.h - Rows of panels times a few tokens ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOX86_MICROTILE_H
#define CQ_LIB_CONVERSION_CQTOX86_MICROTILE_H

#include "DotProduct.h"
#include "Epilogue.h"
#include "Heuristics.h"
#include "TileProduct.h"
#include "UnpackUnit.h"
#include "WeightReader.h"

namespace mlir::cq::x86 {

class PairOffsets;

/// Writes the sums of one tile over all of K: unpack × dot product × group
/// fold.
class MicroTile {
public:
  /// A reader for every panel, all of the same segment. With `tiles`, int8
  /// products are made there.
  MicroTile(Emitter &e, const MatmulSpec &spec, const KernelArgs &args,
            ArrayRef<WeightReader *> readers, const TilePlan &plan,
            TileProduct *tiles = nullptr);

  /// Rows [lane, lane + plan.rows) of the panels × tokens
  /// [token, token + plan.tokens), stored to y (without cherries).
  void emit(Value token, Value lane);

  /// What the tiles of a piece ask for meanwhile: codes of as many columns from
  /// `next` on, each tile the `turn`-th of `turns` parts.
  struct Fetch {
    Value next, turn;
    int64_t turns = 0;
  };
  /// What columns [column, end), which begin with a group and are whole steps,
  /// add to the sums of int8 products (the unpacked ones, where panels are
  /// unpacked). With `offsets`, of the same columns and of tokens from
  /// `firstToken` on, int16 sums begin there.
  SmallVector<Value> addColumns(Value token, Value column, Value end,
                                ValueRange sums, PairOffsets *offsets,
                                Value firstToken, const Fetch &fetch);
  SmallVector<Value> zeroSums();
  /// Stores sums to y.
  void store(Value token, ValueRange sums);
  /// Sums in y; of rows that do not exist, 0.
  SmallVector<Value> loadStoredSums(Value token);
  /// Asks for y of the next panel's rows, for the tokens stored last.
  void fetchNextRows();
  /// Sums kept in memory of [tokens, plan.rows] f32 from `token` on.
  SmallVector<Value> loadSums(Value memref, Value token);
  void keepSums(Value memref, Value token, ValueRange sums);

private:
  /// Of an unpacked panel, sums of pairs over `length` columns, which fit
  /// int16; `step` columns in the body of the loop.
  SmallVector<Value> pairsOfRun(Value column, Value length, int64_t step,
                                ValueRange begin);
  SmallVector<Value> emitInt8();
  SmallVector<Value> addPacked(Value column, Value end, ValueRange sums);
  SmallVector<Value> addTiles(Value column, Value end, ValueRange sums,
                              const Fetch &fetch);
  SmallVector<Value> addUnpacked(Value column, Value end, ValueRange sums,
                                 PairOffsets *offsets, Value firstToken,
                                 const Fetch &fetch);
  /// A group's share, the one `offset` columns into the piece.
  void fetchNext(const Fetch &fetch, Value offset);
  SmallVector<Value> emitFloat();
  /// One step of the inner loop: products of columns [column, column + length).
  SmallVector<Value> productsInt8(Value column, int64_t length,
                                  ValueRange totals);
  SmallVector<Value> productsFloat(Value column, int64_t length,
                                   ValueRange sums, ValueRange zeros);
  /// acc = fma(float(i), S·s, acc) for every part and token; in `totals` every
  /// code stands for itself less `center`.
  SmallVector<Value> fold(Value column, ValueRange totals,
                          ValueRange accumulators, int64_t center);
  Value broadcastQuad(int64_t token, Value column, int64_t length);
  Value weightGroup(Value column);
  /// Columns of the group of activations that begins at `first`.
  Value groupLength(Value first, Value end);
  SmallVector<Value> loadUnit(Value column, int64_t offset, unsigned part);
  /// S, or S/2 for half-step, of the lanes of a part.
  Value loadScales(Value group, unsigned part);
  void storeTile(ValueRange accumulators);

  unsigned part(unsigned part, unsigned token) const {
    return part * plan.tokens + token;
  }
  WeightReader &reader(unsigned part) const {
    return *readers[part * isa.lanes() / 16];
  }
  /// The first row of a part in its panel.
  Value lane(unsigned part) {
    return e.add(laneBase, int64_t(part) * isa.lanes() % 16);
  }
  Value token(int64_t t) { return e.add(tokenBase, t); }

  Emitter &e;
  const MatmulSpec &spec;
  const KernelArgs &args;
  SmallVector<WeightReader *, 2> readers;
  TilePlan plan;
  ISA isa;
  Scheme scheme;
  TileProduct *tiles;
  unsigned parts;
  SmallVector<Field> fields;
  SmallVector<int> exponentList;
  Value tokenBase, laneBase;
};

} // namespace mlir::cq::x86

#endif // CQ_LIB_CONVERSION_CQTOX86_MICROTILE_H
