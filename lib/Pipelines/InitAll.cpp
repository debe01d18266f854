//===- InitAll.cpp - Everything cq adds to an MLIR tool -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Pipelines/InitAll.h"
#include "cq/Analysis/WeightConsumer.h"
#include "cq/Autodiff/DifferentiableOpInterface.h"
#include "cq/Autodiff/Passes.h"
#include "cq/Conversion/CQToIREE/CQToIREE.h"
#include "cq/Conversion/CQToLinalg/CQToLinalg.h"
#include "cq/Conversion/CQToNVGPU/CQToNVGPU.h"
#include "cq/Conversion/CQToX86/CQToX86.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Pipelines/LowerToGPU.h"
#include "cq/Pipelines/LowerToLLVM.h"
#include "cq/Pipelines/Observe.h"
#include "cq/Pipelines/Quantize.h"

using namespace mlir;

void cq::registerAllDialects(DialectRegistry &registry) {
  registry.insert<CQDialect>();
  registerLinalgWeightConsumers(registry);
  registerDifferentiationRules(registry);
}

void cq::registerAllPasses() {
  registerCQPasses();
  registerCQAutodiffPasses();
  registerQuantizePipeline();
  registerCQToIREEPasses();
  registerCQToLinalgPasses();
  registerCQToNVGPUPasses();
  registerLowerGPUKernelsPipeline();
  registerCQToX86Passes();
  registerLowerToGPUPipeline();
  registerLowerToLLVMPipeline();
  registerObservePipeline();
}
