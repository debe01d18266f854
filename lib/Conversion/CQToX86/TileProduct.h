//===- TileProduct.h - Products in AMX's tile registers ---------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOX86_TILEPRODUCT_H
#define CQ_LIB_CONVERSION_CQTOX86_TILEPRODUCT_H

#include "Emitter.h"
#include "WeightReader.h"
#include "cq/Conversion/CQToX86/ISA.h"

namespace mlir::cq::x86 {

/// Sums of s8 × u8 products of up to 16 tokens and panels of 16 rows: a tile of
/// activations as they lie in memory [token][column], one of codes in the order
/// of an 8-bit panel [quad][row][4], a tile of sums [token][row]. Vector
/// instructions cannot read tiles, so sums pass through memory.
class TileProduct {
public:
  static constexpr int64_t kTokens = 16;
  /// Columns that one multiplication covers: as many as divide K and groups.
  static int64_t columnsPerStep(int64_t k, int64_t group);

  /// Takes memory for the sums of `panels` tiles; outside of all loops.
  TileProduct(Emitter &e, ISA isa, int64_t panels);

  /// Sums over columns [column, column + length), whole steps, as vectors of 16
  /// rows (i32): all tokens from `token` on of the first panel, then of the
  /// next. `panels`: where each has the codes of the first of these columns.
  SmallVector<Value> sum(Value activations, Value token, int64_t tokens,
                         Value column, Value length, int64_t step,
                         ArrayRef<CodeBytes> panels);

private:
  void multiply(Value activations, Value token, int64_t tokens, Value column,
                Value length, int64_t step, ArrayRef<CodeBytes> panels);
  /// The same in plain vector arithmetic.
  void emulate(Value activations, Value token, int64_t tokens, Value column,
               Value length, ArrayRef<CodeBytes> panels);

  Emitter &e;
  ISA isa;
  Value sums; ///< [panel, token, row] i32
};

} // namespace mlir::cq::x86

#endif // CQ_LIB_CONVERSION_CQTOX86_TILEPRODUCT_H
