//===- Calibration.h - Observations to statistics ---------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Runs sequences through an ObservedModel and adds up what they show. The sums
// take their terms in the order of sequences and rows: the same bytes at any
// number of threads, and when a run goes on from what another has saved.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_CALIBRATION_H
#define CQ_EXECUTION_CALIBRATION_H

#include "cq/Execution/ObservedModel.h"
#include "cq/Stats/Statistics.h"

namespace mlir::cq {

class Calibration {
public:
  /// `model` outlives this object. Errors: the model observes nothing of a
  /// weight.
  static llvm::Expected<Calibration>
  create(ObservedModel &model, FisherKind fisher, unsigned threads = 0);

  /// Adds one sequence of model.tokens() ids.
  llvm::Error add(llvm::ArrayRef<int32_t> tokens);
  /// Goes on from the sums in `saved`, of the same model and options. Errors:
  /// it lists other inputs, Fisher matrices or blocks.
  llvm::Error resume(Statistics saved);
  /// The shares of ZD of every block, from the weights.
  void measureZScores();

  /// The sums so far; provenance and hashes are the caller's.
  Statistics &statistics() { return sums; }
  /// Bytes of the sums when all are there; about the size of the file.
  int64_t bytes() const;

private:
  Calibration(ObservedModel &model, unsigned threads)
      : model(&model), threads(threads) {}
  llvm::Error plan(FisherKind fisher);
  void take(const ObservationInfo &info,
            llvm::ArrayRef<ObservedMatrix> matrices);

  /// Where an observation goes: indices into the lists of `sums`, −1: nowhere.
  struct Target {
    int64_t input = -1, fisher = -1, block = -1;
  };
  ObservedModel *model;
  unsigned threads;
  Statistics sums;
  std::vector<Target> targets;
};

} // namespace mlir::cq

#endif // CQ_EXECUTION_CALIBRATION_H
