//===- TileProduct.cpp - Products in AMX's tile registers -----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileProduct.h"
#include "DotProduct.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMTypes.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::cq::x86;

static constexpr int64_t kRows = 16;

int64_t TileProduct::columnsPerStep(int64_t k, int64_t group) {
  return k % 64 == 0 && group % 64 == 0 ? 64 : 32;
}

TileProduct::TileProduct(Emitter &e, ISA isa, int64_t panels) : e(e), isa(isa) {
  sums = memref::AllocaOp::create(
      e, MemRefType::get({panels, kTokens, kRows}, e.getI32Type()),
      e.getI64IntegerAttr(64));
}

SmallVector<Value> TileProduct::sum(Value activations, Value token,
                                    int64_t tokens, Value column, Value length,
                                    int64_t step, ArrayRef<CodeBytes> panels) {
  if (isa.emulated)
    emulate(activations, token, tokens, column, length, panels);
  else
    multiply(activations, token, tokens, column, length, step, panels);
  SmallVector<Value> result;
  for (size_t p = 0; p < panels.size(); ++p)
    for (int64_t t = 0; t < tokens; ++t)
      result.push_back(
          e.loadVector(sums, {e.index(p), e.index(t), e.index(0)}, kRows));
  return result;
}

void TileProduct::multiply(Value activations, Value token, int64_t tokens,
                           Value column, Value length, int64_t step,
                           ArrayRef<CodeBytes> panels) {
  // Shapes are rows and bytes of a row; LLVM configures the registers by them.
  Type tile = LLVM::LLVMX86AMXType::get(e.getContext());
  Value rows = e.constInt(16, tokens), quads = e.constInt(16, step / 4),
        columnBytes = e.constInt(16, step),
        sumBytes = e.constInt(16, 4 * kRows), line = e.constInt(64, 4 * kRows);
  SmallVector<Value> begin;
  for (size_t p = 0; p < panels.size(); ++p)
    begin.push_back(
        e.intrinsic("llvm.x86.tilezero.internal", tile, {rows, sumBytes}));
  auto strides = memref::ExtractStridedMetadataOp::create(e, activations)
                     .getConstifiedMixedStrides();
  Value tokenBytes = arith::IndexCastOp::create(
      e, e.getI64Type(),
      getValueOrCreateConstantIndexOp(e, e.getLoc(), strides.front()));
  SmallVector<Value> totals = e.loop(
      e.index(0), length, step, begin, [&](Value offset, ValueRange before) {
        Value a =
            e.intrinsic("llvm.x86.tileloadd64.internal", tile,
                        {rows, columnBytes,
                         e.address(activations, {token, e.add(column, offset)}),
                         tokenBytes});
        SmallVector<Value> after;
        for (auto [panel, sum] : llvm::zip_equal(panels, before)) {
          Value at = e.add(panel.index, e.mul(offset, kRows));
          Value b =
              e.intrinsic("llvm.x86.tileloadd64.internal", tile,
                          {quads, sumBytes, e.address(panel.memref, at), line});
          after.push_back(
              e.intrinsic("llvm.x86.tdpbsud.internal", tile,
                          {rows, sumBytes, columnBytes, sum, a, b}));
        }
        return after;
      });
  for (auto [p, total] : llvm::enumerate(totals)) {
    Value zero = e.index(0);
    e.intrinsic(
        "llvm.x86.tilestored64.internal",
        {rows, sumBytes,
         e.address(sums, {e.index(static_cast<int64_t>(p)), zero, zero}), line,
         total});
  }
}

void TileProduct::emulate(Value activations, Value token, int64_t tokens,
                          Value column, Value length,
                          ArrayRef<CodeBytes> panels) {
  DotProduct dot(e, isa);
  Value zero = e.index(0);
  for (auto [p, panel] : llvm::enumerate(panels))
    e.loop(zero, e.index(tokens), 1, [&](Value t) {
      SmallVector<Value> total = e.loop(
          zero, length, 4, {e.constI32(0, kRows)},
          [&](Value offset, ValueRange before) {
            Accumulator sum{before.front()};
            Value codes = e.loadVector(panel.memref,
                                       e.add(panel.index, e.mul(offset, kRows)),
                                       4 * kRows);
            dot.accumulate(
                sum, dot.prepare(codes, isa.maxOperand(), /*centered=*/false),
                e.broadcastQuad(activations,
                                {e.add(token, t), e.add(column, offset)},
                                kRows));
            return SmallVector<Value>{sum.total};
          });
      e.store(total.front(), sums, {e.index(static_cast<int64_t>(p)), t, zero});
    });
}
