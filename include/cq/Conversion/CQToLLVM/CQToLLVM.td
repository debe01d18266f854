//===- CQToLLVM.td - cq ops to calls of the runtime --- -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTOLLVM_TD
#define CQ_CONVERSION_CQTOLLVM_TD

include "mlir/Pass/PassBase.td"

def ConvertCQToLLVM : Pass<"convert-cq-to-llvm", "::mlir::ModuleOp"> {
  let summary = "cq.launch and cq.observe to calls of the runtime";
  let description = [{
    The operands of a launch go into a struct on the stack, in the form that the
    LLVM conversion gives them (memrefs as descriptors, those of
    static shape and identity layout as addresses). One thunk a kernel,
    `@<kernel>_thunk(!llvm.ptr, i64, i64)`, takes them out again and calls the
    kernel. An observation becomes a call of `cq_observe` with the addresses and
    sizes of its operands. Runs before memref and func are converted: what it leaves are casts
    that those conversions resolve.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::func::FuncDialect",
                           "::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect"];
  let statistics = [Statistic<"numThunks", "thunks", "Kernels that got a thunk">];
}

def BareArguments : Pass<"cq-bare-arguments", "::mlir::ModuleOp"> {
  let summary = "Private functions take memrefs of static shape as addresses";
  let description = [{
    Arguments of private functions that are memrefs of static shape and identity
    layout become `!llvm.ptr`: one value instead of a descriptor of three and two
    a dimension, which the function builds anew from its type. Functions whose address is taken
    keep their signature. After convert-cq-to-llvm, before func is converted.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::func::FuncDialect"];
  let statistics = [Statistic<"numArguments", "arguments", "Arguments that are addresses">];
}

def ConvertAllToLLVM : Pass<"cq-convert-all-to-llvm", "::mlir::ModuleOp"> {
  let summary = "vector, math, memref, arith, index, cf, func and ub in one conversion";
  let description = [{
    The same patterns as `convert-vector-to-llvm`, `convert-math-to-llvm`,
    `convert-math-to-libm`, `finalize-memref-to-llvm` and so on, applied
    together: the driver looks at every operation once instead of ten times,
    and no casts between half converted types come and go. Vector operations
    that have no direct conversion are rewritten first, and only those;
    descriptors that are built and taken apart again are folded.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::func::FuncDialect",
                           "::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::vector::VectorDialect"];
}

#endif // CQ_CONVERSION_CQTOLLVM_TD
