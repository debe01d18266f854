//===- ChunkChoice.cpp - Which chunk for so many tokens -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Runtime/ChunkChoice.h"
#include <algorithm>

/// Time of a call, in that of one token more: weights are read and unpacked
/// once a call, which takes as long as the products of four tokens. Measured on
/// Zen 5, models of 135 and 290 M weights: 1 : 2.4 : 5.7 for 1, 8 and 64.
static int64_t costOf(int64_t tokens) { return tokens + 4; }

/// Least time of `remaining` tokens in calls of sizes[0] to sizes[largest].
static int64_t leastCost(const int64_t *sizes, size_t largest,
                         int64_t remaining) {
  int64_t size = sizes[largest], one = costOf(size), rest = remaining % size;
  int64_t filled = remaining / size * one;
  if (rest == 0)
    return filled;
  if (largest == 0)
    return filled + one;
  return filled + std::min(one, leastCost(sizes, largest - 1, rest));
}

size_t mlir::cq::chooseChunk(const int64_t *sizes, size_t count,
                             int64_t remaining) {
  size_t i = count - 1;
  while (i > 0 && sizes[i] > remaining &&
         leastCost(sizes, i - 1, remaining) < costOf(sizes[i]))
    --i;
  return i;
}
