//===- CalibrationTextArguments.h - --text, --sequences ---------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_CALIBRATIONTEXTARGUMENTS_H
#define CQ_TOOLS_CQ_CALIBRATIONTEXTARGUMENTS_H

#include "CalibrationText.h"
#include "llvm/Support/CommandLine.h"
#include <optional>

namespace mlir::cq::tool {

/// What `cq calibrate`, `cq measure` and `cq tune` share: which text, and how
/// much of it.
class CalibrationTextArguments {
public:
  /// `purpose`: "Text to calibrate on". `author`: the model that writes the
  /// text where none is given. `sequences`: the default, `note` what to know of
  /// it (", those held out included"). Without `seeded` there is no --seed.
  CalibrationTextArguments(llvm::cl::SubCommand &command,
                           llvm::cl::OptionCategory &category,
                           llvm::StringRef purpose, llvm::StringRef author,
                           int64_t sequences, llvm::StringRef note = "",
                           bool seeded = true);

  /// Error: --sequences that nobody can mean. To be asked before long work.
  llvm::Error check() const;
  /// Whether files are named: then `read`, else `write`.
  bool given() const { return !paths.empty(); }
  /// Equal where `read` or `write` would give the same text for one model.
  std::string identity() const;
  llvm::Expected<CalibrationText>
  read(const Tokenizer *tokenizer, int64_t vocabulary, int64_t length) const;
  llvm::Expected<CalibrationText> write(LanguageModel &model,
                                        int64_t length) const;

private:
  CalibrationTextOptions options(int64_t length) const {
    return {length, sequences, seed ? seed->getValue() : 0};
  }

  std::string textHelp, sequencesHelp; ///< cl::desc refers to them
  llvm::cl::list<std::string> paths;
  llvm::cl::opt<int64_t> sequences;
  std::optional<llvm::cl::opt<uint64_t>> seed;
};

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_CALIBRATIONTEXTARGUMENTS_H
