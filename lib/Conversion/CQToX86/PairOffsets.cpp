//===- PairOffsets.cpp - Where sums of int16 pairs begin ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PairOffsets.h"
#include "DotProduct.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/bit.h"
#include <limits>

using namespace mlir;
using namespace mlir::cq::x86;

PairOffsets::PairOffsets(Emitter &e, ISA isa, const KernelArgs &args,
                         unsigned bits, int64_t k, int64_t run, int64_t tokens,
                         int64_t columns)
    : e(e), isa(isa), args(args), bits(bits), runColumns(run),
      wholeRuns(k % run == 0) {
  assert(run % isa.vectorBytes() == 0 && k % isa.vectorBytes() == 0 &&
         run <= columnsPerSum(bits));
  memory = memref::AllocaOp::create(
      e, MemRefType::get({tokens, (columns + run - 1) / run}, e.getI32Type()),
      e.getI64IntegerAttr(64));
}

int64_t PairOffsets::columnsPerSum(unsigned bits) {
  // Two products with |activation| ≤ 127 a quad, whose codes are h from zero.
  uint64_t bound = 2 * 127 * (uint64_t(1) << (bits - 1));
  return 4 * static_cast<int64_t>(
                 llvm::bit_floor(std::numeric_limits<int16_t>::max() / bound));
}

/// −h·(Σ a0 + a1, Σ a2 + a3) over the columns, as i16 in one word.
Value PairOffsets::offsetOf(Value token, Value column, Value length) {
  DotProduct dot(e, isa);
  int64_t bytes = isa.vectorBytes();
  // Sums of pairs are products with ones.
  Operand ones{e.constInt(8, 1, bytes), nullptr, 1};
  auto add = [&](Value sums, Value offset) {
    Value codes = e.loadVector(args.activationCodes,
                               {token, e.add(column, offset)}, bytes);
    return dot.addPairProducts(sums, ones, codes);
  };
  Value sums = dot.zeroPairs();
  // Of a run that is always whole, straight-line code.
  if (auto whole = getConstantIntValue(length)) {
    for (int64_t offset = 0; offset < *whole; offset += bytes)
      sums = add(sums, e.index(offset));
  } else {
    sums = e.loop(e.index(0), length, bytes, {sums},
                  [&](Value offset, ValueRange carried) -> SmallVector<Value> {
                    return {add(carried.front(), offset)};
                  })
               .front();
  }
  for (int64_t half = bytes / 4; half >= 2; half /= 2)
    sums = arith::AddIOp::create(e, e.slice(sums, 0, half),
                                 e.slice(sums, half, half));
  sums = arith::MulIOp::create(e, sums, e.constInt(16, -center(), 2));
  return e.extract(e.bitcast(sums, e.getI32Type()), 0);
}

void PairOffsets::compute(Value first, Value count, Value column, Value end) {
  begin = column;
  e.loop(e.index(0), count, 1, [&](Value token) {
    e.loop(column, end, runColumns, [&](Value from) {
      Value length = wholeRuns ? e.index(runColumns)
                               : e.min(e.sub(end, from), e.index(runColumns));
      e.store(offsetOf(e.add(first, token), from, length), memory,
              {token, e.udiv(e.sub(from, begin), runColumns)});
    });
  });
}

Value PairOffsets::load(Value token, Value column, int64_t lanes) {
  Value word =
      e.load(memory, {token, e.udiv(e.sub(column, begin), runColumns)});
  return e.bitcast(e.splat(word, lanes), e.getI16Type());
}
