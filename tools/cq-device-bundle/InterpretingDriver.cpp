//===- InterpretingDriver.cpp - A driver without a GPU --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// A libcuda.so whose kernels run in the interpreter, so that programs that
// drive a GPU are rehearsed with their numbers: $CQ_CUDA_DRIVER names this
// library, $CQ_INTERPRETED_KERNELS the MLIR files (with : between them) that
// hold the kernels as gpu.funcs; with $CQ_INTERPRETED_HOPPER it says that it is
// of architecture 90, not 80. Images that are loaded are not looked at.
// Device memory is the host's; every launch is checked against the allocation
// it points into. Events count launches and copies on the device: each takes a
// microsecond.

#include "../../lib/Runtime/CudaDriver.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/GPUInterpreter/Interpreter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>

using namespace mlir;
using namespace mlir::cq;

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using Work = std::vector<std::function<int()>>;

struct Driver {
  std::unique_ptr<MLIRContext> context;
  std::vector<OwningOpRef<ModuleOp>> files;
  llvm::StringMap<Operation *> kernels;
  std::map<uint64_t, size_t> memory; ///< bytes of each allocation
  Work *capture = nullptr;
  uint64_t launches = 0;
  std::string error = "it failed";
};
Driver driver;

int fail(const llvm::Twine &why) {
  driver.error = why.str();
  return 719;
}

/// Now, or into the graph.
int enqueue(std::function<int()> work) {
  if (!driver.capture)
    return work();
  driver.capture->push_back(std::move(work));
  return 0;
}

/// Bytes from `address` to the end of its allocation; 0: none.
size_t room(uint64_t address) {
  auto it = driver.memory.upper_bound(address);
  if (it == driver.memory.begin())
    return 0;
  --it;
  uint64_t end = it->first + it->second;
  return address < end ? end - address : 0;
}

int run(Operation *kernel, GPULaunch launch) {
  std::string why;
  ScopedDiagnosticHandler handler(driver.context.get(), [&](Diagnostic &d) {
    if (why.empty())
      why = d.str();
    return success();
  });
  ++driver.launches;
  return succeeded(runGPUKernel(kernel, launch)) ? 0 : fail(why);
}

} // namespace

EXPORT int cuInit(unsigned) {
  if (driver.context)
    return 0;
  DialectRegistry registry;
  registry.insert<arith::ArithDialect, CQDialect, gpu::GPUDialect,
                  math::MathDialect, memref::MemRefDialect, nvgpu::NVGPUDialect,
                  NVVM::NVVMDialect, scf::SCFDialect, vector::VectorDialect>();
  driver.context = std::make_unique<MLIRContext>(registry);
  driver.context->allowUnregisteredDialects();
  const char *paths = std::getenv("CQ_INTERPRETED_KERNELS");
  llvm::SmallVector<llvm::StringRef> list;
  llvm::StringRef(paths ? paths : "").split(list, ':', -1, false);
  for (llvm::StringRef path : list) {
    auto module = parseSourceFile<ModuleOp>(path, driver.context.get());
    if (!module)
      return fail("cannot read the kernels in '" + path + "'");
    module->walk([&](gpu::GPUFuncOp kernel) {
      driver.kernels[kernel.getName()] = kernel;
    });
    driver.files.push_back(std::move(module));
  }
  return 0;
}
EXPORT int cuDriverGetVersion(int *version) {
  *version = 12000;
  return 0;
}
EXPORT int cuGetErrorName(int, const char **name) {
  *name = "CUDA_ERROR_LAUNCH_FAILED";
  return 0;
}
EXPORT int cuGetErrorString(int, const char **name) {
  *name = driver.error.c_str();
  return 0;
}
EXPORT int cuDeviceGetCount(int *count) {
  *count = 1;
  return 0;
}
EXPORT int cuDeviceGet(int *device, int index) {
  *device = index;
  return 0;
}
EXPORT int cuDeviceGetName(char *name, int bytes, int) {
  std::strncpy(name, "cq interpreter", bytes);
  return 0;
}
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int) {
  const char *nine = std::getenv("CQ_INTERPRETED_HOPPER");
  *value = attribute == 75 ? (nine ? 9 : 8) : attribute == 76 ? 0 : 1;
  return 0;
}
EXPORT int cuDevicePrimaryCtxRetain(void **context, int) {
  *context = &driver;
  return 0;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
EXPORT int cuCtxSetCurrent(void *) { return 0; }
EXPORT int cuModuleLoadData(void **module, const void *) {
  *module = &driver;
  return 0;
}
EXPORT int cuModuleUnload(void *) { return 0; }
EXPORT int cuModuleGetFunction(void **function, void *, const char *name) {
  *function = driver.kernels.lookup(name);
  return *function ? 0 : fail(llvm::Twine("there is no kernel '") + name + "'");
}
EXPORT int cuFuncSetAttribute(void *, int, int) { return 0; }
EXPORT int cuFuncGetAttribute(int *value, int, void *) {
  *value = 0;
  return 0;
}
EXPORT int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz,
                          unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, void *, void **parameters, void **) {
  auto kernel = cast<gpu::GPUFuncOp>(static_cast<Operation *>(function));
  GPULaunch launch;
  launch.grid = {gx, gy, gz};
  launch.block = {bx, by, bz};
  launch.dynamicSharedBytes = shared;
  for (auto [i, type] : llvm::enumerate(kernel.getArgumentTypes())) {
    GPUArgument &argument = launch.arguments.emplace_back();
    if (!isa<MemRefType>(type)) {
      uint32_t value;
      std::memcpy(&value, parameters[i], 4);
      argument.scalar = value;
      continue;
    }
    uint64_t address;
    std::memcpy(&address, parameters[i], 8);
    size_t bytes = room(address);
    if (!bytes)
      return fail("argument " + llvm::Twine(i) + " of '" + kernel.getName() +
                  "' is no address in device memory");
    argument.bytes = {reinterpret_cast<uint8_t *>(address), bytes};
  }
  return enqueue([=] { return run(kernel, launch); });
}
EXPORT int cuMemAlloc_v2(uint64_t *memory, size_t bytes) {
  *memory = reinterpret_cast<uint64_t>(
      std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  // Whoever reads what nothing wrote gets NaN.
  std::memset(reinterpret_cast<void *>(*memory), 0xff, bytes);
  driver.memory[*memory] = bytes;
  return 0;
}
EXPORT int cuMemFree_v2(uint64_t memory) {
  driver.memory.erase(memory);
  std::free(reinterpret_cast<void *>(memory));
  return 0;
}
EXPORT int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes,
                                void *) {
  if (room(to) < bytes)
    return fail("a copy to the device leaves its memory");
  return enqueue([=] {
    std::memcpy(reinterpret_cast<void *>(to), from, bytes);
    return 0;
  });
}
EXPORT int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *) {
  if (room(from) < bytes)
    return fail("a copy from the device leaves its memory");
  return enqueue([=] {
    std::memcpy(to, reinterpret_cast<void *>(from), bytes);
    return 0;
  });
}
EXPORT int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes,
                                void *) {
  if (room(to) < bytes || room(from) < bytes)
    return fail("a copy on the device leaves its memory");
  return enqueue([=] {
    std::memcpy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from),
                bytes);
    ++driver.launches;
    return 0;
  });
}
EXPORT int cuMemsetD8Async(uint64_t memory, unsigned char value, size_t bytes,
                           void *) {
  if (room(memory) < bytes)
    return fail("a fill leaves device memory");
  return enqueue([=] {
    std::memset(reinterpret_cast<void *>(memory), value, bytes);
    return 0;
  });
}
EXPORT int cuStreamCreate(void **stream, unsigned) {
  *stream = &driver;
  return 0;
}
EXPORT int cuStreamDestroy_v2(void *) { return 0; }
EXPORT int cuStreamSynchronize(void *) { return 0; }
EXPORT int cuStreamBeginCapture_v2(void *, int) {
  driver.capture = new Work;
  return 0;
}
EXPORT int cuStreamEndCapture(void *, void **graph) {
  *graph = driver.capture;
  driver.capture = nullptr;
  return 0;
}
EXPORT int cuEventCreate(void **event, unsigned) {
  *event = new uint64_t(0);
  return 0;
}
EXPORT int cuEventDestroy_v2(void *event) {
  delete static_cast<uint64_t *>(event);
  return 0;
}
EXPORT int cuEventRecord(void *event, void *) {
  *static_cast<uint64_t *>(event) = driver.launches;
  return 0;
}
EXPORT int cuEventSynchronize(void *) { return 0; }
EXPORT int cuEventElapsedTime(float *milliseconds, void *start, void *end) {
  *milliseconds = 1e-3f * static_cast<float>(*static_cast<uint64_t *>(end) -
                                             *static_cast<uint64_t *>(start));
  return 0;
}
EXPORT int cuGraphInstantiateWithFlags(void **executable, void *graph,
                                       unsigned long long) {
  *executable = new Work(*static_cast<Work *>(graph));
  return 0;
}
EXPORT int cuGraphDestroy(void *graph) {
  delete static_cast<Work *>(graph);
  return 0;
}
EXPORT int cuGraphExecDestroy(void *graph) {
  delete static_cast<Work *>(graph);
  return 0;
}
EXPORT int cuGraphLaunch(void *graph, void *) {
  for (const std::function<int()> &work : *static_cast<Work *>(graph))
    if (int error = work())
      return error;
  return 0;
}

//===----------------------------------------------------------------------===//
// cuBLAS, as far as cq bench asks: products that are not computed
//===----------------------------------------------------------------------===//

EXPORT int cublasCreate_v2(void **handle) {
  *handle = &driver;
  return 0;
}
EXPORT int cublasDestroy_v2(void *) { return 0; }
EXPORT int cublasSetStream_v2(void *, void *) { return 0; }
EXPORT int cublasGemmEx(void *, int, int, int m, int n, int k, const void *,
                        const void *a, int, int, const void *b, int, int,
                        const void *, void *c, int, int, int, int) {
  auto fits = [](const void *address, int64_t elements) {
    return room(reinterpret_cast<uint64_t>(address)) >=
           static_cast<size_t>(2 * elements);
  };
  if (!fits(a, int64_t(m) * k) || !fits(b, int64_t(n) * k) ||
      !fits(c, int64_t(m) * n))
    return 7; // CUBLAS_STATUS_INVALID_VALUE
  return enqueue([] {
    driver.launches += 2;
    return 0;
  });
}
