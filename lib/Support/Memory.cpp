//===- Memory.cpp - Memory of this process --------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/Memory.h"
#include <limits>
#include <sys/resource.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

int64_t mlir::cq::peakMemory() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

void mlir::cq::keepMemory() {
#if defined(__GLIBC__)
  // A larger threshold for mapping would be ignored: glibc allows 32 MB.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
}
