//===- Cuda.h - NVIDIA GPUs through their driver ----------------*- C -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// The C ABI of libcq_runtime_cuda. The driver is opened with dlopen
// ($CQ_CUDA_DRIVER, else libcuda.so.1): nothing of CUDA is needed to build or
// to link, and a machine without a driver gets one sentence. Functions that
// return int give 0 on success; those that return pointers give null on
// failure; cq_cuda_error() then says what failed, of the calling thread. Every
// call may come from any thread.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_RUNTIME_CUDA_H
#define CQ_RUNTIME_CUDA_H

#include "cq/Runtime/Runtime.h"
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cq_cuda cq_cuda;               ///< a device and its context
typedef struct cq_cuda_module cq_cuda_module; ///< a loaded cubin, fatbin or PTX
typedef void *cq_cuda_stream;                 ///< null: the default stream
typedef void *cq_cuda_event;
typedef void *cq_cuda_function;
typedef void *cq_cuda_graph; ///< executable
typedef uint64_t cq_cuda_pointer;

/// The last error of this thread: one sentence, "" before any.
CQ_RUNTIME_EXPORT const char *cq_cuda_error(void);
/// Number of devices, −1 where there is no driver (see cq_cuda_error).
CQ_RUNTIME_EXPORT int cq_cuda_devices(void);

/// Opens device `index` (its primary context); close frees its modules.
CQ_RUNTIME_EXPORT cq_cuda *cq_cuda_open(int index);
CQ_RUNTIME_EXPORT void cq_cuda_close(cq_cuda *device);
CQ_RUNTIME_EXPORT const char *cq_cuda_name(const cq_cuda *device);
/// Compute capability as 10 · major + minor: 80, 90 …
CQ_RUNTIME_EXPORT int cq_cuda_architecture(const cq_cuda *device);
/// A CUdevice_attribute by its number in the driver's documentation.
CQ_RUNTIME_EXPORT int cq_cuda_attribute(cq_cuda *device, int attribute,
                                        int *value);
CQ_RUNTIME_EXPORT int cq_cuda_driver_version(int *version);

/// Loads an image; the same bytes again give the same module (the device keeps
/// it until it is closed). PTX must end with a zero byte.
CQ_RUNTIME_EXPORT cq_cuda_module *cq_cuda_load(cq_cuda *device,
                                               const void *image, size_t bytes);
/// A kernel that may use `shared_bytes` of dynamic shared memory.
CQ_RUNTIME_EXPORT cq_cuda_function cq_cuda_get(cq_cuda *device,
                                               cq_cuda_module *module,
                                               const char *name,
                                               int shared_bytes);
/// A CUfunction_attribute: 3 local bytes, 4 registers, 1 static shared bytes.
CQ_RUNTIME_EXPORT int cq_cuda_function_attribute(cq_cuda *device,
                                                 cq_cuda_function function,
                                                 int attribute, int *value);
/// `parameters` points to one pointer per parameter of the kernel.
CQ_RUNTIME_EXPORT int cq_cuda_launch(cq_cuda *device, cq_cuda_function function,
                                     const unsigned grid[3],
                                     const unsigned block[3],
                                     unsigned shared_bytes,
                                     cq_cuda_stream stream, void **parameters);

/// Memory; 0 on failure.
CQ_RUNTIME_EXPORT cq_cuda_pointer cq_cuda_allocate(cq_cuda *device,
                                                   size_t bytes);
CQ_RUNTIME_EXPORT int cq_cuda_free(cq_cuda *device, cq_cuda_pointer memory);
/// In the order of the stream; host memory must live until it has run.
CQ_RUNTIME_EXPORT int cq_cuda_upload(cq_cuda *device, cq_cuda_pointer to,
                                     const void *from, size_t bytes,
                                     cq_cuda_stream stream);
CQ_RUNTIME_EXPORT int cq_cuda_download(cq_cuda *device, void *to,
                                       cq_cuda_pointer from, size_t bytes,
                                       cq_cuda_stream stream);
CQ_RUNTIME_EXPORT int cq_cuda_copy(cq_cuda *device, cq_cuda_pointer to,
                                   cq_cuda_pointer from, size_t bytes,
                                   cq_cuda_stream stream);
CQ_RUNTIME_EXPORT int cq_cuda_fill(cq_cuda *device, cq_cuda_pointer memory,
                                   unsigned char value, size_t bytes,
                                   cq_cuda_stream stream);

CQ_RUNTIME_EXPORT cq_cuda_stream cq_cuda_create_stream(cq_cuda *device);
CQ_RUNTIME_EXPORT int cq_cuda_destroy_stream(cq_cuda *device,
                                             cq_cuda_stream stream);
/// Waits for everything in the stream; reports errors of kernels too.
CQ_RUNTIME_EXPORT int cq_cuda_synchronize(cq_cuda *device,
                                          cq_cuda_stream stream);
CQ_RUNTIME_EXPORT cq_cuda_event cq_cuda_create_event(cq_cuda *device);
CQ_RUNTIME_EXPORT int cq_cuda_destroy_event(cq_cuda *device,
                                            cq_cuda_event event);
CQ_RUNTIME_EXPORT int cq_cuda_record(cq_cuda *device, cq_cuda_event event,
                                     cq_cuda_stream stream);
/// Waits for `end`; milliseconds since `start`.
CQ_RUNTIME_EXPORT int cq_cuda_elapsed(cq_cuda *device, cq_cuda_event start,
                                      cq_cuda_event end, float *milliseconds);

/// What is put into `stream` between the two becomes a graph instead of
/// running; parameters of launches are copied. A step of decoding is captured
/// once and launched for each token.
CQ_RUNTIME_EXPORT int cq_cuda_begin_capture(cq_cuda *device,
                                            cq_cuda_stream stream);
CQ_RUNTIME_EXPORT cq_cuda_graph cq_cuda_end_capture(cq_cuda *device,
                                                    cq_cuda_stream stream);
CQ_RUNTIME_EXPORT int cq_cuda_launch_graph(cq_cuda *device, cq_cuda_graph graph,
                                           cq_cuda_stream stream);
CQ_RUNTIME_EXPORT int cq_cuda_destroy_graph(cq_cuda *device,
                                            cq_cuda_graph graph);

/// cuBLAS, to compare with; opened when it is asked for ($CQ_CUBLAS names it).
/// NULL where there is none: see cq_cuda_error.
typedef struct cq_cublas cq_cublas;
CQ_RUNTIME_EXPORT cq_cublas *cq_cublas_open(cq_cuda *device,
                                            cq_cuda_stream stream);
CQ_RUNTIME_EXPORT void cq_cublas_close(cq_cublas *library);
/// y [m, n] = x [m, k] Wᵀ, W [n, k], all bf16 in rows, sums in f32.
CQ_RUNTIME_EXPORT int cq_cublas_matmul(cq_cublas *library, int m, int n, int k,
                                       cq_cuda_pointer x, cq_cuda_pointer w,
                                       cq_cuda_pointer y);

#ifdef __cplusplus
}
#endif

#endif // CQ_RUNTIME_CUDA_H
