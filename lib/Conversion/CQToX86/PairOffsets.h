//===- PairOffsets.h - Where sums of int16 pairs begin ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Without VNNI, sums of products are kept in int16: lane 0 of four columns adds
// u0·a0 + u1·a1 of every quad, lane 1 u2·a2 + u3·a3. Codes u of b bits are not
// negative, so such a sum is far from zero where their mean, h = 2^(b−1), times
// the activations is. A sum that begins at −h·Σ a instead ends as Σ (u − h)·a,
// whose bound is half as large; int16 arithmetic wraps around and does not mind
// what is in between. So twice as many columns fit a sum, and no grid's offset
// has to be subtracted from a symmetric one.
//
// The beginnings depend on activations only: they are computed once for all
// panels that meet a block of them.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOX86_PAIROFFSETS_H
#define CQ_LIB_CONVERSION_CQTOX86_PAIROFFSETS_H

#include "WeightReader.h"

namespace mlir::cq::x86 {

class PairOffsets {
public:
  /// Room for the sums of `tokens` over `columns`, `run` of which fit one of
  /// codes of `bits`; vectors of bytes divide `run` and `k`.
  PairOffsets(Emitter &e, ISA isa, const KernelArgs &args, unsigned bits,
              int64_t k, int64_t run, int64_t tokens, int64_t columns);

  /// How many columns of codes of `bits` fit a sum, a power of two.
  static int64_t columnsPerSum(unsigned bits);

  /// Of tokens [first, first + count) and columns [column, end).
  void compute(Value first, Value count, Value column, Value end);
  /// Where the sum of `token`, counted from the first, from `column` on begins:
  /// i16 in `lanes` pairs.
  Value load(Value token, Value column, int64_t lanes);

  int64_t run() const { return runColumns; }
  /// h, which every code of the sums stands for itself less.
  int64_t center() const { return int64_t(1) << (bits - 1); }

private:
  Value offsetOf(Value token, Value column, Value length);

  Emitter &e;
  ISA isa;
  const KernelArgs &args;
  unsigned bits;
  int64_t runColumns;
  bool wholeRuns;
  Value memory, begin;
};

} // namespace mlir::cq::x86

#endif // CQ_LIB_CONVERSION_CQTOX86_PAIROFFSETS_H
