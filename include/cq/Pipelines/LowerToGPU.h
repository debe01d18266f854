//===- LowerToGPU.h - From linalg on tensors to GPU launches ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_PIPELINES_LOWERTOGPU_H
#define CQ_PIPELINES_LOWERTOGPU_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::cq {

/// Options of `cq-lower-to-gpu`.
struct LowerToGPUOptions : PassPipelineOptions<LowerToGPUOptions> {
  PassOptions::Option<unsigned> architecture{
      *this, "sm", llvm::cl::desc("Architecture that options are chosen for"),
      llvm::cl::init(80)};
  PassOptions::Option<std::string> compute{
      *this, "compute",
      llvm::cl::desc("Type of products with packed weights: f16 or bf16"),
      llvm::cl::init("f16")};
  PassOptions::Option<bool> wgmma{
      *this, "wgmma",
      llvm::cl::desc("The code is for sm_90a alone: warpgroup kernels"),
      llvm::cl::init(false)};
};

/// Appends the pipeline `cq-lower-to-gpu`: from linalg on tensors, with
/// parameters in ml_program globals, to functions of one block each that only
/// launch kernels of `gpu.module @cq_kernels` on buffers. Functions are public
/// ones with the interface of cq-bind-parameters; private ones are inlined.
void buildLowerToGPUPipeline(OpPassManager &pm,
                             const LowerToGPUOptions &options);

void registerLowerToGPUPipeline();

} // namespace mlir::cq

#endif // CQ_PIPELINES_LOWERTOGPU_H
