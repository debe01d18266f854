//===- Parallel.h - Ranges over threads -------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_STATS_PARALLEL_H
#define CQ_LIB_STATS_PARALLEL_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Threading.h"
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace mlir::cq {

/// Calls body(begin, end) for ranges of [0, count), `step` long, on up to
/// `threads` threads (0: all); the caller takes part. Bodies write to their own
/// range only.
inline void parallelRanges(int64_t count, int64_t step, unsigned threads,
                           llvm::function_ref<void(int64_t, int64_t)> body) {
  int64_t ranges = (count + step - 1) / step;
  std::atomic<int64_t> next{0};
  auto work = [&] {
    for (int64_t i; (i = next.fetch_add(1)) < ranges;)
      body(i * step, std::min(count, (i + 1) * step));
  };
  int64_t workers = std::min<int64_t>(
      llvm::hardware_concurrency(threads).compute_thread_count(), ranges);
  std::vector<std::thread> helpers;
  for (int64_t i = 1; i < workers; ++i)
    helpers.emplace_back(work);
  work();
  for (std::thread &helper : helpers)
    helper.join();
}

} // namespace mlir::cq

#endif // CQ_LIB_STATS_PARALLEL_H
