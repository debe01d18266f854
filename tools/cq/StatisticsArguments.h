//===- StatisticsArguments.h - --stats, --calibrate -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_STATISTICSARGUMENTS_H
#define CQ_TOOLS_CQ_STATISTICSARGUMENTS_H

#include "CalibrationTextArguments.h"

namespace mlir::cq::tool {

/// What `cq quantize` and `cq plan` know of a model: a statistics file, or what
/// they measure first.
class StatisticsArguments {
public:
  StatisticsArguments(llvm::cl::SubCommand &command,
                      llvm::cl::OptionCategory &category);

  /// Whether there is or will be a file.
  bool given() const { return !stats.empty() || measures(); }
  /// What stands for the file where nothing is run (--print-pipeline).
  std::string name() const { return measures() ? "STATS" : stats.getValue(); }
  /// Error: options that exclude each other.
  llvm::Error check() const;
  /// The file of --stats; with --calibrate or --text that of a calibration of
  /// `model` (whose weights are in `archive`), made now where the cache folder
  /// has none. Empty without any of them.
  llvm::Expected<std::string> find(llvm::StringRef model,
                                   llvm::StringRef archive) const;

private:
  bool measures() const { return calibrate || text.given(); }

  llvm::cl::opt<std::string> stats;
  llvm::cl::opt<bool> calibrate;
  CalibrationTextArguments text;
};

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_STATISTICSARGUMENTS_H
