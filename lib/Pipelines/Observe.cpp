//===- Observe.cpp - The pipeline cq-observe-loss -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Pipelines/Observe.h"
#include "cq/Autodiff/Passes.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "cq/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"

using namespace mlir;
using namespace mlir::cq;

void cq::buildObservePipeline(OpPassManager &pm,
                              const ObserveOptions &options) {
  // First, so that nothing else is looked at (and blocks are not shared).
  KeepFunctionsOptions loss;
  loss.functions.push_back(options.function);
  pm.addPass(createKeepFunctions(loss));
  // Before differentiation: it copies the instrumented forward pass once, and
  // numbers gradients after what is there.
  CQObserveOptions observe;
  observe.function = options.function;
  observe.moments = options.moments;
  observe.gram = options.gram;
  observe.blocks = options.blocks;
  pm.addPass(createCQObserve(observe));
  if (options.fisher == "none")
    return;
  // Equal blocks share one derivative.
  pm.addPass(createMergeFunctions());
  DifferentiateOptions differentiate;
  differentiate.function = options.function;
  differentiate.wrt = options.wrt;
  differentiate.gradients = "observe";
  differentiate.fisher = options.fisher;
  differentiate.only.assign(options.only.begin(), options.only.end());
  pm.addPass(createDifferentiate(differentiate));
}

void cq::registerObservePipeline() {
  PassPipelineRegistration<ObserveOptions>(
      "cq-observe-loss",
      "What calibration compiles: the loss alone, with its observations",
      buildObservePipeline);
}
