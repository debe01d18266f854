//===- Quantize.cpp - The pipeline cq-quantize ----------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Pipelines/Quantize.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

using namespace mlir;
using namespace mlir::cq;

void cq::buildQuantizePipeline(OpPassManager &pm,
                               const QuantizeOptions &options) {
  pm.addPass(createCQFoldWeights());

  // Facts first: they name inline weights, and what later passes write (plane
  // names) comes from here.
  pm.addPass(createCQAnnotateWeights());

  // Then the decision, from options or from a file.
  if (!options.plan.empty()) {
    CQLoadPlanOptions load;
    load.plan = options.plan;
    pm.addPass(createCQLoadPlan(load));
  } else if (options.bpw != 0 || !options.size.empty()) {
    // Measured once, kept in the file, solved for any budget.
    if (options.measure) {
      CQMeasureLossesOptions measure;
      measure.losses = options.losses;
      measure.choices.assign(options.choices.begin(), options.choices.end());
      measure.rowRatios.assign(options.rowRatios.begin(),
                               options.rowRatios.end());
      measure.loss = options.loss;
      measure.statistics = options.stats;
      measure.parameters = options.parameters;
      // A size counts the head, so its bits are worth deciding.
      if (options.outer == "solve" ||
          (options.outer == "auto" && !options.size.empty()))
        measure.outer = options.outer;
      measure.progress = options.progress;
      pm.addPass(createCQMeasureLosses(measure));
    }
    CQSolveRatiosOptions solve;
    solve.losses = options.losses;
    solve.bpw = options.bpw;
    solve.size = options.size;
    solve.choices.assign(options.choices.begin(), options.choices.end());
    solve.rowRatios.assign(options.rowRatios.begin(), options.rowRatios.end());
    solve.method = options.method;
    solve.seed = options.seed;
    solve.low = options.low;
    solve.high = options.high;
    solve.tie = options.tie;
    solve.outer = options.outer;
    solve.statistics = options.stats;
    solve.interactions = options.interactions;
    solve.curve = options.curve;
    solve.keep.assign(options.keep.begin(), options.keep.end());
    solve.overrides.assign(options.overrides.begin(), options.overrides.end());
    solve.floors.assign(options.floors.begin(), options.floors.end());
    solve.ceilings.assign(options.ceilings.begin(), options.ceilings.end());
    pm.addPass(createCQSolveRatios(solve));
  } else {
    CQSolveUniformOptions solve;
    solve.bits = options.bits;
    solve.groupSize = options.groupSize;
    solve.grid = options.grid;
    solve.scaleType = options.scaleType;
    solve.quantizer = options.quantizer;
    solve.cherries = options.cherries;
    solve.cherryForm = options.cherryForm;
    solve.cherryRatio = options.cherryRatio;
    solve.rows = options.rows;
    if (options.outer != "auto")
      solve.outer = options.outer;
    solve.stats = options.stats;
    solve.keep.assign(options.keep.begin(), options.keep.end());
    solve.overrides.assign(options.overrides.begin(), options.overrides.end());
    pm.addPass(createCQSolveUniform(solve));
  }

  // Checked by code of its own before anything is rewritten, and written out.
  CQVerifyPlanOptions verify;
  verify.planOut = options.planOut;
  pm.addPass(createCQVerifyPlan(verify));

  if (options.planOnly)
    return;

  CQApplyPlanOptions apply;
  apply.activations = options.activations;
  pm.addPass(createCQApplyPlan(apply));

  // Last: numbers. Up to here everything is symbolic and costs no memory.
  CQMaterializeParametersOptions materialize;
  materialize.parameters = options.parameters;
  materialize.parametersOut = options.parametersOut;
  materialize.statistics = options.stats;
  materialize.reuse = options.reuse;
  materialize.progress = options.progress;
  pm.addPass(createCQMaterializeParameters(materialize));
}

void cq::registerQuantizePipeline() {
  PassPipelineRegistration<QuantizeOptions>(
      "cq-quantize",
      "Quantize the weights of a model: annotate, solve, verify, apply, "
      "materialize",
      buildQuantizePipeline);
}
