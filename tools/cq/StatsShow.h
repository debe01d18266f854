//===- StatsShow.h - A statistics file for people and scripts ---*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_STATSSHOW_H
#define CQ_TOOLS_CQ_STATSSHOW_H

#include "llvm/Support/Error.h"
#include <string>

namespace mlir::cq::tool {

struct ShowOptions {
  std::string file;
  std::string weight; ///< regular expression; empty: all
  std::string model;  ///< for ZD; may be empty
  bool json = false;
};

/// Prints provenance, a line for each weight and one for each block.
llvm::Error showStatistics(const ShowOptions &options);

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_STATSSHOW_H
