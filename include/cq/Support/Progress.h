//===- Progress.h - What long work tells its user ---------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// On a terminal one line that is rewritten: step i/N, what, time left, memory.
// Elsewhere one line a step, so that logs can be read and searched.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_PROGRESS_H
#define CQ_SUPPORT_PROGRESS_H

#include "llvm/ADT/StringRef.h"
#include <chrono>
#include <cstdint>
#include <string>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace mlir::cq {

/// Reports the steps of one piece of work.
class Progress {
public:
  /// `title`: what is being done ("quantizing"); `steps`: how many, 0 =
  /// unknown. `terminal`: rewrite one line (default: whether `os` is a
  /// terminal).
  Progress(llvm::raw_ostream &os, llvm::StringRef title, int64_t steps);
  Progress(llvm::raw_ostream &os, llvm::StringRef title, int64_t steps,
           bool terminal);
  ~Progress() { finish(); }
  Progress(const Progress &) = delete;
  Progress &operator=(const Progress &) = delete;

  /// One more step is done. `what` names it; `detail` is shown beside it.
  void advance(llvm::StringRef what, llvm::StringRef detail = "");
  /// Ends the line; further calls do nothing.
  void finish();

private:
  llvm::raw_ostream &os;
  std::string title;
  int64_t steps, done = 0;
  bool terminal, finished = false;
  std::chrono::steady_clock::time_point start;
};

/// "1.5 MB", "98.4 MB", "1.2 GB": decimal units, three or four digits.
std::string formatBytes(int64_t bytes);
/// "3.2 s", "4 min 10 s".
std::string formatSeconds(double seconds);
/// "1,234,567".
std::string formatCount(int64_t count);

} // namespace mlir::cq

#endif // CQ_SUPPORT_PROGRESS_H
