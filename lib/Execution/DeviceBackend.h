//===- DeviceBackend.h - Where launches run ---------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_EXECUTION_DEVICEBACKEND_H
#define CQ_LIB_EXECUTION_DEVICEBACKEND_H

#include "cq/Runtime/DeviceProgram.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"
#include <memory>

namespace mlir {
class ModuleOp;
}

namespace mlir::cq {

/// An NVIDIA GPU, or the interpreter in its place. Everything happens in the
/// order of the calls.
class DeviceBackend {
public:
  /// A launch's argument: memory of which `bytes` follow `value`, or, with
  /// bytes < 0, an integer of 32 bits.
  struct Argument {
    uint64_t value = 0;
    int64_t bytes = -1;
  };

  virtual ~DeviceBackend() = default;
  virtual std::string name() const = 0;
  /// Zeros; freed with the backend.
  virtual llvm::Expected<uint64_t> allocate(int64_t bytes) = 0;
  virtual llvm::Error upload(uint64_t to, const void *from, int64_t bytes) = 0;
  /// Waits for everything before it.
  virtual llvm::Error download(void *to, uint64_t from, int64_t bytes) = 0;
  virtual llvm::Error launch(const DeviceLaunch &launch,
                             llvm::ArrayRef<Argument> arguments) = 0;
  /// Records what `launches` launches; `play` runs it again, each time.
  /// A backend without graphs records nothing and says false.
  virtual llvm::Expected<bool>
  record(llvm::function_ref<llvm::Error()> launches) {
    return false;
  }
  virtual llvm::Error play() { return llvm::Error::success(); }
};

/// Kernels of `module` (kept by the caller) run in the interpreter.
std::unique_ptr<DeviceBackend> createInterpreterBackend(ModuleOp module);

/// The first GPU. `image` is made for its architecture (80, 90 …) once the GPU
/// is known: a machine without one says so before anything is compiled.
llvm::Expected<std::unique_ptr<DeviceBackend>> createCudaBackend(
    llvm::function_ref<llvm::Expected<std::string>(unsigned architecture)>
        image);

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_DEVICEBACKEND_H
