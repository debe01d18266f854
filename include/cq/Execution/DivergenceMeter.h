//===- DivergenceMeter.h - One weight changed, everything run -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The KL divergence of a model's predictions from its own when one weight alone
// is stored some way: the measure of every layer in one currency, interactions
// left out. Needs the function @divergence of `cq import`.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_DIVERGENCEMETER_H
#define CQ_EXECUTION_DIVERGENCEMETER_H

#include "cq/Execution/ObservedModel.h"

namespace mlir::cq {

class DivergenceMeter {
public:
  /// Compiles the module and runs it on the sequences (each of tokens() ids)
  /// for the predictions to compare with.
  static llvm::Expected<std::unique_ptr<DivergenceMeter>>
  create(llvm::StringRef module, const ObservedModelOptions &options);

  int64_t tokens() const { return model->tokens(); }
  int64_t vocabulary() const { return model->vocabulary(); }
  const Tokenizer *tokenizer() const { return model->tokenizer(); }
  const ParameterArchive &archive() const { return model->archive(); }
  /// Weights that products read, but for the head, in the model's order.
  llvm::ArrayRef<std::string> weights() const { return names; }
  /// Its numbers as the archive has them, [n, k]; null if there is none.
  const float *values(llvm::StringRef weight) const {
    return model->parameter(weight);
  }

  /// Takes the predictions of the unchanged model on these sequences.
  llvm::Error setSequences(std::vector<std::vector<int32_t>> tokens);
  /// Mean divergence of a prediction, in nats, when `weight` has these numbers.
  llvm::Expected<double> measure(llvm::StringRef weight, const float *numbers);

private:
  DivergenceMeter() = default;
  llvm::Expected<double> runAll();

  std::unique_ptr<ObservedModel> model, observed;
  std::vector<std::string> names;
  size_t headObservation = 0; ///< number of the one that reads hidden states
  std::vector<std::vector<int32_t>> sequences;
  std::vector<std::vector<float>> references; ///< [tokens, width] each
};

} // namespace mlir::cq

#endif // CQ_EXECUTION_DIVERGENCEMETER_H
