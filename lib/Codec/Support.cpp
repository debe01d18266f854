//===- Support.cpp - Small helpers of the codec ---------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Support/Threading.h"
#include <algorithm>
#include <atomic>

using namespace mlir::cq;

llvm::Error detail::checkShape(int64_t n, int64_t k) {
  if (n <= 0 || k <= 0)
    return makeError(
        "a weight needs at least one row and one column, but has " +
        llvm::Twine(n) + " rows and " + llvm::Twine(k) + " columns");
  int64_t rows, columns, weights, bits;
  if (__builtin_add_overflow(n, 15, &rows) ||
      __builtin_add_overflow(k, 63, &columns) ||
      __builtin_mul_overflow(rows, columns, &weights) ||
      __builtin_mul_overflow(weights, 32, &bits))
    return makeError("a weight of " + llvm::Twine(n) + " rows and " +
                     llvm::Twine(k) + " columns is too large to be counted");
  return llvm::Error::success();
}

void detail::parallelForRows(int64_t n, int64_t step, unsigned threads,
                             llvm::function_ref<void(int64_t, int64_t)> body) {
  int64_t ranges = ceilDiv(n, step);
  std::atomic<int64_t> next{0};
  auto work = [&] {
    for (int64_t i; (i = next.fetch_add(1)) < ranges;)
      body(i * step, std::min(n, (i + 1) * step));
  };
  llvm::ThreadPoolStrategy strategy = llvm::hardware_concurrency(threads);
  int64_t workers = std::min<int64_t>(strategy.compute_thread_count(), ranges);
  if (workers <= 1)
    return work();
  llvm::DefaultThreadPool pool(
      llvm::hardware_concurrency(static_cast<unsigned>(workers - 1)));
  for (int64_t i = 1; i < workers; ++i)
    pool.async(work);
  work(); // the caller takes part
  pool.wait();
}
