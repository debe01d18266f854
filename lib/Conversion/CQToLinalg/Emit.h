//===- Emit.h - Short forms of what the patterns emit -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOLINALG_EMIT_H
#define CQ_LIB_CONVERSION_CQTOLINALG_EMIT_H

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include <optional>

namespace mlir::cq::tolinalg {

using Emitter = ImplicitLocOpBuilder;
using Sizes = SmallVector<OpFoldResult>;
/// Block arguments (inputs, then the output's current value) → new value.
using Body = llvm::function_ref<Value(Emitter &, ValueRange)>;

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

Value constant(Emitter &b, float value);
Value constant(Emitter &b, int32_t value);
Value constantIndex(Emitter &b, int64_t value);
/// The loop counter of dimension `dim`, inside a body.
Value index(Emitter &b, unsigned dim);
/// `expr` over dimensions d0, d1, … = operands.
Value apply(Emitter &b, AffineExpr expr, ValueRange operands);
/// tensor[indices]
Value extract(Emitter &b, Value tensor, ValueRange indices);
/// An unsigned integer of any width as i32.
Value unsignedToI32(Emitter &b, Value value);
/// A float of any type as f32.
Value toF32(Emitter &b, Value value);

/// A small constant array; nothing but a scalar where all entries are equal.
class Table {
public:
  Table(Emitter &b, Type elementType, ArrayRef<int64_t> entries);
  Value read(Emitter &b, Value index) const;
  /// The entry, if there is only one value.
  std::optional<int64_t> uniform() const { return splat; }

private:
  Value tensor;
  Type elementType;
  std::optional<int64_t> splat;
};

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

/// Sizes of a tensor, static where the type says so.
Sizes sizesOf(Emitter &b, Value tensor);
/// `sizes` with a static one appended.
Sizes append(Emitter &b, Sizes sizes, ArrayRef<int64_t> more);
Value empty(Emitter &b, const Sizes &sizes, Type elementType);
/// `init` filled with the zero of its type.
Value zeros(Emitter &b, Value init);
inline Value zeros(Emitter &b, const Sizes &sizes, Type elementType) {
  return zeros(b, empty(b, sizes, elementType));
}

/// d0 … d(count−1).
SmallVector<AffineExpr> dims(Emitter &b, unsigned count);
AffineMap map(Emitter &b, unsigned numDims, ArrayRef<AffineExpr> results);

/// One linalg.generic. `maps` are those of the inputs, then of `init`; a
/// dimension that `init` does not have is reduced, in order.
Value generic(Emitter &b, ValueRange inputs, Value init,
              ArrayRef<AffineMap> maps, Body body);
/// A linalg.generic without inputs: the body asks for its indices.
Value generate(Emitter &b, Value init, Body body);

/// [R, K] → [rows, columns] with zeros behind; static sizes.
Value padTo(Emitter &b, Value matrix, int64_t rows, int64_t columns);
/// [R, K] → [R, ⌈K / length⌉, length], with zeros behind a ragged last group.
Value splitColumns(Emitter &b, Value matrix, int64_t length);

} // namespace mlir::cq::tolinalg

#endif // CQ_LIB_CONVERSION_CQTOLINALG_EMIT_H
