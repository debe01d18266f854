//===- BlockWeights.cpp - Scores of transformer blocks --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Stats/BlockWeights.h"
#include "cq/Stats/Scores.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir::cq;

std::optional<int64_t> mlir::cq::blockOfWeight(llvm::StringRef weight) {
  for (llvm::StringRef part : llvm::split(weight, '.')) {
    int64_t block;
    if (!part.getAsInteger(10, block) && block >= 0)
      return block;
  }
  return std::nullopt;
}

llvm::Expected<std::map<int64_t, double>>
mlir::cq::zScoreShares(const ParameterArchive &archive,
                       llvm::ArrayRef<std::string> weights, bool twoSided,
                       unsigned threads) {
  std::map<int64_t, std::vector<const ParameterInfo *>> blocks;
  for (const std::string &weight : weights) {
    std::optional<int64_t> block = blockOfWeight(weight);
    if (!block)
      continue;
    const ParameterInfo *info = archive.find(weight);
    if (!info)
      return fail(quoted(archive.path()) + " lacks weight " + quoted(weight) +
                  ", which was measured; give the model that was calibrated");
    blocks[*block].push_back(info);
  }
  std::map<int64_t, double> result;
  for (const auto &[block, infos] : blocks) {
    std::vector<std::vector<float>> values;
    for (const ParameterInfo *info : infos) {
      values.emplace_back(info->numElements());
      if (llvm::Error error =
              ParameterArchive::readAsF32(*info, values.back().data(), threads))
        return std::move(error);
    }
    std::vector<llvm::ArrayRef<float>> views(values.begin(), values.end());
    result[block] = zScoreShare(views, twoSided);
  }
  return result;
}
