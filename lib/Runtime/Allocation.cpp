//===- Allocation.cpp - Buffers of generated code -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A chunk of a prompt allocates and frees the same buffers in every block of a
// model. malloc gives such sizes back to the system, and the pages that come
// anew each time cost more than what is computed in many of them. Here a thread
// keeps what it has freed, by size, up to a bound.
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/Runtime.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {
constexpr int64_t kAlignment = 64;
/// Bytes that a thread keeps at most.
constexpr int64_t kKept = int64_t(256) << 20;

/// In front of every buffer, which begins kAlignment bytes behind it.
struct Block {
  int64_t bytes; ///< of the buffer, a size of a class
  Block *next;   ///< among the kept ones
};
static_assert(sizeof(Block) <= kAlignment);

/// Four sizes an octave: of 1024 bytes and more a fifth is lost at most.
int64_t roundUp(int64_t bytes) {
  if (bytes <= 4 * kAlignment)
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  int64_t step = int64_t(1) << (61 - __builtin_clzll(bytes - 1));
  return (bytes + step - 1) / step * step;
}

/// Of a size that roundUp returns.
unsigned classOf(int64_t bytes) {
  unsigned log = 63 - __builtin_clzll(bytes);
  return 4 * log + (bytes >> (log - 2) & 3);
}

class KeptBlocks {
public:
  ~KeptBlocks() {
    for (Block *&list : lists)
      while (Block *block = list) {
        list = block->next;
        std::free(block);
      }
    bytes = kKept; // whatever is freed from now on is not kept
  }
  Block *take(int64_t size) {
    Block *&list = lists[classOf(size)];
    Block *block = list;
    if (block) {
      list = block->next;
      bytes -= size;
    }
    return block;
  }
  bool keep(Block *block) {
    if (block->bytes > kKept - bytes)
      return false;
    Block *&list = lists[classOf(block->bytes)];
    block->next = list;
    list = block;
    bytes += block->bytes;
    return true;
  }

private:
  Block *lists[256] = {};
  int64_t bytes = 0;
};

KeptBlocks &kept() {
  static thread_local KeptBlocks blocks;
  return blocks;
}
} // namespace

extern "C" void *cq_allocate(int64_t bytes) {
  constexpr int64_t kMost = int64_t(1) << 60;
  Block *block = nullptr;
  int64_t size = 0;
  if (bytes >= 0 && bytes <= kMost) {
    size = roundUp(bytes ? bytes : 1);
    block = kept().take(size);
    if (!block)
      block = static_cast<Block *>(std::aligned_alloc(
          kAlignment, static_cast<size_t>(size) + kAlignment));
  }
  if (!block) {
    std::fprintf(stderr, "cq: out of memory: %lld bytes of a buffer\n",
                 static_cast<long long>(bytes));
    std::abort();
  }
  block->bytes = size;
  return reinterpret_cast<char *>(block) + kAlignment;
}

extern "C" void cq_deallocate(void *buffer) {
  if (!buffer)
    return;
  auto *block =
      reinterpret_cast<Block *>(static_cast<char *>(buffer) - kAlignment);
  if (!kept().keep(block))
    std::free(block);
}
