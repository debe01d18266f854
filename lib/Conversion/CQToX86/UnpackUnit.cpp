//===- UnpackUnit.cpp - Stored vectors to operands of products ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "UnpackUnit.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;

static PanelTerm shiftDown(PanelTerm term, unsigned by) {
  // The mask allows no bit that came from a neighbouring byte, before and
  // after.
  term.shift = static_cast<int8_t>(term.shift + static_cast<int>(by));
  term.mask = static_cast<uint8_t>(term.mask >> by);
  return term;
}

SmallVector<Field> mlir::cq::x86::planFields(const PanelUnit &unit,
                                             unsigned maxCode, ISA isa,
                                             bool inPlace) {
  unsigned maxOperand = isa.maxOperand();
  SmallVector<Field> fields;
  for (auto [index, quad] : llvm::enumerate(unit.quads)) {
    Field field;
    field.quad = static_cast<unsigned>(index);
    unsigned placed = maxCode << quad.shiftClass;
    if (inPlace && placed <= maxOperand) {
      field.terms = quad.terms;
      field.exponent = -static_cast<int>(quad.shiftClass);
      field.max = placed;
      fields.push_back(std::move(field));
      continue;
    }
    for (PanelTerm term : quad.terms)
      field.terms.push_back(shiftDown(term, quad.shiftClass));
    field.max = maxCode;
    if (maxCode <= maxOperand) {
      fields.push_back(std::move(field));
      continue;
    }
    if (isa.hasSignedBytes()) {
      field.max = 128;
      field.centered = true;
      fields.push_back(std::move(field));
      continue;
    }
    // A whole byte is too large for this multiplier: two halves of four bits.
    Field high;
    high.quad = field.quad;
    high.exponent = 4;
    high.max = maxCode >> 4;
    for (PanelTerm &term : field.terms) {
      high.terms.push_back(shiftDown(term, 4));
      term.mask &= 0x0F;
    }
    field.max = 0x0F;
    fields.push_back(std::move(field));
    fields.push_back(std::move(high));
  }
  return fields;
}

SmallVector<int> mlir::cq::x86::exponents(ArrayRef<Field> fields) {
  SmallVector<int> result;
  for (const Field &field : fields)
    if (!llvm::is_contained(result, field.exponent))
      result.push_back(field.exponent);
  return result;
}

Value mlir::cq::x86::emitField(Emitter &e, const Field &field,
                               ValueRange vectors) {
  Value result;
  for (const PanelTerm &term : field.terms) {
    if (term.mask == 0)
      continue;
    Value value = vectors[term.vector];
    // x86 has no byte shifts: 16-bit lanes, and the mask drops what crossed
    // over.
    if (term.shift != 0)
      value = e.bitcast(e.shift(e.bitcast(value, e.getI16Type()), term.shift),
                        e.getI8Type());
    if (term.mask != 0xFF)
      value = e.andMask(value, term.mask);
    result =
        result ? arith::OrIOp::create(e, result, value).getResult() : value;
  }
  return result;
}

Value mlir::cq::x86::emitQuadWord(Emitter &e, const PanelQuad &quad,
                                  ValueRange words) {
  Value result;
  for (const PanelTerm &term : quad.terms) {
    Value value = e.shift(words[term.vector], term.shift);
    if (term.mask != 0xFF)
      value = e.andMask(value, int64_t(term.mask) * 0x01010101);
    result =
        result ? arith::OrIOp::create(e, result, value).getResult() : value;
  }
  return result;
}
