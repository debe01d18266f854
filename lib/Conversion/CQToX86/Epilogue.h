//===- Epilogue.h - From accumulators to y, and the cherries ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOX86_EPILOGUE_H
#define CQ_LIB_CONVERSION_CQTOX86_EPILOGUE_H

#include "WeightReader.h"

namespace mlir::cq::x86 {

/// Runs `body(masked)`: unmasked for a panel whose 16 rows exist, masked for a
/// segment's ragged last one; no branch where there is none.
void forPanelEdge(Emitter &e, WeightReader &reader,
                  llvm::function_ref<void(bool)> body);

/// y[token, rows from lane on] = value; the rows' places in y are those that
/// the row order names, if there is one.
void storeRows(Emitter &e, Value y, Value token, WeightReader &reader,
               Value lane, Value value, bool masked);
/// `lanes` elements from `indices` on, which is the reader's row of `lane` in
/// the last one; 0 where the row does not exist.
Value loadRows(Emitter &e, Value memref, ValueRange indices,
               WeightReader &reader, Value lane, int64_t lanes, bool masked);
/// What storeRows has stored.
Value loadStored(Emitter &e, Value y, Value token, WeightReader &reader,
                 Value lane, int64_t lanes, bool masked);

/// y[token … token + tokens, the 16 rows of the reader's panel] += Σ cherries ·
/// x.
void emitCherries(Emitter &e, const MatmulSpec &spec, const KernelArgs &args,
                  WeightReader &reader, Value token, int64_t tokens);

/// The same for all tokens and the panels [lower, upper), where x is transposed
/// (MatmulSpec::transposed).
void emitCherriesByColumn(Emitter &e, const MatmulSpec &spec,
                          const KernelArgs &args, WeightReader &reader,
                          Value lower, Value upper);

/// The same where looksUpCherries(), a few panels at a time, each time after
/// `multiply(first, end)`, which stores the rest of their sums.
void emitCherriesByTable(Emitter &e, const MatmulSpec &spec,
                         const KernelArgs &args, WeightReader &reader,
                         Value lower, Value upper,
                         llvm::function_ref<void(Value, Value)> multiply);

} // namespace mlir::cq::x86

#endif // CQ_LIB_CONVERSION_CQTOX86_EPILOGUE_H
