//===- KernelHarness.h - Compiles kernels and calls them --------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TEST_CONVERSION_KERNELHARNESS_H
#define CQ_TEST_CONVERSION_KERNELHARNESS_H

#include "cq/Conversion/CQToX86/Kernels.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include <functional>
#include <memory>

namespace mlir {
class ExecutionEngine;
}

namespace mlir::cq::x86::test {

/// Memory whose last byte lies before a page that cannot be touched, so that a
/// kernel that reads or writes past a plane's end does not go unnoticed.
class GuardedBuffer {
public:
  explicit GuardedBuffer(int64_t bytes);
  GuardedBuffer(const void *data, int64_t bytes);
  GuardedBuffer(GuardedBuffer &&other) noexcept;
  ~GuardedBuffer();
  template <typename T> T *as() { return static_cast<T *>(data); }
  int64_t size() const { return bytes; }

private:
  void *data = nullptr, *mapping = nullptr;
  int64_t bytes = 0, mapped = 0;
};

/// A module of kernels, lowered and compiled for this machine.
class KernelHarness {
public:
  KernelHarness();
  ~KernelHarness();
  MLIRContext *context() { return &ctx; }
  ModuleOp module() { return *owned; }
  OpBuilder builder();
  /// Lowers and compiles everything in the module; false with a message on
  /// stderr.
  bool compile();

  /// A memref argument: pointer and shape (identity layout).
  struct Argument {
    void *data;
    llvm::SmallVector<int64_t, 2> shape;
  };
  bool call(llvm::StringRef kernel, llvm::ArrayRef<Argument> memrefs,
            int64_t begin, int64_t end);
  /// Whether a memref of the last kernel called holds these bytes now. A test
  /// that asks this can be recorded for another CPU (KernelRecorder.h).
  bool holds(size_t memref, const void *bytes, int64_t size);
  /// Whether this machine executes the level, or it is recorded.
  static bool canRun(ISA isa);

  /// The kernel bound to its memrefs: calls without look-up or marshalling.
  /// Threads may share it. Null with a message on stderr if there is none of
  /// that name.
  std::function<void(int64_t begin, int64_t end)>
  bind(llvm::StringRef kernel, llvm::ArrayRef<Argument> memrefs);

private:
  MLIRContext ctx;
  OwningOpRef<ModuleOp> owned;
  std::unique_ptr<ExecutionEngine> engine;
  llvm::SmallVector<Argument> called;
};

} // namespace mlir::cq::x86::test

#endif // CQ_TEST_CONVERSION_KERNELHARNESS_H
