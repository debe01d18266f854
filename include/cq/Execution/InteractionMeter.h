//===- InteractionMeter.h - How layers' errors add up -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The matrix M of methods.md, section 3, into a measurement file:
//
//   gram    one run of its block a (layer, choice); M from the changes of the
//           block's output
//   exact   the paper's differences of losses: one run of the block more for
//           every pair of choices of two layers
//   model   the rest of the model a (layer, probe); M over all layers from the
//           changes of the predictions (PredictionMetric)
//
// The loss of a block is the mean over tokens of ‖Δy‖² / ‖y‖² (every reader of
// hidden states divides by the token's norm, so this is one currency for all
// blocks), or ½ Σ_n f_n Δy_n² with the mean squared gradient f_n of its output
// n, where statistics have Fisher sums of the block's last matrix.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_INTERACTIONMETER_H
#define CQ_EXECUTION_INTERACTIONMETER_H

#include "cq/Execution/BlockRunner.h"
#include "cq/Solver/Measurements.h"
#include "cq/Stats/Statistics.h"

namespace mlir::cq {

enum class PairKind { Gram, Exact, Model };

struct InteractionOptions {
  PairKind pairs = PairKind::Gram;
  std::vector<StorageChoice> choices;
  std::vector<StorageChoice> probes; ///< Model: what is run
  const StatisticsReader *statistics = nullptr;
  bool fisher = false;   ///< blocks' losses by Fisher sums
  unsigned samples = 16; ///< Model: words a token
  uint64_t seed = 0;
  unsigned threads = 0;
  /// Model: keeps changes here while it runs, so that an interrupted run goes
  /// on; gone in the end.
  std::string changesPath;
};

/// Whether the statistics (may be null) weigh the output of every block.
bool canWeighByFisher(const BlockRunner &runner,
                      const StatisticsReader *statistics);
/// MeasurementHeader::loss: block, block-fisher or predictions.
std::string lossName(const InteractionOptions &options);

/// Measures on the runner's sequences what the writer's file lacks. `done` is
/// called after every block (Model: weight).
llvm::Error measureInteractions(BlockRunner &runner,
                                const InteractionOptions &options,
                                MeasurementWriter &writer,
                                llvm::function_ref<void(llvm::StringRef)> done);

} // namespace mlir::cq

#endif // CQ_EXECUTION_INTERACTIONMETER_H
