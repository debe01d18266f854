//===- Cherries.cpp - The precise weights of a kernel's rows --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Cherries are few (one in 256): after the main loop every warp takes its share
// of those of its rows. A lane has a row and every other token; activations
// come from global memory, where the main loop has just read them.
//
//===----------------------------------------------------------------------===//

#include "KernelFrame.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::nv;

namespace {
/// Where a row's cherries lie; a stored row of the whole weight.
struct RowCherries {
  Emitter &b;
  const MatmulSpec &spec;
  const KernelArguments &args;
  Value row;

  int64_t count() const {
    const CherrySpec &cherries = spec.cherries;
    return cherries.form == CherryForm::Slot
               ? cherries.count * CherrySpec::slotBlocks(spec.k)
               : cherries.count;
  }

  Value column(Value entry) {
    const CherrySpec &cherries = spec.cherries;
    bool shared = cherries.form == CherryForm::Column;
    Value column =
        b.toIndex(b.scalar(args.cherryColumns, shared ? entry : place(entry)));
    if (cherries.form == CherryForm::Slot)
      column = b.add(column, b.mul(b.div(entry, cherries.count), 256));
    return column;
  }

  Value delta(Value entry) {
    return b.convert(b.scalar(args.cherryDeltas, place(entry)), b.getF32Type());
  }

private:
  /// Entry of the delta plane (CherrySpec).
  Value place(Value entry) {
    switch (spec.cherries.form) {
    case CherryForm::Slot:
      return b.add(b.mul(b.add(b.mul(b.div(row, 16), count()), entry), 16),
                   b.rem(row, 16));
    case CherryForm::Column:
      return b.add(b.mul(entry, spec.n), row);
    default:
      return b.add(b.mul(row, count()), entry);
    }
  }
};
} // namespace

void nv::addCherries(Emitter &b, const MatmulSpec &spec,
                     const KernelFrame &frame, Value buffer) {
  const KernelOptions &options = spec.options;
  const Place &place = frame.place;
  Value lastToken = b.sub(frame.tokens, b.index(1));
  Value side = b.div(place.lane, 16);
  Value warpRow = b.mul(place.warpN, 16 * options.tiles);
  Type compute = b.floatType(spec.compute);
  // Tokens of a lane: its side, then every other one; eight at a time.
  int64_t tokens = (options.tokens + 1) / 2;
  int64_t atATime = std::min<int64_t>(tokens, 8);
  auto addRow = [&](unsigned tile, int64_t first) {
    Value local = b.add(b.add(warpRow, b.rem(place.lane, 16)), 16 * tile);
    // Rows that do not exist read the last one and are not stored.
    Value row = b.min(b.add(local, place.firstRow), b.index(spec.rows() - 1));
    RowCherries cherries{b, spec, frame.args, b.add(row, spec.firstRow())};
    SmallVector<Value> token, from, sums;
    for (int64_t i = 0; i < atATime; ++i) {
      token.push_back(b.add(side, 2 * (first + i)));
      from.push_back(b.min(b.add(token[i], frame.firstToken), lastToken));
      sums.push_back(b.f32(0));
    }
    // CTAs that share the columns share the cherries.
    Value entryOfWarp = place.warpK;
    if (frame.split)
      entryOfWarp = b.add(entryOfWarp, b.mul(frame.split, options.warpsK));
    sums =
        b.loop(entryOfWarp, b.index(cherries.count()),
               b.index(int64_t{options.warpsK} * options.splitK), sums,
               [&](Value entry, ValueRange before) {
                 Value column = cherries.column(entry);
                 Value delta = cherries.delta(entry);
                 SmallVector<Value> after;
                 for (int64_t i = 0; i < atATime; ++i) {
                   Value x = b.scalar(frame.args.x, {from[i], column});
                   x = b.convert(b.convert(x, compute), b.getF32Type());
                   after.push_back(math::FmaOp::create(b, delta, x, before[i]));
                 }
                 return after;
               });
    for (int64_t i = 0; i < atATime; ++i) {
      SmallVector<Value> at{place.warpK, token[i], local};
      Value sum = arith::AddFOp::create(b, b.scalar(buffer, at), sums[i]);
      memref::StoreOp::create(b, sum, buffer, at);
    }
  };
  auto addAll = [&] {
    for (unsigned tile = 0; tile < options.tiles; ++tile)
      for (int64_t first = 0; first < tokens; first += atATime)
        addRow(tile, first);
  };
  if (options.tokens == 1)
    b.when(b.less(side, b.index(1)), addAll);
  else
    addAll();
}
