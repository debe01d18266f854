//===- Cublas.cpp - cuBLAS by dlopen, to compare with ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CudaDriver.h"
#include "cq/Runtime/Cuda.h"
#include <cstdlib>
#include <dlfcn.h>

using mlir::cq::setCudaError;

struct cq_cublas {
  void *handle = nullptr;
  int (*destroy)(void *) = nullptr;
  int (*gemm)(void *, int, int, int, int, int, const void *, const void *, int,
              int, const void *, int, int, const void *, void *, int, int, int,
              int) = nullptr;
};

template <typename Function>
static bool resolve(void *library, const char *name, Function &function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

cq_cublas *cq_cublas_open(cq_cuda *device, cq_cuda_stream stream) {
  // Makes the device's context the current one, which cuBLAS takes.
  if (cq_cuda_synchronize(device, stream))
    return nullptr;
  const char *named = std::getenv("CQ_CUBLAS");
  void *library = nullptr;
  for (const char *name :
       {named ? named : "libcublas.so.13", "libcublas.so.12", "libcublas.so"})
    if (!library)
      library = dlopen(name, RTLD_NOW);
  if (!library) {
    setCudaError("libcublas cannot be opened (CQ_CUBLAS names it)");
    return nullptr;
  }
  int (*create)(void **) = nullptr;
  int (*setStream)(void *, void *) = nullptr;
  auto *result = new cq_cublas;
  if (!resolve(library, "cublasCreate_v2", create) ||
      !resolve(library, "cublasSetStream_v2", setStream) ||
      !resolve(library, "cublasDestroy_v2", result->destroy) ||
      !resolve(library, "cublasGemmEx", result->gemm)) {
    setCudaError("libcublas lacks a function");
  } else if (create(&result->handle)) {
    result->handle = nullptr;
    setCudaError("libcublas does not start");
  } else if (setStream(result->handle, stream)) {
    setCudaError("libcublas does not take the stream");
  } else {
    return result;
  }
  cq_cublas_close(result);
  return nullptr;
}

void cq_cublas_close(cq_cublas *library) {
  if (library && library->handle)
    library->destroy(library->handle);
  delete library;
}

int cq_cublas_matmul(cq_cublas *library, int m, int n, int k, cq_cuda_pointer x,
                     cq_cuda_pointer w, cq_cuda_pointer y) {
  constexpr int transposed = 1, plain = 0, bf16 = 14, sumsInF32 = 68;
  constexpr float one = 1, zero = 0;
  auto pointer = [](cq_cuda_pointer address) {
    return reinterpret_cast<void *>(address);
  };
  // Columns first: y^T [n, m] = W [n, k] x^T.
  int result = library->gemm(library->handle, transposed, plain, n, m, k, &one,
                             pointer(w), bf16, k, pointer(x), bf16, k, &zero,
                             pointer(y), bf16, n, sumsInF32, -1);
  if (result)
    setCudaError("cublasGemmEx failed with status " + std::to_string(result));
  return result != 0;
}
