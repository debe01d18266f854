//===- Progress.cpp - What long work tells its user -----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/Progress.h"
#include "cq/Support/Memory.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;

std::string mlir::cq::formatBytes(int64_t bytes) {
  const char *units[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.95 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? llvm::formatv("{0} B", bytes).str()
                   : llvm::formatv("{0:f1} {1}", value, units[unit]).str();
}

std::string mlir::cq::formatSeconds(double seconds) {
  if (seconds < 60)
    return llvm::formatv("{0:f1} s", seconds).str();
  int64_t whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 3600)
    return llvm::formatv("{0} min {1} s", whole / 60, whole % 60).str();
  return llvm::formatv("{0} h {1} min", whole / 3600, whole % 3600 / 60).str();
}

std::string mlir::cq::formatCount(int64_t count) {
  return llvm::formatv("{0:N0}", count).str();
}

Progress::Progress(llvm::raw_ostream &os, llvm::StringRef title, int64_t steps)
    : Progress(os, title, steps, os.is_displayed()) {}

Progress::Progress(llvm::raw_ostream &os, llvm::StringRef title, int64_t steps,
                   bool terminal)
    : os(os), title(title), steps(steps), terminal(terminal),
      start(std::chrono::steady_clock::now()) {}

void Progress::advance(llvm::StringRef what, llvm::StringRef detail) {
  if (finished)
    return;
  ++done;
  double elapsed =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  std::string line = title + " " + std::to_string(done);
  if (steps > 0)
    line += "/" + std::to_string(steps);
  line += ": " + what.str();
  if (!detail.empty())
    line += "  " + detail.str();
  if (terminal) {
    if (steps > done)
      line += "  " + formatSeconds(elapsed / done * (steps - done)) + " left";
    line += "  " + formatBytes(peakMemory());
    os << '\r' << line << "\033[K";
  } else {
    os << line << '\n';
  }
  os.flush();
}

void Progress::finish() {
  if (finished)
    return;
  finished = true;
  if (terminal && done > 0) {
    os << "\r\033[K";
    os.flush();
  }
}
