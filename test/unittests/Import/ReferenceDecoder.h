//===- ReferenceDecoder.h - A decoder in plain loops ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A Llama decoder over whole sequences, in double and in plain loops, without
// caches, chunks or MLIR: what compiled modules are compared with.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_UNITTESTS_IMPORT_REFERENCEDECODER_H
#define CQ_UNITTESTS_IMPORT_REFERENCEDECODER_H

#include "cq/Model/ModelSource.h"

namespace mlir::cq::test {

/// Logits [tokens, vocabulary] of every position.
std::vector<double> referenceLogits(const ModelSource &source,
                                    llvm::ArrayRef<int32_t> tokens);

/// −log softmax(logits[t])[tokens[t + 1]] for t in [0, tokens − 1).
std::vector<double> referenceLoss(const std::vector<double> &logits,
                                  llvm::ArrayRef<int32_t> tokens);

} // namespace mlir::cq::test

#endif // CQ_UNITTESTS_IMPORT_REFERENCEDECODER_H
