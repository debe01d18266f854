//===- MergeFacts.h - Merging all but the matrices --------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_STATS_MERGEFACTS_H
#define CQ_LIB_STATS_MERGEFACTS_H

#include "cq/Stats/Statistics.h"

namespace mlir::cq {

/// Where the inputs and Fisher matrices of `from` are in `into`.
struct MergePlan {
  std::vector<size_t> inputs, fishers, blocks;
};

/// Whether the two can be added. Errors say why not, with the files' names.
llvm::Expected<MergePlan> planMerge(const Statistics &into,
                                    const Statistics &from,
                                    llvm::StringRef intoName,
                                    llvm::StringRef fromName);

/// Adds provenance, counts, moments and blocks.
void mergeFacts(Statistics &into, const Statistics &from,
                const MergePlan &plan);

} // namespace mlir::cq

#endif // CQ_LIB_STATS_MERGEFACTS_H
