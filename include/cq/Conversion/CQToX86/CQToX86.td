//===- CQToX86.td - convert-cq-to-x86 ----------------------*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTOX86_CQTOX86_TD
#define CQ_CONVERSION_CQTOX86_CQTOX86_TD

include "mlir/Pass/PassBase.td"

def ConvertCQToX86Pass : Pass<"convert-cq-to-x86", "::mlir::ModuleOp"> {
  let summary = "Products with packed weights to outlined x86 vector kernels";
  let description = [{
    Replaces `cq.matmul`, `cq.dynamic_quantize` and `cq.gather` on memrefs by
    `cq.launch` (or `func.call` where there is too little to share out) of kernels
    that are written for a vector level. Kernels are private functions, shared by
    all ops that agree in scheme, layout, shape, tokens and types.

    Runs after bufferization, before the conversions to LLVM. docs/Kernels-x86.md
    describes the kernels; every level computes the same bits.

    ```
    cq-opt --convert-cq-to-x86=isa=avx2
    ```
  }];
  let options = [
    Option<"isa", "isa", "std::string", /*default=*/"\"\"",
           "avx2, avx512, avxvnni, avx512vnni or avx512amx; emulated-<level> and "
           "generic run on any machine (default: the level of target-cpu)">,
    Option<"targetCPU", "target-cpu", "std::string", /*default=*/"\"\"",
           "an LLVM CPU name whose best level is taken (default: this machine)">
  ];
  let statistics = [
    Statistic<"numKernels", "kernels", "Kernels written">,
    Statistic<"numProducts", "products", "cq.matmul ops converted">
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::cq::CQDialect",
    "::mlir::func::FuncDialect", "::mlir::LLVM::LLVMDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect"
  ];
}

#endif // CQ_CONVERSION_CQTOX86_CQTOX86_TD
