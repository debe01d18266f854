//===- Merging.h - Byte-pair merging in n log n -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_MERGING_H
#define CQ_LIB_MODEL_MERGING_H

#include "llvm/ADT/STLExtras.h"
#include <cstdint>
#include <optional>
#include <vector>

namespace mlir::cq {

/// A run of the text. Symbols form a doubly linked list in a vector; merged
/// ones have length 0.
struct Symbol {
  size_t begin, length;
  int32_t id; ///< token, or −1: no token (yet)
  int32_t previous = -1, next = -1;
};

/// What two neighbours would become.
struct MergeResult {
  uint32_t priority; ///< smaller is merged earlier
  int32_t id;
};

/// Merges neighbours until none can be: always the pair of the smallest
/// priority, the leftmost of equal ones. `lookup(left, right)` answers optional
/// MergeResult from the two symbols.
class Merger {
public:
  std::vector<Symbol> symbols;

  template <typename Lookup> void run(Lookup lookup) {
    queue.clear();
    int32_t count = int32_t(symbols.size());
    for (int32_t i = 0; i < count; ++i) {
      symbols[i].previous = i - 1;
      symbols[i].next = i + 1 < count ? i + 1 : -1;
    }
    auto consider = [&](int32_t left, int32_t right) {
      if (left < 0 || right < 0)
        return;
      const Symbol &a = symbols[left], &b = symbols[right];
      if (std::optional<MergeResult> result = lookup(a, b)) {
        queue.push_back(
            {result->priority, left, right, result->id, a.length + b.length});
        std::push_heap(queue.begin(), queue.end());
      }
    };
    for (int32_t i = 0; i + 1 < count; ++i)
      consider(i, i + 1);
    while (!queue.empty()) {
      std::pop_heap(queue.begin(), queue.end());
      Candidate best = queue.back();
      queue.pop_back();
      Symbol &left = symbols[best.left];
      Symbol &right = symbols[best.right];
      // Symbols only grow or vanish, so the length tells an outdated entry.
      if (left.length == 0 || right.length == 0 || left.next != best.right ||
          left.length + right.length != best.length)
        continue;
      left.length = best.length;
      left.id = best.id;
      left.next = right.next;
      if (right.next >= 0)
        symbols[right.next].previous = best.left;
      right.length = 0;
      consider(left.previous, best.left);
      consider(best.left, left.next);
    }
  }

private:
  struct Candidate {
    uint32_t priority;
    int32_t left, right, id;
    size_t length;
    /// std::push_heap keeps the largest in front: the smallest priority.
    bool operator<(const Candidate &other) const {
      return priority != other.priority ? priority > other.priority
                                        : left > other.left;
    }
  };
  std::vector<Candidate> queue;
};

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_MERGING_H
