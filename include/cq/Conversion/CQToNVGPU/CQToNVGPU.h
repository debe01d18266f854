//===- CQToNVGPU.h - Passes to NVIDIA kernels -------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTONVGPU_CQTONVGPU_H
#define CQ_CONVERSION_CQTONVGPU_CQTONVGPU_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace mlir::cq {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "cq/Conversion/CQToNVGPU/CQToNVGPUPasses.h.inc"

/// cq-lower-gpu-kernels: convert-cq-nv-to-llvm and what has to run around it.
void buildLowerGPUKernelsPipeline(OpPassManager &pm);
void registerLowerGPUKernelsPipeline();

} // namespace mlir::cq

#endif // CQ_CONVERSION_CQTONVGPU_CQTONVGPU_H
