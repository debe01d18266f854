//===- SavePoints.cpp - When long work is saved ---------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SavePoints.h"
#include "llvm/Support/Signals.h"
#include <atomic>

using namespace mlir::cq::tool;

static std::atomic<bool> stopAsked{false};

SavePoints::SavePoints(double everySeconds, std::function<llvm::Error()> save)
    : every(everySeconds), write(std::move(save)) {
  llvm::sys::SetInterruptFunction([] { stopAsked = true; });
}

llvm::Error SavePoints::save() {
  Clock::time_point begin = Clock::now();
  llvm::Error error = write();
  saved = Clock::now();
  saving = std::chrono::duration<double>(saved - begin).count();
  return error;
}

llvm::Expected<bool> SavePoints::shouldStop() {
  bool stop = stopAsked;
  double since = std::chrono::duration<double>(Clock::now() - saved).count();
  if (stop || since >= std::max(every, 20 * saving)) {
    // A signal while a file is written takes the file with it: once more.
    if (llvm::Error error = save()) {
      llvm::consumeError(std::move(error));
      if (llvm::Error again = save())
        return std::move(again);
    }
  }
  if (!stop && stopAsked) {
    stop = true;
    if (llvm::Error error = save())
      return std::move(error);
  }
  return stop;
}
