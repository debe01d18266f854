//===- SavePoints.h - When long work is saved -------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_SAVEPOINTS_H
#define CQ_TOOLS_CQ_SAVEPOINTS_H

#include "llvm/Support/Error.h"
#include <chrono>
#include <functional>

namespace mlir::cq::tool {

/// Saves work every so often, at most a twentieth of the time, and when Ctrl-C
/// or SIGTERM asks to stop.
class SavePoints {
public:
  /// From here on a first signal does not end the process.
  SavePoints(double everySeconds, std::function<llvm::Error()> save);

  /// To be asked after each unit of work that is not the last. True: a signal
  /// came, and everything up to here is saved.
  llvm::Expected<bool> shouldStop();

private:
  using Clock = std::chrono::steady_clock;
  llvm::Error save();

  double every;
  std::function<llvm::Error()> write;
  Clock::time_point saved = Clock::now();
  double saving = 0; ///< seconds that the last save took
};

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_SAVEPOINTS_H
