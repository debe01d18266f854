//===- LowerToLLVM.cpp - From linalg on tensors to the LLVM dialect -------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Pipelines/LowerToLLVM.h"
#include "cq/Conversion/CQToLLVM/CQToLLVM.h"
#include "cq/Conversion/CQToX86/CQToX86.h"
#include "cq/Conversion/LinalgToX86/LinalgToX86.h"
#include "cq/Pipelines/InitAll.h"
#include "cq/Support/TargetCPU.h"
#include "cq/Transforms/Passes.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Bufferization/Pipelines/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace mlir::cq;

unsigned mlir::cq::getVectorBits(StringRef cpu) {
  auto features = featuresOf(cpu);
  return features && features->lookup("avx512f") ? 512 : 256;
}

void mlir::cq::buildLowerToLLVMPipeline(OpPassManager &pm,
                                        const LowerToLLVMOptions &options) {
  // Before CSE: products of one value then share its int8 codes.
  if (!options.activation.empty()) {
    SetActivationsOptions activations;
    activations.mode = options.activation;
    pm.addPass(createSetActivations(activations));
  }
  // First: whatever follows then runs once for 30 equal blocks.
  pm.addPass(createMergeFunctions());
  pm.addPass(createCSEPass());
  // On tensors, where a value has one definition and no aliases.
  pm.addNestedPass<func::FuncOp>(createFuseElementwise());
  pm.addPass(createCSEPass());
  // Before bufferization, which refuses extern globals; and results that go
  // straight to their destination need no buffer.
  pm.addPass(createBindParameters());
  pm.addPass(createBufferize());
  pm.addPass(createTightenArguments());
  // Copies of a buffer onto itself (caches updated in place) fold here.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // While buffers still have structured users: their lifetimes are plain.
  bufferization::buildBufferDeallocationPipeline(pm);
  pm.addNestedPass<func::FuncOp>(
      bufferization::createOptimizeAllocationLivenessPass());
  // Packed weights first: their kernels are functions that the loops'
  // conversion leaves alone.
  ConvertCQToX86PassOptions packed;
  packed.targetCPU = options.targetCPU;
  pm.addPass(createConvertCQToX86Pass(packed));
  // Whole, before its softmax is taken for loops over rows.
  ConvertAttentionToX86Options attention;
  attention.vectorBits = getVectorBits(options.targetCPU);
  attention.parallel = options.parallel;
  pm.addPass(createConvertAttentionToX86(attention));
  // q, k and v are one launch; gate, up and SwiGLU are another.
  if (options.parallel && options.fuse)
    pm.addPass(createFuseLaunches());
  // Norms and softmax of a prompt; norms with the quantization behind them.
  if (options.parallel && options.fuse)
    pm.addPass(createParallelizeRows());
  // Whatever follows then runs once for blocks that differ in their weights'
  // storage only.
  pm.addPass(createOutlineLoops());
  // On buffers: strides are known, and a zero fill in front of a product is
  // seen.
  ConvertLinalgToX86Options x86;
  x86.vectorBits = getVectorBits(options.targetCPU);
  x86.parallel = options.parallel;
  pm.addPass(createConvertLinalgToX86(x86));
  // After loops, which hold the scalar math; before math becomes libm.
  pm.addNestedPass<func::FuncOp>(createApproximateMath());
  // Index arithmetic of views becomes affine, then arith; loops go last since
  // expanding views does not look through branches.
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addNestedPass<func::FuncOp>(arith::createArithExpandOpsPass());
  pm.addPass(createLoopInvariantCodeMotionPass());
  pm.addPass(createCSEPass());
  pm.addPass(createSCFToControlFlowPass());
  // To LLVM: launches first (they make memref, func and arith operations).
  pm.addPass(createConvertCQToLLVM());
  pm.addPass(createBareArguments());
  pm.addPass(createConvertAllToLLVM());
  pm.addPass(createCSEPass());
}

void mlir::cq::registerLowerToLLVMPipeline() {
  registerCQTransformsPasses();
  registerCQLinalgToX86Passes();
  registerCQConvertToLLVMPasses();
  PassPipelineRegistration<LowerToLLVMOptions>(
      "cq-lower-to-llvm",
      "From linalg on tensors to the LLVM dialect with the C interface",
      buildLowerToLLVMPipeline);
}

void mlir::cq::registerLowerToLLVMDialects(DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::cq::registerAllDialects(registry);
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
}
