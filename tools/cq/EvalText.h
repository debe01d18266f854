//===- EvalText.h - What a model is measured on -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_EVALTEXT_H
#define CQ_TOOLS_CQ_EVALTEXT_H

#include "cq/Execution/LanguageModel.h"
#include <vector>

namespace mlir::cq::tool {

/// Tokens to measure on, cut into windows.
struct EvalText {
  std::string name;
  std::vector<std::vector<int32_t>> windows;
};

/// At most `windows` (0 = all) non-overlapping windows of `length` tokens of
/// the file's bytes, as they are. Where the tokenizer wants BOS, it takes the
/// place of each window's first token, as in llama.cpp.
llvm::Expected<EvalText> readEvalText(llvm::StringRef path,
                                      const Tokenizer &tokenizer,
                                      int64_t length, int64_t windows);

/// `windows` texts of `length` tokens that `model` writes itself, drawn at
/// temperature 1 from a fixed seed. Slow, so kept in the cache by fingerprint,
/// window by window: an interrupted run goes on where it stopped.
llvm::Expected<EvalText> writeEvalText(LanguageModel &model, int64_t length,
                                       int64_t windows, uint64_t seed);

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_EVALTEXT_H
