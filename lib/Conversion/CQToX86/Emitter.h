//===- Emitter.h - A builder with what kernels are made of ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOX86_EMITTER_H
#define CQ_LIB_CONVERSION_CQTOX86_EMITTER_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::func {
class FuncOp;
} // namespace mlir::func

namespace mlir::cq::x86 {

/// Index arithmetic folds while it is written, so that a kernel's IR holds only
/// what depends on its loops.
class Emitter : public ImplicitLocOpBuilder {
public:
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;

  Value index(int64_t value);
  Value add(Value a, Value b);
  Value add(Value a, int64_t b) { return add(a, index(b)); }
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  Value mul(Value a, int64_t b) { return mul(a, index(b)); }
  Value udiv(Value a, int64_t b);
  Value urem(Value a, int64_t b);
  Value min(Value a, Value b);
  Value max(Value a, Value b);

  /// Constants: a scalar, or a vector of `lanes` equal elements.
  Value constI32(int64_t value, int64_t lanes = 0);
  Value constF32(float value, int64_t lanes = 0);
  Value constInt(unsigned bits, int64_t value, int64_t lanes = 0);

  VectorType vec(int64_t lanes, Type element) {
    return VectorType::get(lanes, element);
  }
  Value splat(Value scalar, int64_t lanes);
  Value bitcast(Value vector, Type element);
  Value load(Value memref, ValueRange indices);
  Value loadVector(Value memref, ValueRange indices, int64_t lanes);
  void store(Value value, Value memref, ValueRange indices);
  /// The four bytes at an element in each of `lanes` words, as bytes.
  Value broadcastQuad(Value memref, ValueRange indices, int64_t lanes);
  /// Brings the cache line of an element into L1.
  void prefetch(Value memref, ValueRange indices, bool forWrite = false);
  /// Logical shift of every element by a constant: right, or left if negative.
  Value shift(Value value, int amount);
  Value andMask(Value value, int64_t mask);
  Value intrinsic(StringRef name, Type result, ValueRange args);
  void intrinsic(StringRef name, ValueRange args);
  /// The address of an element, as an LLVM pointer.
  Value address(Value memref, ValueRange indices);
  /// f16, bf16 or f32 scalars and vectors as f32.
  Value toF32(Value value);
  /// Unsigned integers to i32, element-wise.
  Value zextI32(Value value);
  /// A vector from its elements.
  Value fromElements(ArrayRef<Value> elements);
  Value extract(Value vector, int64_t position);
  /// Elements `offset …` of a vector, `lanes` of them.
  Value slice(Value vector, int64_t offset, int64_t lanes);

  using Body =
      llvm::function_ref<SmallVector<Value>(Value iv, ValueRange carried)>;
  SmallVector<Value> loop(Value lower, Value upper, int64_t step,
                          ValueRange inits, Body body);
  void loop(Value lower, Value upper, int64_t step,
            llvm::function_ref<void(Value iv)> body);
  void ifThen(Value condition, llvm::function_ref<void()> then,
              llvm::function_ref<void()> otherwise = nullptr);
  /// Covers [0, total) with pieces of `step`: a loop where there are several
  /// whole pieces, then the shorter rest; `body` gets the start and the static
  /// length.
  using PieceBody = llvm::function_ref<SmallVector<Value>(
      Value start, int64_t length, ValueRange carried)>;
  SmallVector<Value> pieces(int64_t total, int64_t step, ValueRange inits,
                            PieceBody body);
};

/// A kernel's function, still empty: an argument for every slot that has a
/// type, then the range of its work.
func::FuncOp
createKernelFunction(OpBuilder &builder, Location loc, StringRef name,
                     ArrayRef<std::pair<MemRefType, Value *>> slots,
                     Value &begin, Value &end);

} // namespace mlir::cq::x86

#endif // CQ_LIB_CONVERSION_CQTOX86_EMITTER_H
