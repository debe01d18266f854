//===- CQToIREE.td - The cq dialect to what IREE compiles -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTOIREE_TD
#define CQ_CONVERSION_CQTOIREE_TD

include "mlir/Pass/PassBase.td"

def CQExportIREE : Pass<"cq-export-iree", "::mlir::ModuleOp"> {
  let summary = "Hand a quantized model to IREE: upstream ops, named parameters";
  let description = [{
    No `cq` op is left. A weight's planes are stored anew: codes [N, groups,
    length] with the group as a dimension, scales and zero points [N, groups];
    a product is a dequantizing `linalg.generic` and a contraction with two
    reductions (three, where codes of 3, 5 or 6 bits share bytes), plus a sum
    over cherries. Rows of several widths are several products.

    With `parameters-out` every tensor goes into an .irpa or .safetensors archive, and its
    global names it as `#flow.parameter.named<"SCOPE"::"WEIGHT:PLANE">`: give
    the archive to IREE as `--parameters=SCOPE=FILE`. That attribute is foreign:
    run with --allow-unregistered-dialect. Without it planes are constants, and
    weights by reference are an error.

    With `codes=packed` 2 and 4 bits become i2 and i4, whose bytes IREE packs as
    the archive does; 3, 5 and 6 bits lie in as many byte planes as a unit of 8
    (6 bits: 4) codes has bytes, least significant bit first. `codes=bytes` takes
    a byte a code.

    With `kernels=FILE.o` products of a fixed number of tokens call our own x86
    kernels instead, as object code that iree-compile links: planes stay as
    they are packed, and each product is a `flow.dispatch.region` around
    `iree_codegen.ukernel.generic`. Give iree-compile the folder of FILE.o as
    --iree-hal-executable-object-search-path.

    Functions that hold cq ops are inlined into the public ones; blocks therefore
    are repeated. `cq-keep-functions` first leaves out what is not wanted.
  }];
  let options = [
    Option<"parameters", "parameters", "std::string", "\"\"", "Archive of weights by reference (default: the module's)">,
    Option<"parametersOut", "parameters-out", "std::string", "\"\"", "Archive to write, .irpa or .safetensors">,
    Option<"scope", "scope", "std::string", "\"model\"", "Scope of the parameters' names">,
    Option<"codes", "codes", "std::string", "\"packed\"", "How codes are stored: packed or bytes">,
    Option<"kernels", "kernels", "std::string", "\"\"", "Object file to write: products call our own kernels">,
    Option<"targetCPU", "target-cpu", "std::string", "\"host\"", "CPU of the kernels, in LLVM's names">];
  let statistics = [
    Statistic<"numProducts", "num-products", "Products and gathers rewritten">,
    Statistic<"numKernelCalls", "num-kernel-calls", "Products that call our kernels">,
    Statistic<"numWeights", "num-weights", "Weights stored anew">,
    Statistic<"numBytes", "num-bytes", "Bytes of all parameters">];
  let dependentDialects = [
    "::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::ml_program::MLProgramDialect", "::mlir::tensor::TensorDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::cf::ControlFlowDialect",
    "::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

#endif // CQ_CONVERSION_CQTOIREE_TD
