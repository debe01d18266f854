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
  // Facts first: they name inline weights, and what later passes write (plane
  // names) comes from here.
  pm.addPass(createCQAnnotateWeights());

  // Then the decision, from options or from a file.
  if (!options.plan.empty()) {
    CQLoadPlanOptions load;
    load.plan = options.plan;
    pm.addPass(createCQLoadPlan(load));
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

  CQApplyPlanOptions apply;
  apply.activations = options.activations;
  pm.addPass(createCQApplyPlan(apply));

  // Last: numbers. Up to here everything is symbolic and costs no memory.
  CQMaterializeParametersOptions materialize;
  materialize.parameters = options.parameters;
  materialize.parametersOut = options.parametersOut;
  materialize.statistics = options.stats;
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
