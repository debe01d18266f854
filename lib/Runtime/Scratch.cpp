//===- Scratch.cpp - Memory of a thread for packing -----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Runtime.h"
#include <cstdio>
#include <cstdlib>

namespace {
/// A buffer that only grows; freed with its thread.
class GrowingBuffer {
public:
  ~GrowingBuffer() { std::free(data); }
  void *get(int64_t bytes) {
    if (bytes <= capacity)
      return data;
    // Grow by halves at least: a growing context would otherwise reallocate at
    // every token.
    int64_t wanted =
        bytes > capacity + capacity / 2 ? bytes : capacity + capacity / 2;
    wanted = (wanted + 4095) / 4096 * 4096;
    std::free(data);
    data = std::aligned_alloc(64, static_cast<size_t>(wanted));
    if (!data) {
      std::fprintf(stderr, "cq: out of memory: %lld bytes of scratch\n",
                   static_cast<long long>(wanted));
      std::abort();
    }
    capacity = wanted;
    return data;
  }

private:
  void *data = nullptr;
  int64_t capacity = 0;
};
} // namespace

extern "C" void *cq_scratch(int64_t bytes) {
  static thread_local GrowingBuffer buffer;
  return buffer.get(bytes > 0 ? bytes : 1);
}

extern "C" void *cq_workspace(int64_t bytes) {
  static thread_local GrowingBuffer buffer;
  return buffer.get(bytes > 0 ? bytes : 1);
}
