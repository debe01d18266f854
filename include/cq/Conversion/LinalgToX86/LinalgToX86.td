//===- LinalgToX86.td - Linalg on buffers to x86 code ---- -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_LINALGTOX86_TD
#define CQ_CONVERSION_LINALGTOX86_TD

include "mlir/Pass/PassBase.td"

def ConvertLinalgToX86 : Pass<"convert-linalg-to-x86", "::mlir::ModuleOp"> {
  let summary = "Linalg on buffers to generated kernels and loops";
  let description = [{
    f32 matrix products (named ops and generics that are contractions, in any
    transposition) become calls of kernels that are generated once a module and
    shared: register-tiled over packed panels, or unpacked for small products. The
    kernels take all extents and strides at run time; only the shape of the
    register tile depends on `target-features` (AVX2: 6 × 16, AVX-512: 14 × 32).
    A product whose result was filled with zero just before skips reading it.
    All other linalg ops and copies become loops that LLVM vectorizes.
  }];
  let options = [
    Option<"vectorBits", "vector-bits", "unsigned", "256",
           "Width of the target's vector registers: 256 or 512">,
    Option<"parallel", "parallel", "bool", "true",
           "Run kernels on the thread pool (cq.launch)">,
  ];
  let statistics = [
    Statistic<"numProducts", "products", "Matrix products that call a kernel">,
    Statistic<"numLoops", "loops", "Other linalg ops lowered to loops">];
  let dependentDialects = [
    "::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::func::FuncDialect", "::mlir::cq::CQDialect"];
}

def ConvertAttentionToX86 : Pass<"convert-attention-to-x86", "::mlir::ModuleOp"> {
  let summary = "Causal attention of many tokens to one generated kernel";
  let description = [{
    The loops of attention on buffers (scores, causal mask, softmax, weighted means,
    division by the sums) become one launch over heads and blocks of tokens. A task
    keeps its scores in cache and leaves out positions that none of its tokens sees.
    Loops that are not exactly these, or whose buffers have other users, stay.
  }];
  let options = [
    Option<"vectorBits", "vector-bits", "unsigned", "256",
           "Width of the target's vector registers: 256 or 512">,
    Option<"parallel", "parallel", "bool", "true",
           "Run kernels on the thread pool (cq.launch)">,
  ];
  let statistics = [Statistic<"numKernels", "launches", "Launches made">];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
    "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::cq::CQDialect"];
}

#endif // CQ_CONVERSION_LINALGTOX86_TD
