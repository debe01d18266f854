//===- Patterns.h - Parts of the lowering to linalg -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOLINALG_PATTERNS_H
#define CQ_LIB_CONVERSION_CQTOLINALG_PATTERNS_H

#include "Emit.h"
#include "cq/Codec/Layout.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::cq::tolinalg {

void populateActivationPatterns(RewritePatternSet &patterns);
void populateCherryPatterns(RewritePatternSet &patterns);
void populateGatherPatterns(RewritePatternSet &patterns);
void populateMatmulPatterns(RewritePatternSet &patterns);
void populatePackPatterns(RewritePatternSet &patterns);
void populateQuantizePatterns(RewritePatternSet &patterns);
void populateUnpackPatterns(RewritePatternSet &patterns);

//===----------------------------------------------------------------------===//
// The formulas of Scheme.h, inside a body
//===----------------------------------------------------------------------===//

/// The integer a code stands for, as i32: u − origin, or 2u − origin for
/// half-step. `origin` (i32) is z for the affine grid, else originOf.
Value level(Emitter &b, const Scheme &scheme, Value code, Value origin);
/// The origin of a stored row on the grids without zero points: 2^(b−1), or
/// 2^b − 1 for half-step, with the width of the row's segment. `row` may be
/// null where there is one width.
Value originOf(Emitter &b, const Scheme &scheme, ArrayRef<RowSegment> segments,
               Value row);
/// What a level is multiplied with, as f32: S, or S/2 for half-step.
Value step(Emitter &b, const Scheme &scheme, Value scale);
/// The i8 code of an activation of a group with this scale.
Value quantizeActivation(Emitter &b, Value x, Value scale);
/// The group of a column; the constant 0 where a group is the whole row.
AffineExpr groupOf(const Scheme &scheme, AffineExpr column);

//===----------------------------------------------------------------------===//
// Cherries
//===----------------------------------------------------------------------===//

/// Cherries of all forms look alike here: [rows…, blocks, count] of columns of
/// W (i32) and deltas (f32), in the order in which a row adds them. A block is
/// `width` columns; columns from `covered` on have none.
struct CherryRows {
  Value columns, deltas;
  int64_t width, covered;
};

/// Reads the planes of W [n, k]: the cherries of every row, or, where `rows`
/// (a tensor of integers) is given, those of the rows it names. `deltas` may be
/// null. None where W is too small to have any.
std::optional<CherryRows> readCherries(Emitter &b, const CherrySpec &spec,
                                       int64_t n, int64_t k, Value columns,
                                       Value deltas, Value rows = {});
/// dense [rows…, k] with the places of cherries updated, in order, by
/// update(element, delta); there is no delta if none were read.
using CherryUpdate = llvm::function_ref<Value(Emitter &, Value, Value)>;
Value updateCherries(Emitter &b, Value dense, const CherryRows &cherries,
                     CherryUpdate update);
/// dense [rows…, k] with the deltas added.
Value addCherries(Emitter &b, Value dense, const CherryRows &cherries);

/// A row number given as an integer of any width, as index.
Value toIndex(Emitter &b, Value value);

} // namespace mlir::cq::tolinalg

#endif // CQ_LIB_CONVERSION_CQTOLINALG_PATTERNS_H
