//===- CalibrationRun.h - Measuring a model on text -------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_CALIBRATIONRUN_H
#define CQ_TOOLS_CQ_CALIBRATIONRUN_H

#include "CalibrationTextArguments.h"
#include <string>
#include <vector>

namespace mlir::cq::tool {

/// What is measured on a model, and where it goes.
struct CalibrationRun {
  std::string model;  ///< module made by `cq import`
  std::string output; ///< statistics file
  std::string part;   ///< "i/n" of the sequences; empty: all
  std::string fisher = "sequence";
  std::vector<std::string> only; ///< regular expressions over weights
  bool moments = true, gram = false;
  bool dryRun = false; ///< say what would be measured
  bool fresh = false;  ///< do not go on from `output`.partial
  double saveEvery = 60;
  unsigned threads = 0;
  std::string targetCPU; ///< empty: the one at hand
  bool useCache = true;
};

/// Runs the model on the text and writes the statistics; goes on from an
/// interrupted run of the same. Prints progress and a summary.
llvm::Error calibrate(const CalibrationRun &run,
                      const CalibrationTextArguments &text);

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_CALIBRATIONRUN_H
