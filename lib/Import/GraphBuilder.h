//===- GraphBuilder.h - Tensor code, one op a call --------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A thin layer over OpBuilder for importers: values get names (printed as SSA
// names), shapes may be static or dynamic, a linalg.generic is written as its
// operands with the loops that index them.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_IMPORT_GRAPHBUILDER_H
#define CQ_LIB_IMPORT_GRAPHBUILDER_H

#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::cq::llama {

using Shape = SmallVector<OpFoldResult>;

class GraphBuilder {
public:
  explicit GraphBuilder(OpBuilder &builder) : builder(builder) {}

  /// A tensor and, for each of its dimensions, the loop that runs over it.
  struct Operand {
    Value value;
    SmallVector<unsigned> loops;
  };
  using Body =
      function_ref<SmallVector<Value, 2>(ImplicitLocOpBuilder &, ValueRange)>;

  OpBuilder &getBuilder() { return builder; }
  Location loc(StringRef name);
  Shape shape(ArrayRef<int64_t> sizes);
  /// The f32 tensor type of a shape.
  RankedTensorType type(ArrayRef<OpFoldResult> sizes);

  Value f32(double value);
  Value index(int64_t value);
  Value add(StringRef name, Value a, Value b);

  Value empty(StringRef name, ArrayRef<OpFoldResult> sizes);
  Value filled(StringRef name, ArrayRef<OpFoldResult> sizes, double value);

  /// Splits (or joins) dimensions; `groups[i]` are the dimensions of the longer
  /// shape that make up dimension i of the shorter one.
  Value expand(StringRef name, Value source, ArrayRef<OpFoldResult> sizes,
               ArrayRef<ReassociationIndices> groups);
  Value collapse(StringRef name, Value source,
                 ArrayRef<ReassociationIndices> groups);

  /// Slices with unit strides; the result drops the dimensions in `dropped`.
  Value slice(StringRef name, Value source, ArrayRef<OpFoldResult> offsets,
              ArrayRef<OpFoldResult> sizes, ArrayRef<int64_t> dropped = {});
  Value insert(StringRef name, Value source, Value dest,
               ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes);

  /// linalg.generic over `parallel` loops followed by `reductions` loops.
  /// Output elements come after the inputs in the body's arguments.
  SmallVector<Value, 2> generic(StringRef name, unsigned parallel,
                                unsigned reductions, ArrayRef<Operand> inputs,
                                ArrayRef<Operand> outputs, Body body);

private:
  OpBuilder &builder;
};

} // namespace mlir::cq::llama

#endif // CQ_LIB_IMPORT_GRAPHBUILDER_H
