//===- UnpackUnit.h - Stored vectors to operands of products ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOX86_UNPACKUNIT_H
#define CQ_LIB_CONVERSION_CQTOX86_UNPACKUNIT_H

#include "Emitter.h"
#include "cq/Codec/Layout.h"
#include "cq/Conversion/CQToX86/ISA.h"

namespace mlir::cq::x86 {

/// One unsigned byte operand of a dot product: the OR of its terms. Its sum has
/// to be multiplied by 2^exponent to be the sum over the codes of the quad (so
/// the fields of one quad add up to it). In-place fields have negative
/// exponents.
struct Field {
  SmallVector<PanelTerm, 2> terms;
  int exponent = 0;
  unsigned max = 0; ///< largest value an operand byte can have
  /// The multiplier takes the byte as signed, less 128 (a whole byte without
  /// VNNI): 128 times the activations' sum is missing from the sum of products.
  bool centered = false;
  unsigned quad = 0;
};

/// How to feed the quads of a unit to a level's multiplier. `inPlace` leaves a
/// field where it lies (one mask, an accumulator for every shift class),
/// otherwise fields are shifted down to bit 0 (one accumulator). `maxCode` is
/// the largest code stored.
SmallVector<Field> planFields(const PanelUnit &unit, unsigned maxCode, ISA isa,
                              bool inPlace);

/// The distinct exponents, in order of first use.
SmallVector<int> exponents(ArrayRef<Field> fields);

/// Emits a field from the unit's vectors (byte vectors of any width).
Value emitField(Emitter &e, const Field &field, ValueRange vectors);

/// Emits a quad in place from words that hold four bytes each (a scalar i32 or
/// a vector of i32): code j of the quad is at bits 8j + shiftClass.
Value emitQuadWord(Emitter &e, const PanelQuad &quad, ValueRange words);

} // namespace mlir::cq::x86

#endif // CQ_LIB_CONVERSION_CQTOX86_UNPACKUNIT_H
