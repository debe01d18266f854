//===- BlockWeights.h - Scores of transformer blocks ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_STATS_BLOCKWEIGHTS_H
#define CQ_STATS_BLOCKWEIGHTS_H

#include "cq/Model/Parameters.h"
#include <map>
#include <string>
#include <vector>

namespace mlir::cq {

/// Number of the transformer block in a weight's name: the first part between
/// dots that is a number (blk.3.attn_q.weight, model.layers.3.mlp…).
std::optional<int64_t> blockOfWeight(llvm::StringRef weight);

/// ZD (zScoreShare) of each block over those of `weights` that lie in one;
/// decoded a block at a time. Errors: a weight that `archive` lacks.
llvm::Expected<std::map<int64_t, double>>
zScoreShares(const ParameterArchive &archive,
             llvm::ArrayRef<std::string> weights, bool twoSided = false,
             unsigned threads = 0);

} // namespace mlir::cq

#endif // CQ_STATS_BLOCKWEIGHTS_H
