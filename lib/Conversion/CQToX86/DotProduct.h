//===- DotProduct.h - Sums of u8 x s8 products in vectors -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOX86_DOTPRODUCT_H
#define CQ_LIB_CONVERSION_CQTOX86_DOTPRODUCT_H

#include "Emitter.h"
#include "cq/Conversion/CQToX86/ISA.h"

namespace mlir::cq::x86 {

/// A running sum of products: lanes of i32, and without VNNI a sum of int16
/// pairs that is widened only when the next product might not fit.
struct Accumulator {
  Value total;             ///< vector<lanes x i32>
  Value pending;           ///< vector<2·lanes x i16> or null
  unsigned pendingMax = 0; ///< bound on |pending|
};

/// Four weights of every lane, as the multiplier takes them.
struct Operand {
  Value bytes; ///< unsigned, at most `max`
  Value sign;  ///< signed bytes whose sign the activation gets first, or null
  unsigned max = 0;
};

class DotProduct {
public:
  DotProduct(Emitter &e, ISA isa) : e(e), isa(isa) {}

  /// Once an operand; `centered`: the byte stands for itself less 128.
  Operand prepare(Value bytes, unsigned max, bool centered);
  /// acc += Σ of four products in every lane; `activation` are signed bytes of
  /// magnitude ≤ 127.
  void accumulate(Accumulator &acc, const Operand &operand, Value activation);
  /// Leaves everything in `total`.
  void finish(Accumulator &acc);

  /// Without VNNI: sums of int16 pairs that a loop carries, which hold
  /// `pairsPerSum` products before they are widened.
  static int64_t pairsPerSum(unsigned max);
  Value zeroPairs();
  Value addPairProducts(Value pairs, const Operand &operand, Value activation);
  /// Sums of pairs as lanes of i32.
  Value widenPairs(Value pairs);

private:
  Value dotQuad(Value total, Value operand, Value activation);
  Value pairProducts(Value operand, Value activation);
  Value withSign(Value activation, Value sign);

  Emitter &e;
  ISA isa;
};

} // namespace mlir::cq::x86

#endif // CQ_LIB_CONVERSION_CQTOX86_DOTPRODUCT_H
