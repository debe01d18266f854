//===- CQToNVGPU.td - Kernels for NVIDIA GPUs --------------*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTONVGPU_CQTONVGPU_TD
#define CQ_CONVERSION_CQTONVGPU_CQTONVGPU_TD

include "mlir/Pass/PassBase.td"

def ConvertCQToNVGPUPass : Pass<"convert-cq-to-nvgpu", "::mlir::ModuleOp"> {
  let summary = "Products with packed weights to NVIDIA kernels";
  let description = [{
    Replaces `cq.matmul` on memrefs, mode f32, layout `mma_fragment`, by
    `gpu.launch_func` of kernels in `gpu.module @cq_kernels`, one for each segment
    of the rows. Kernels are shared by products that agree in scheme, layout,
    shape and tokens. docs/Kernels-nvidia.md describes them.

    ```
    cq-opt --convert-cq-to-nvgpu=compute=bf16
    ```
  }];
  let options = [
    Option<"compute", "compute", "std::string", /*default=*/"\"f16\"",
           "f16 or bf16: what weights and activations are multiplied in">,
    Option<"architecture", "architecture", "unsigned", /*default=*/"80",
           "80, 90: for which chip options are chosen">,
    Option<"maxTokens", "max-tokens", "int64_t", /*default=*/"4096",
           "bound on the tokens of products whose number of tokens is not known">,
    Option<"wgmma", "wgmma", "bool", /*default=*/"false",
           "the code is for sm_90a alone: warpgroup kernels for many tokens, a "
           "launch before each puts the activations in order">,
    Option<"splits", "splits", "bool", /*default=*/"false",
           "CTAs may share the columns of small weights, a second launch adds "
           "their sums">
  ];
  let statistics = [
    Statistic<"numKernels", "kernels", "Kernels written">,
    Statistic<"numProducts", "products", "cq.matmul ops converted">
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::cq::CQDialect",
    "::mlir::gpu::GPUDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::nvgpu::NVGPUDialect",
    "::mlir::NVVM::NVVMDialect", "::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect"
  ];
}

def ConvertCQNVToLLVMPass : Pass<"convert-cq-nv-to-llvm", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Kernels of convert-cq-to-nvgpu to the LLVM and NVVM dialects";
  let description = [{
    Everything in a `gpu.module` that convert-cq-to-nvgpu writes, in one
    conversion: memrefs become bare pointers, indices have 32 bits, `cq.nv` ops
    become intrinsics and inline PTX (the only place where PTX is spelled).
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect",
    "::mlir::cf::ControlFlowDialect"];
}

#endif // CQ_CONVERSION_CQTONVGPU_CQTONVGPU_TD
