//===- Observe.h - The pipeline cq-observe-loss -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_PIPELINES_OBSERVE_H
#define CQ_PIPELINES_OBSERVE_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::cq {

/// Options of `cq-observe-loss`.
struct ObserveOptions : PassPipelineOptions<ObserveOptions> {
  Option<bool> moments{*this, "moments",
                       llvm::cl::desc("Inputs of products with a weight"),
                       llvm::cl::init(true)};
  Option<bool> gram{*this, "gram", llvm::cl::desc("Their Gram matrices"),
                    llvm::cl::init(false)};
  Option<bool> blocks{*this, "blocks",
                      llvm::cl::desc("What enters and leaves blocks"),
                      llvm::cl::init(true)};
  Option<std::string> function{*this, "function",
                               llvm::cl::desc("The loss: loss or divergence"),
                               llvm::cl::init("loss")};
  Option<std::string> wrt{
      *this, "wrt",
      llvm::cl::desc("What gradients are by: weights (that products read) or "
                     "all"),
      llvm::cl::init("weights")};
  Option<std::string> fisher{
      *this, "fisher",
      llvm::cl::desc("Squared gradients of weights: none, sequence or token"),
      llvm::cl::init("none")};
  ListOption<std::string> only{
      *this, "only",
      llvm::cl::desc("Regular expressions of weights that have gradients")};
};

/// What calibration compiles: @loss alone, instrumented; with gradients
/// @loss_gradient instead, which observes them too.
void buildObservePipeline(OpPassManager &pm, const ObserveOptions &options);

/// Registers `cq-observe-loss`.
void registerObservePipeline();

} // namespace mlir::cq

#endif // CQ_PIPELINES_OBSERVE_H
