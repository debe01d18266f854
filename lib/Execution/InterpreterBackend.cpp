//===- InterpreterBackend.cpp - The interpreter as a device ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceBackend.h"
#include "cq/GPUInterpreter/Interpreter.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace mlir::cq;

namespace {

class InterpreterBackend : public DeviceBackend {
public:
  explicit InterpreterBackend(ModuleOp module) : context(module.getContext()) {
    module.walk(
        [&](gpu::GPUFuncOp kernel) { kernels[kernel.getName()] = kernel; });
  }

  std::string name() const override { return "interpreter"; }

  llvm::Expected<uint64_t> allocate(int64_t bytes) override {
    // 256-byte alignment, as the driver's.
    memory.push_back(std::make_unique<uint8_t[]>(bytes + 256));
    uint64_t address = reinterpret_cast<uint64_t>(memory.back().get());
    return (address + 255) / 256 * 256;
  }
  llvm::Error upload(uint64_t to, const void *from, int64_t bytes) override {
    std::memcpy(reinterpret_cast<void *>(to), from, bytes);
    return llvm::Error::success();
  }
  llvm::Error download(void *to, uint64_t from, int64_t bytes) override {
    std::memcpy(to, reinterpret_cast<void *>(from), bytes);
    return llvm::Error::success();
  }

  llvm::Error launch(const DeviceLaunch &launch,
                     llvm::ArrayRef<Argument> arguments) override {
    Operation *kernel = kernels.lookup(launch.kernel);
    if (!kernel)
      return llvm::createStringError("there is no kernel '" + launch.kernel +
                                     "'");
    GPULaunch run;
    for (int i = 0; i < 3; ++i)
      run.grid[i] = launch.grid[i], run.block[i] = launch.block[i];
    run.dynamicSharedBytes = launch.sharedBytes;
    for (const Argument &argument : arguments) {
      GPUArgument &one = run.arguments.emplace_back();
      if (argument.bytes < 0)
        one.scalar = argument.value;
      else
        one.bytes = {reinterpret_cast<uint8_t *>(argument.value),
                     static_cast<size_t>(argument.bytes)};
    }
    std::string refusal;
    ScopedDiagnosticHandler handler(context, [&](Diagnostic &diagnostic) {
      if (refusal.empty())
        refusal = diagnostic.str();
      return success();
    });
    if (failed(runGPUKernel(kernel, run)))
      return llvm::createStringError("kernel '" + launch.kernel +
                                     "' fails in the interpreter: " + refusal);
    return llvm::Error::success();
  }

private:
  MLIRContext *context;
  llvm::StringMap<Operation *> kernels;
  std::vector<std::unique_ptr<uint8_t[]>> memory;
};

} // namespace

std::unique_ptr<DeviceBackend>
mlir::cq::createInterpreterBackend(ModuleOp module) {
  return std::make_unique<InterpreterBackend>(module);
}
