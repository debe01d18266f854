//===- Plan.cpp - Which weight gets which bits ----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/Plan.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir::cq;

int64_t PlanEntry::bytes() const {
  return keep ? 0 : planeBytes(n, k, scheme, codeLayout(), cherries).total();
}

const PlanEntry *Plan::find(llvm::StringRef weight) const {
  for (const PlanEntry &entry : entries)
    if (entry.weight == weight)
      return &entry;
  return nullptr;
}

PlanTotals Plan::totals() const {
  PlanTotals totals;
  for (const PlanEntry &entry : entries) {
    if (entry.keep) {
      totals.keptWeights += entry.n * entry.k;
      continue;
    }
    totals.weights += entry.n * entry.k;
    totals.bytes += entry.bytes();
  }
  return totals;
}

double Plan::decidedBitsPerWeight() const {
  int64_t weights = 0;
  for (const PlanEntry &entry : entries)
    if (!entry.candidates.empty())
      weights += entry.n * entry.k;
  return weights && decision
             ? 8.0 *
                   static_cast<double>(decision->bytes - decision->otherBytes) /
                   static_cast<double>(weights)
             : 0.0;
}
