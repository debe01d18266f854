//===- LowerToLLVM.h - From linalg to the LLVM dialect ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_PIPELINES_LOWERTOLLVM_H
#define CQ_PIPELINES_LOWERTOLLVM_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::cq {

/// Options of `cq-lower-to-llvm`.
struct LowerToLLVMOptions : PassPipelineOptions<LowerToLLVMOptions> {
  PassOptions::Option<std::string> targetCPU{
      *this, "target-cpu",
      llvm::cl::desc("CPU whose vector width shapes the kernels, as clang's "
                     "-march; `host` is this machine"),
      llvm::cl::init("host")};
  PassOptions::Option<bool> parallel{
      *this, "parallel", llvm::cl::desc("Run kernels on the thread pool"),
      llvm::cl::init(true)};
  PassOptions::Option<bool> fuse{
      *this, "fuse", llvm::cl::desc("Put launches together (cq-fuse-launches)"),
      llvm::cl::init(true)};
  PassOptions::Option<std::string> activation{
      *this, "activation",
      llvm::cl::desc("How products with packed weights read activations: int8 "
                     "or f32; empty leaves each as it is"),
      llvm::cl::init("")};
};

/// The widest vectors that code for `cpu` ("host", "haswell", "cascadelake" …)
/// should use: 512 with AVX-512F, else 256.
unsigned getVectorBits(StringRef cpu);

/// Appends the pipeline `cq-lower-to-llvm`: from linalg on tensors, with
/// parameters in ml_program globals, to the LLVM dialect with the C interface
/// of cq-bind-parameters. Chunk functions come first and merge; buffers are in
/// place.
void buildLowerToLLVMPipeline(OpPassManager &pm,
                              const LowerToLLVMOptions &options);

/// Registers `cq-lower-to-llvm` and every pass in it that is ours.
void registerLowerToLLVMPipeline();

/// Dialects and interface models that a module needs to go through the
/// pipeline.
void registerLowerToLLVMDialects(DialectRegistry &registry);

} // namespace mlir::cq

#endif // CQ_PIPELINES_LOWERTOLLVM_H
