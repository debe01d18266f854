//===- Emitter.h - Short names for the ops of kernels -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTONVGPU_EMITTER_H
#define CQ_LIB_CONVERSION_CQTONVGPU_EMITTER_H

#include "cq/Conversion/CQToNVGPU/Kernels.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::cq::nv {

/// A builder that knows the arithmetic of kernels. Constants fold as they are
/// made, so that kernels stay readable.
class Emitter : public ImplicitLocOpBuilder {
public:
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;

  Type floatType(FloatKind kind) {
    switch (kind) {
    case FloatKind::F16:
      return getF16Type();
    case FloatKind::BF16:
      return getBF16Type();
    case FloatKind::F32:
      return getF32Type();
    }
    return {};
  }

  Value index(int64_t value);
  Value i32(int64_t value);
  Value f32(double value);
  /// A splat of a floating-point vector type.
  Value splat(VectorType type, double value);

  Value add(Value a, Value b);
  Value add(Value a, int64_t b) { return add(a, index(b)); }
  Value sub(Value a, Value b);
  Value mul(Value a, int64_t b);
  Value div(Value a, int64_t b); ///< unsigned
  Value rem(Value a, int64_t b); ///< unsigned
  Value min(Value a, Value b);   ///< unsigned
  Value xorBits(Value a, Value b);
  Value less(Value a, Value b); ///< unsigned
  Value both(Value a, Value b);
  Value select(Value c, Value a, Value b) {
    return createOrFold<arith::SelectOp>(c, a, b);
  }

  /// body() when `condition` holds; nothing is left of a condition known at
  /// compile time.
  void when(Value condition, llvm::function_ref<void()> body);
  /// Values of body() when `condition` holds, else `otherwise`.
  SmallVector<Value> when(Value condition, ArrayRef<Value> otherwise,
                          llvm::function_ref<SmallVector<Value>()> body);
  /// for (i = from; i < to; i += step) carried = body(i, carried)
  SmallVector<Value>
  loop(Value from, Value to, Value step, ArrayRef<Value> carried,
       llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body);

  /// `count` contiguous elements, aligned to their size (16 bytes at most).
  Value load(Value memref, ValueRange at, int64_t count);
  void store(Value vector, Value memref, ValueRange at);
  Value scalar(Value memref, ValueRange at) {
    return memref::LoadOp::create(*this, memref, at);
  }
  Value extract(Value vector, int64_t at) {
    return vector::ExtractOp::create(*this, vector, at);
  }
  /// Elements [at, at + 2) of a vector.
  Value pairOf(Value vector, int64_t at);
  /// To another floating-point type, scalar or vector.
  Value convert(Value value, Type element);
  Value toIndex(Value integer) {
    return createOrFold<arith::IndexCastUIOp>(getIndexType(), integer);
  }

private:
  static std::optional<int64_t> known(Value value);
};

} // namespace mlir::cq::nv

#endif // CQ_LIB_CONVERSION_CQTONVGPU_EMITTER_H
