//===- LowerToGPU.cpp - From linalg on tensors to GPU launches ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Pipelines/LowerToGPU.h"
#include "cq/Conversion/CQToLinalg/CQToLinalg.h"
#include "cq/Conversion/CQToNVGPU/CQToNVGPU.h"
#include "cq/Conversion/LinalgToGPU/LinalgToGPU.h"
#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "cq/Transforms/Passes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace mlir::cq;

void mlir::cq::buildLowerToGPUPipeline(OpPassManager &pm,
                                       const LowerToGPUOptions &options) {
  // Tensor cores take floating-point activations.
  SetActivationsOptions activations;
  activations.mode = "f32";
  pm.addPass(createSetActivations(activations));
  // While it is on tensors.
  pm.addNestedPass<func::FuncOp>(createConvertGathers());
  // Up to the buffers as for CPUs (LowerToLLVM.cpp says why).
  pm.addPass(createMergeFunctions());
  pm.addPass(createCSEPass());
  pm.addNestedPass<func::FuncOp>(createFuseElementwise());
  pm.addPass(createCSEPass());
  pm.addPass(createBindParameters());
  pm.addPass(createBufferize());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // A launch needs its buffers: callers know them. After bufferization, whose
  // analysis is dearer the longer functions are.
  pm.addPass(createInlinerPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // Every view becomes offset, sizes and strides of a buffer.
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createRelayoutProducts());
  ConvertCQToNVGPUPassOptions products;
  products.architecture = options.architecture;
  products.compute = options.compute;
  products.wgmma = options.wgmma;
  products.splits = true;
  pm.addPass(createConvertCQToNVGPUPass(products));
  pm.addPass(createConvertLinalgToGPU());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

void mlir::cq::registerLowerToGPUPipeline() {
  registerCQLinalgToGPUPasses();
  PassPipelineRegistration<LowerToGPUOptions>(
      "cq-lower-to-gpu",
      "From linalg on tensors to launches of kernels for NVIDIA GPUs",
      buildLowerToGPUPipeline);
}
