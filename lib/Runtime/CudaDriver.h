//===- CudaDriver.h - The driver's functions --------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_RUNTIME_CUDADRIVER_H
#define CQ_LIB_RUNTIME_CUDADRIVER_H

#include <cstddef>
#include <cstdint>
#include <string>

// name, parameters. All return CUresult, an int. Types by their binary form:
// devices are ints, handles pointers, device pointers 64-bit integers.
#define CQ_CUDA_DRIVER_FUNCTIONS(X)                                            \
  X(cuInit, (unsigned))                                                        \
  X(cuDriverGetVersion, (int *))                                               \
  X(cuGetErrorName, (int, const char **))                                      \
  X(cuGetErrorString, (int, const char **))                                    \
  X(cuDeviceGetCount, (int *))                                                 \
  X(cuDeviceGet, (int *, int))                                                 \
  X(cuDeviceGetName, (char *, int, int))                                       \
  X(cuDeviceGetAttribute, (int *, int, int))                                   \
  X(cuDevicePrimaryCtxRetain, (void **, int))                                  \
  X(cuDevicePrimaryCtxRelease_v2, (int))                                       \
  X(cuCtxSetCurrent, (void *))                                                 \
  X(cuModuleLoadData, (void **, const void *))                                 \
  X(cuModuleUnload, (void *))                                                  \
  X(cuModuleGetFunction, (void **, void *, const char *))                      \
  X(cuFuncSetAttribute, (void *, int, int))                                    \
  X(cuFuncGetAttribute, (int *, int, void *))                                  \
  X(cuLaunchKernel, (void *, unsigned, unsigned, unsigned, unsigned, unsigned, \
                     unsigned, unsigned, void *, void **, void **))            \
  X(cuMemAlloc_v2, (uint64_t *, size_t))                                       \
  X(cuMemFree_v2, (uint64_t))                                                  \
  X(cuMemcpyHtoDAsync_v2, (uint64_t, const void *, size_t, void *))            \
  X(cuMemcpyDtoHAsync_v2, (void *, uint64_t, size_t, void *))                  \
  X(cuMemcpyDtoDAsync_v2, (uint64_t, uint64_t, size_t, void *))                \
  X(cuMemsetD8Async, (uint64_t, unsigned char, size_t, void *))                \
  X(cuStreamCreate, (void **, unsigned))                                       \
  X(cuStreamDestroy_v2, (void *))                                              \
  X(cuStreamSynchronize, (void *))                                             \
  X(cuStreamBeginCapture_v2, (void *, int))                                    \
  X(cuStreamEndCapture, (void *, void **))                                     \
  X(cuEventCreate, (void **, unsigned))                                        \
  X(cuEventDestroy_v2, (void *))                                               \
  X(cuEventRecord, (void *, void *))                                           \
  X(cuEventSynchronize, (void *))                                              \
  X(cuEventElapsedTime, (float *, void *, void *))                             \
  X(cuGraphInstantiateWithFlags, (void **, void *, unsigned long long))        \
  X(cuGraphDestroy, (void *))                                                  \
  X(cuGraphExecDestroy, (void *))                                              \
  X(cuGraphLaunch, (void *, void *))

namespace mlir::cq {

struct CudaDriver {
#define CQ_DECLARE(name, parameters) int(*name) parameters = nullptr;
  CQ_CUDA_DRIVER_FUNCTIONS(CQ_DECLARE)
#undef CQ_DECLARE
};

/// The driver, opened once a process; null where there is none, and then
/// cq_cuda_error() says why.
const CudaDriver *cudaDriver();

/// What cq_cuda_error() says next, on this thread.
void setCudaError(std::string message);

} // namespace mlir::cq

#endif // CQ_LIB_RUNTIME_CUDADRIVER_H
