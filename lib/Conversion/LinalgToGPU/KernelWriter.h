//===- KernelWriter.h - One kernel for one linalg op ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_LINALGTOGPU_KERNELWRITER_H
#define CQ_LIB_CONVERSION_LINALGTOGPU_KERNELWRITER_H

#include "HostValues.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/IRMapping.h"

namespace mlir::cq {

/// sin and cos in f64 (an error of about 1e-11 up to arguments of 1e6), by
/// arithmetic that every device has: the libraries with these functions are the
/// CUDA toolkit's.
Value emitSineOrCosine(OpBuilder &builder, Location loc, Value x, bool sine);

/// Writes the kernel of one op and the launch that replaces it.
class KernelWriter {
public:
  /// `start`: the constant that the op's destination was filled with, or null.
  KernelWriter(linalg::LinalgOp op, Value start, int64_t maxScalar)
      : op(op), start(start), maxScalar(maxScalar), host(op), b(op),
        loc(op.getLoc()) {}

  /// Appends the kernel to `kernels`. On failure a diagnostic was emitted.
  FailureOr<gpu::GPUFuncOp> write(gpu::GPUModuleOp kernels);
  /// Launches `kernel` (or an equal one) in front of the op.
  void launch(gpu::GPUFuncOp kernel);

private:
  static constexpr int64_t threads = 128;

  LogicalResult prepare();
  Value argument(Value base, int64_t constant);
  Value flatten(Value base, int64_t constant);
  /// A host value inside the kernel; null after an error.
  Value inside(OpFoldResult value);
  Value index(int64_t value);
  Value add(Value a, Value b), multiply(Value a, Value b);
  Value product(ArrayRef<unsigned> dims);
  /// Writes the indices of the `dims` of element `linear`.
  void delinearize(Value linear, ArrayRef<unsigned> dims);
  Value address(OpOperand &operand);
  Value load(OpOperand &operand);
  void store(OpOperand &operand, Value value);
  Value initial(OpOperand &operand);
  /// Results of the body at the indices, with `outs` as its destinations.
  FailureOr<SmallVector<Value>> body(ValueRange outs);
  LogicalResult writeEach(), writeSerial(), writeWarps(Operation *combiner);
  Operation *findCombiner();
  bool worthWarps();

  linalg::LinalgOp op;
  Value start;
  int64_t maxScalar;
  OpBuilder host, b;
  Location loc;
  gpu::GPUFuncOp kernel;
  DenseMap<OpOperand *, BufferView> views;
  SmallVector<OpFoldResult> bounds;
  SmallVector<unsigned> parallel, reduced;
  SmallVector<Value> indices;  ///< of the loops, at the moment
  SmallVector<Value> operands; ///< of the launch
  DenseMap<std::pair<Value, int64_t>, Value> arguments;
  DenseMap<Value, Value> copied; ///< host values inside
  int64_t grid = 1;
};

} // namespace mlir::cq

#endif // CQ_LIB_CONVERSION_LINALGTOGPU_KERNELWRITER_H
