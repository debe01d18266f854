//===- Cuda.cpp - NVIDIA GPUs through their driver ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Cuda.h"
#include "CudaDriver.h"
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

using mlir::cq::CudaDriver;
using mlir::cq::cudaDriver;

static thread_local std::string lastError;

struct cq_cuda_module {
  void *handle = nullptr;
  std::vector<unsigned char> image;
};

struct cq_cuda {
  const CudaDriver *driver = nullptr;
  int device = 0, architecture = 0;
  void *context = nullptr;
  std::string name;
  std::mutex mutex; ///< of `modules`
  std::vector<std::unique_ptr<cq_cuda_module>> modules;
};

void mlir::cq::setCudaError(std::string message) {
  lastError = std::move(message);
}

static int fail(std::string message) {
  lastError = std::move(message);
  return 1;
}

/// 0, or the error of `call` in words.
static int check(const CudaDriver &driver, int result, const char *call) {
  if (result == 0)
    return 0;
  const char *name = nullptr, *text = nullptr;
  driver.cuGetErrorName(result, &name);
  driver.cuGetErrorString(result, &text);
  return fail(std::string("the CUDA driver's ") + call +
              " failed: " + (text ? text : "unknown error") + " (" +
              (name ? name : std::to_string(result).c_str()) + ")");
}

#define CQ_CALL(driver, function, ...)                                         \
  check(driver, (driver).function(__VA_ARGS__), #function)

static bool load(CudaDriver &driver, std::string &why) {
  const char *given = std::getenv("CQ_CUDA_DRIVER");
  std::string path = given && *given ? given : "libcuda.so.1";
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    why = "no NVIDIA driver: '" + path +
          "' cannot be opened; install the driver, or compile for the CPU";
    return false;
  }
#define CQ_RESOLVE(function, parameters)                                       \
  driver.function =                                                            \
      reinterpret_cast<int(*) parameters>(dlsym(library, #function));          \
  if (!driver.function) {                                                      \
    why = "the NVIDIA driver '" + path +                                       \
          "' has no " #function ": it is too old, CUDA 11.4 or newer is "      \
          "needed";                                                            \
    return false;                                                              \
  }
  CQ_CUDA_DRIVER_FUNCTIONS(CQ_RESOLVE)
#undef CQ_RESOLVE
  if (int result = driver.cuInit(0)) {
    check(driver, result, "cuInit");
    why = lastError;
    return false;
  }
  return true;
}

const CudaDriver *mlir::cq::cudaDriver() {
  static CudaDriver driver;
  static std::string why;
  static const bool loaded = load(driver, why);
  if (!loaded)
    lastError = why;
  return loaded ? &driver : nullptr;
}

/// Makes the device's context that of the calling thread.
static int enter(cq_cuda *device) {
  return CQ_CALL(*device->driver, cuCtxSetCurrent, device->context);
}

const char *cq_cuda_error(void) { return lastError.c_str(); }

int cq_cuda_devices(void) {
  const CudaDriver *driver = cudaDriver();
  int count = 0;
  return !driver || CQ_CALL(*driver, cuDeviceGetCount, &count) ? -1 : count;
}

int cq_cuda_driver_version(int *version) {
  const CudaDriver *driver = cudaDriver();
  return !driver || CQ_CALL(*driver, cuDriverGetVersion, version);
}

cq_cuda *cq_cuda_open(int index) {
  int count = cq_cuda_devices();
  if (count < 0)
    return nullptr;
  if (index < 0 || index >= count) {
    fail("there is no CUDA device " + std::to_string(index) +
         ": the driver has " + std::to_string(count));
    return nullptr;
  }
  auto device = std::make_unique<cq_cuda>();
  const CudaDriver &driver = *(device->driver = cudaDriver());
  char name[256] = {};
  int major = 0, minor = 0;
  // 75 and 76: CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
  if (CQ_CALL(driver, cuDeviceGet, &device->device, index) ||
      CQ_CALL(driver, cuDeviceGetName, name, 255, device->device) ||
      CQ_CALL(driver, cuDeviceGetAttribute, &major, 75, device->device) ||
      CQ_CALL(driver, cuDeviceGetAttribute, &minor, 76, device->device) ||
      CQ_CALL(driver, cuDevicePrimaryCtxRetain, &device->context,
              device->device))
    return nullptr;
  device->name = name;
  device->architecture = 10 * major + minor;
  if (enter(device.get())) {
    driver.cuDevicePrimaryCtxRelease_v2(device->device);
    return nullptr;
  }
  return device.release();
}

void cq_cuda_close(cq_cuda *device) {
  if (!device)
    return;
  if (!enter(device))
    for (const std::unique_ptr<cq_cuda_module> &module : device->modules)
      device->driver->cuModuleUnload(module->handle);
  device->driver->cuDevicePrimaryCtxRelease_v2(device->device);
  delete device;
}

const char *cq_cuda_name(const cq_cuda *device) { return device->name.c_str(); }
int cq_cuda_architecture(const cq_cuda *device) { return device->architecture; }

int cq_cuda_attribute(cq_cuda *device, int attribute, int *value) {
  return CQ_CALL(*device->driver, cuDeviceGetAttribute, value, attribute,
                 device->device);
}

cq_cuda_module *cq_cuda_load(cq_cuda *device, const void *image, size_t bytes) {
  if (!image || bytes == 0) {
    fail("an empty image cannot be loaded");
    return nullptr;
  }
  std::lock_guard<std::mutex> lock(device->mutex);
  for (const std::unique_ptr<cq_cuda_module> &module : device->modules)
    if (module->image.size() == bytes &&
        std::memcmp(module->image.data(), image, bytes) == 0)
      return module.get();
  auto module = std::make_unique<cq_cuda_module>();
  const auto *first = static_cast<const unsigned char *>(image);
  module->image.assign(first, first + bytes);
  if (enter(device) || CQ_CALL(*device->driver, cuModuleLoadData,
                               &module->handle, module->image.data()))
    return nullptr;
  device->modules.push_back(std::move(module));
  return device->modules.back().get();
}

cq_cuda_function cq_cuda_get(cq_cuda *device, cq_cuda_module *module,
                             const char *name, int shared_bytes) {
  void *function = nullptr;
  if (enter(device))
    return nullptr;
  if (CQ_CALL(*device->driver, cuModuleGetFunction, &function, module->handle,
              name)) {
    lastError += ", for kernel '" + std::string(name) + "'";
    return nullptr;
  }
  // 8: CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES; 48 KiB need no leave.
  if (shared_bytes > 48 * 1024 &&
      CQ_CALL(*device->driver, cuFuncSetAttribute, function, 8, shared_bytes))
    return nullptr;
  return function;
}

int cq_cuda_function_attribute(cq_cuda *device, cq_cuda_function function,
                               int attribute, int *value) {
  return enter(device) || CQ_CALL(*device->driver, cuFuncGetAttribute, value,
                                  attribute, function);
}

int cq_cuda_launch(cq_cuda *device, cq_cuda_function function,
                   const unsigned grid[3], const unsigned block[3],
                   unsigned shared_bytes, cq_cuda_stream stream,
                   void **parameters) {
  return enter(device) ||
         CQ_CALL(*device->driver, cuLaunchKernel, function, grid[0], grid[1],
                 grid[2], block[0], block[1], block[2], shared_bytes, stream,
                 parameters, nullptr);
}

cq_cuda_pointer cq_cuda_allocate(cq_cuda *device, size_t bytes) {
  uint64_t memory = 0;
  // The driver refuses to allocate nothing.
  if (enter(device) ||
      CQ_CALL(*device->driver, cuMemAlloc_v2, &memory, bytes ? bytes : 1)) {
    lastError += ", for " + std::to_string(bytes) + " bytes";
    return 0;
  }
  return memory;
}

int cq_cuda_free(cq_cuda *device, cq_cuda_pointer memory) {
  return memory != 0 &&
         (enter(device) || CQ_CALL(*device->driver, cuMemFree_v2, memory));
}

int cq_cuda_upload(cq_cuda *device, cq_cuda_pointer to, const void *from,
                   size_t bytes, cq_cuda_stream stream) {
  return enter(device) || CQ_CALL(*device->driver, cuMemcpyHtoDAsync_v2, to,
                                  from, bytes, stream);
}

int cq_cuda_download(cq_cuda *device, void *to, cq_cuda_pointer from,
                     size_t bytes, cq_cuda_stream stream) {
  return enter(device) || CQ_CALL(*device->driver, cuMemcpyDtoHAsync_v2, to,
                                  from, bytes, stream);
}

int cq_cuda_copy(cq_cuda *device, cq_cuda_pointer to, cq_cuda_pointer from,
                 size_t bytes, cq_cuda_stream stream) {
  return enter(device) || CQ_CALL(*device->driver, cuMemcpyDtoDAsync_v2, to,
                                  from, bytes, stream);
}

int cq_cuda_fill(cq_cuda *device, cq_cuda_pointer memory, unsigned char value,
                 size_t bytes, cq_cuda_stream stream) {
  return enter(device) || CQ_CALL(*device->driver, cuMemsetD8Async, memory,
                                  value, bytes, stream);
}

cq_cuda_stream cq_cuda_create_stream(cq_cuda *device) {
  void *stream = nullptr;
  // 1: CU_STREAM_NON_BLOCKING.
  return enter(device) || CQ_CALL(*device->driver, cuStreamCreate, &stream, 1)
             ? nullptr
             : stream;
}

int cq_cuda_destroy_stream(cq_cuda *device, cq_cuda_stream stream) {
  return enter(device) || CQ_CALL(*device->driver, cuStreamDestroy_v2, stream);
}

int cq_cuda_synchronize(cq_cuda *device, cq_cuda_stream stream) {
  return enter(device) || CQ_CALL(*device->driver, cuStreamSynchronize, stream);
}

cq_cuda_event cq_cuda_create_event(cq_cuda *device) {
  void *event = nullptr;
  return enter(device) || CQ_CALL(*device->driver, cuEventCreate, &event, 0)
             ? nullptr
             : event;
}

int cq_cuda_destroy_event(cq_cuda *device, cq_cuda_event event) {
  return enter(device) || CQ_CALL(*device->driver, cuEventDestroy_v2, event);
}

int cq_cuda_record(cq_cuda *device, cq_cuda_event event,
                   cq_cuda_stream stream) {
  return enter(device) ||
         CQ_CALL(*device->driver, cuEventRecord, event, stream);
}

int cq_cuda_elapsed(cq_cuda *device, cq_cuda_event start, cq_cuda_event end,
                    float *milliseconds) {
  return enter(device) || CQ_CALL(*device->driver, cuEventSynchronize, end) ||
         CQ_CALL(*device->driver, cuEventElapsedTime, milliseconds, start, end);
}

int cq_cuda_begin_capture(cq_cuda *device, cq_cuda_stream stream) {
  // 1: CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, so that other threads may go on.
  return enter(device) ||
         CQ_CALL(*device->driver, cuStreamBeginCapture_v2, stream, 1);
}

cq_cuda_graph cq_cuda_end_capture(cq_cuda *device, cq_cuda_stream stream) {
  void *graph = nullptr, *executable = nullptr;
  if (enter(device) ||
      CQ_CALL(*device->driver, cuStreamEndCapture, stream, &graph))
    return nullptr;
  int bad = CQ_CALL(*device->driver, cuGraphInstantiateWithFlags, &executable,
                    graph, 0);
  device->driver->cuGraphDestroy(graph);
  return bad ? nullptr : executable;
}

int cq_cuda_launch_graph(cq_cuda *device, cq_cuda_graph graph,
                         cq_cuda_stream stream) {
  return enter(device) ||
         CQ_CALL(*device->driver, cuGraphLaunch, graph, stream);
}

int cq_cuda_destroy_graph(cq_cuda *device, cq_cuda_graph graph) {
  return enter(device) || CQ_CALL(*device->driver, cuGraphExecDestroy, graph);
}
