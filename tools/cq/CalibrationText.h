//===- CalibrationText.h - What a model is calibrated on --------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_CALIBRATIONTEXT_H
#define CQ_TOOLS_CQ_CALIBRATIONTEXT_H

#include "cq/Execution/LanguageModel.h"
#include "cq/Model/Tokenizer.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <vector>

namespace mlir::cq::tool {

/// Sequences of equal length, in the order in which they are run.
struct CalibrationText {
  std::string name;
  std::vector<std::vector<int32_t>> sequences;
  std::string hash() const; ///< of all tokens
};

struct CalibrationTextOptions {
  int64_t length = 512, sequences = 16;
  uint64_t seed = 0;
};

/// The text of `paths`, one after the other: `.jsonl` files give the string
/// `text` of each line, `.json` and `.ids` files token ids (integers between
/// blanks, commas or brackets), all others their bytes without lines that are
/// `<doc …>` or `</doc>`. Cut into non-overlapping windows of `length` tokens,
/// of which `sequences` are taken, one out of each of as many equal stretches:
/// its first with seed 0, else any. Where the tokenizer wants BOS, it takes the
/// place of each sequence's first token. `tokenizer` may be null for ids only.
/// Errors: no file, no text, too short a text, ids outside [0, vocabulary).
llvm::Expected<CalibrationText>
readCalibrationText(llvm::ArrayRef<std::string> paths,
                    const Tokenizer *tokenizer, int64_t vocabulary,
                    const CalibrationTextOptions &options);

/// Text that the model writes itself; drawing it is slow, so it is kept on
/// disk. The seeds are far from those of `cq eval`, which must not test on what
/// was calibrated on. Errors: no tokenizer, too short caches.
llvm::Expected<CalibrationText>
writeCalibrationText(LanguageModel &model,
                     const CalibrationTextOptions &options);

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_CALIBRATIONTEXT_H
