//===- FakeCuda.cpp - A libcuda.so that records its calls -----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Device memory is the host's, modules are their bytes, kernels only recorded.
// fake_cuda_fail makes one function fail.
//
//===----------------------------------------------------------------------===//

#include "../../../../lib/Runtime/CudaDriver.h"
#include <cstdlib>
#include <cstring>
#include <string>

#define EXPORT extern "C" __attribute__((visibility("default")))

static std::string calls, failing;
static bool capturing;
static int recorded;

/// Notes a call; 700 where it is to fail.
static int note(const std::string &name, const std::string &arguments = "") {
  calls += name + (arguments.empty() ? "" : " " + arguments) + "\n";
  return name == failing ? 700 : 0;
}
static std::string text(uint64_t value) { return std::to_string(value); }

EXPORT const char *fake_cuda_calls() { return calls.c_str(); }
EXPORT void fake_cuda_reset() { calls.clear(), failing.clear(); }
EXPORT void fake_cuda_fail(const char *name) { failing = name; }

EXPORT int cuInit(unsigned) { return note("cuInit"); }
EXPORT int cuDriverGetVersion(int *version) {
  *version = 12040;
  return note("cuDriverGetVersion");
}
EXPORT int cuGetErrorName(int, const char **name) {
  *name = "CUDA_ERROR_ILLEGAL_ADDRESS";
  return 0;
}
EXPORT int cuGetErrorString(int, const char **name) {
  *name = "an illegal memory access was encountered";
  return 0;
}
EXPORT int cuDeviceGetCount(int *count) {
  *count = 1;
  return note("cuDeviceGetCount");
}
EXPORT int cuDeviceGet(int *device, int index) {
  *device = 40 + index;
  return note("cuDeviceGet");
}
EXPORT int cuDeviceGetName(char *name, int bytes, int) {
  std::strncpy(name, "Fake GPU", bytes);
  return note("cuDeviceGetName");
}
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int) {
  *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute;
  return note("cuDeviceGetAttribute", text(attribute));
}
EXPORT int cuDevicePrimaryCtxRetain(void **context, int) {
  *context = &calls;
  return note("cuDevicePrimaryCtxRetain");
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int) {
  return note("cuDevicePrimaryCtxRelease_v2");
}
EXPORT int cuCtxSetCurrent(void *) {
  return failing == "cuCtxSetCurrent" ? 700 : 0; // before nearly every call
}
EXPORT int cuModuleLoadData(void **module, const void *image) {
  *module = const_cast<void *>(image);
  return note("cuModuleLoadData", static_cast<const char *>(image));
}
EXPORT int cuModuleUnload(void *) { return note("cuModuleUnload"); }
EXPORT int cuModuleGetFunction(void **function, void *module,
                               const char *name) {
  *function = module;
  return note("cuModuleGetFunction", name);
}
EXPORT int cuFuncSetAttribute(void *, int attribute, int value) {
  return note("cuFuncSetAttribute", text(attribute) + " " + text(value));
}
EXPORT int cuFuncGetAttribute(int *value, int attribute, void *) {
  *value = 128;
  return note("cuFuncGetAttribute", text(attribute));
}
EXPORT int cuLaunchKernel(void *, unsigned gx, unsigned gy, unsigned gz,
                          unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, void *, void **parameters, void **) {
  recorded += capturing;
  return note("cuLaunchKernel", text(gx) + " " + text(gy) + " " + text(gz) +
                                    " " + text(bx) + " " + text(by) + " " +
                                    text(bz) + " " + text(shared) + " " +
                                    text(*static_cast<int *>(parameters[0])));
}
EXPORT int cuMemAlloc_v2(uint64_t *memory, size_t bytes) {
  int result = note("cuMemAlloc_v2", text(bytes));
  if (result == 0)
    *memory = reinterpret_cast<uint64_t>(std::calloc(bytes, 1));
  return result;
}
EXPORT int cuMemFree_v2(uint64_t memory) {
  std::free(reinterpret_cast<void *>(memory));
  return note("cuMemFree_v2");
}
EXPORT int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes,
                                void *) {
  std::memcpy(reinterpret_cast<void *>(to), from, bytes);
  return note("cuMemcpyHtoDAsync_v2", text(bytes));
}
EXPORT int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *) {
  std::memcpy(to, reinterpret_cast<void *>(from), bytes);
  return note("cuMemcpyDtoHAsync_v2", text(bytes));
}
EXPORT int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes,
                                void *) {
  std::memcpy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from),
              bytes);
  return note("cuMemcpyDtoDAsync_v2", text(bytes));
}
EXPORT int cuMemsetD8Async(uint64_t memory, unsigned char value, size_t bytes,
                           void *) {
  std::memset(reinterpret_cast<void *>(memory), value, bytes);
  return note("cuMemsetD8Async", text(value) + " " + text(bytes));
}
EXPORT int cuStreamCreate(void **stream, unsigned flags) {
  *stream = &calls;
  return note("cuStreamCreate", text(flags));
}
EXPORT int cuStreamDestroy_v2(void *) { return note("cuStreamDestroy_v2"); }
EXPORT int cuStreamSynchronize(void *) { return note("cuStreamSynchronize"); }
EXPORT int cuStreamBeginCapture_v2(void *, int mode) {
  capturing = true;
  recorded = 0;
  return note("cuStreamBeginCapture_v2", text(mode));
}
EXPORT int cuStreamEndCapture(void *, void **graph) {
  capturing = false;
  *graph = &recorded;
  return note("cuStreamEndCapture", text(recorded));
}
EXPORT int cuEventCreate(void **event, unsigned) {
  *event = &failing;
  return note("cuEventCreate");
}
EXPORT int cuEventDestroy_v2(void *) { return note("cuEventDestroy_v2"); }
EXPORT int cuEventRecord(void *, void *) { return note("cuEventRecord"); }
EXPORT int cuEventSynchronize(void *) { return note("cuEventSynchronize"); }
EXPORT int cuEventElapsedTime(float *milliseconds, void *, void *) {
  *milliseconds = 1.5f;
  return note("cuEventElapsedTime");
}
EXPORT int cuGraphInstantiateWithFlags(void **executable, void *graph,
                                       unsigned long long flags) {
  *executable = graph;
  return note("cuGraphInstantiateWithFlags", text(flags));
}
EXPORT int cuGraphDestroy(void *) { return note("cuGraphDestroy"); }
EXPORT int cuGraphExecDestroy(void *) { return note("cuGraphExecDestroy"); }
EXPORT int cuGraphLaunch(void *, void *) { return note("cuGraphLaunch"); }
