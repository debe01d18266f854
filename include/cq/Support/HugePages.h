//===- HugePages.h - Files mapped in pages of 2 MB --------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A decode step reads all weights once: far more pages of 4 KB than a CPU has
// entries for. For the runtime as well, which links no LLVM.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_HUGEPAGES_H
#define CQ_SUPPORT_HUGEPAGES_H

#include <cstddef>
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace mlir::cq {

/// Whether what the map of a file is the first to read will come into the page
/// cache 2 MB at a time: in huge pages where the file system has them (ext4
/// since Linux 6.16, XFS), else as many small ones.
inline bool readInHugePages(void *map, size_t bytes) {
#ifdef __linux__
  // Kernels from 6.1 on know it (MADV_COLLAPSE), and they read files so.
  // Random, because what is read ahead would be small pages again.
  constexpr int collapse = 25;
  return madvise(map, 0, collapse) == 0 &&
         madvise(map, bytes, MADV_HUGEPAGE) == 0 &&
         madvise(map, bytes, MADV_RANDOM) == 0;
#else
  (void)map, (void)bytes;
  return false;
#endif
}

} // namespace mlir::cq

#endif // CQ_SUPPORT_HUGEPAGES_H
