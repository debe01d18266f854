//===- Passes.td - Passes over upstream dialects --------- -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TRANSFORMS_PASSES_TD
#define CQ_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def MergeFunctions : Pass<"cq-merge-functions", "::mlir::ModuleOp"> {
  let summary = "Merges private functions with equal bodies";
  let description = [{
    The importer emits one private function a transformer block; with weights as
    arguments, equal blocks have equal bodies. Calls of all are redirected to the
    first. Public functions keep their names and bodies. Repeats until nothing
    changes, since merged callees make callers equal.
  }];
  let statistics = [Statistic<"numMerged", "merged", "Functions merged into an equal one">];
}

def ExposeBlocks : Pass<"cq-expose-blocks", "::mlir::ModuleOp"> {
  let summary = "Gives every transformer block an entry point of its own";
  let description = [{
    For every call in `function` that the importer marked `cq.block = i`, a public
    function `@run_block_<i>` from the hidden states that enter the block to those
    that leave it; and `@run_final` from what leaves the last block to what the
    head multiplies. What else they need (weights, rotary angles) they compute
    themselves. The blocks' bodies stay shared. For measuring what changes when
    a block's weights change (`cq measure --pairs`).
  }];
  let options = [Option<"function", "function", "std::string", "\"divergence\"",
                        "The function whose blocks are meant">];
  let statistics = [Statistic<"numBlocks", "blocks", "Blocks with an entry point">];
}

def FuseLaunches : Pass<"cq-fuse-launches", "::mlir::ModuleOp"> {
  let summary = "Products side by side, and elementwise ops behind them, become one launch";
  let description = [{
    Launches of kernels that say what they write (`cq.written`, the number of that
    argument, as convert-cq-to-x86 leaves them) become one where neither reads what
    the other writes:

    - in a row: the tasks of one, then those of the other. q, k and v are one launch,
      whatever their schemes and shapes.
    - in step, where an elementwise linalg.generic follows and task i of each product
      is the same columns of its result (`cq.columns_of_task`): gate, up and SwiGLU
      are one launch; so are a product and the bias or the residual sum behind it.

    Every number is computed as before, by the same functions: what is new is small.
    On buffers, after convert-cq-to-x86 and before loops.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::cq::CQDialect",
                           "::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numProducts", "products", "Products put together">,
                    Statistic<"numEpilogues", "epilogues", "Elementwise ops that became part of a launch">];
}

def ParallelizeRows : Pass<"cq-parallelize-rows", "::mlir::ModuleOp"> {
  let summary = "Runs of loops over many tokens become launches";
  let description = [{
    Consecutive linalg ops on buffers become one kernel and a launch of it where all
    treat index i of one parallel loop (of the same static extent) apart from the
    others: RMSNorm of 64 tokens, softmax of 64 rows. Launches of kernels whose tasks
    are the rows of all operands (`cq.rows_of_task`, a list of those they write:
    cq.dynamic_quantize, the transposition of activations) join them and each
    other, so that a token is quantized where it was
    normalized. Small runs stay as they are. The kernel works on
    views of the buffers, with the same ops in the same order.
  }];
  let options = [
    Option<"minWork", "min-work", "int64_t", "16384", "Elements from which a launch pays">,
    Option<"minTasks", "min-tasks", "int64_t", "8", "Least extent of the loop">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::cq::CQDialect",
                           "::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect"];
  let statistics = [Statistic<"numLaunches", "launches", "Launches made">];
}

def OutlineLoops : Pass<"cq-outline-loops", "::mlir::ModuleOp"> {
  let summary = "Makes functions of what stands between launches; equal ones are one";
  let description = [{
    Blocks whose weights are stored in different ways call different kernels, so
    cq-merge-functions keeps them apart, and attention, norms and rotary positions
    would be compiled once a block. Each run of linalg ops and copies between other
    ops of a private function becomes a function over its buffers, shared by all runs
    of equal text; of a public function every single one, so that what is left only
    passes addresses on. Buffers that only the run uses move into it. On buffers,
    before loops.
  }];
  let dependentDialects = ["::mlir::func::FuncDialect"];
  let statistics = [Statistic<"numOutlined", "outlined", "Functions made">,
                    Statistic<"numShared", "shared", "Runs that had a function already">];
}

def BindParameters : Pass<"cq-bind-parameters", "::mlir::ModuleOp"> {
  let summary = "Gives public functions the C interface over one pointer table";
  let description = [{
    Rewrites every public function `@f` into `@cq_f(!llvm.ptr table, arguments…)`:

    - `ml_program.global_load` of a global with `#ml_program.extern` becomes a
      buffer whose address is read from the table. The table's order is that of the
      globals in the module, kept as the module attribute `cq.parameter_order`.
    - A tensor argument becomes a bare pointer to its row-major elements.
    - A tensor result becomes a pointer appended after the arguments, into which it
      is materialized. A result that is an argument updated by tensor.insert_slice
      and the like (a key/value cache) is materialized into that argument, and no
      pointer is appended.

    One-shot bufferization refuses extern globals, hence before it.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::linalg::LinalgDialect"];
  let statistics = [Statistic<"numParameters", "parameters", "Entries of the pointer table">];
}

def FuseElementwise : Pass<"cq-fuse-elementwise", "::mlir::func::FuncOp"> {
  let summary = "Fuses elementwise linalg ops where that repeats no work";
  let description = [{
    Upstream's fusion with a narrower rule: a producer is fused into its only
    consumer when both iterate over the same elements (the operand's map is a
    permutation of all loops), and never into a matrix product, which has a kernel
    of its own. Named elementwise ops are generalized first.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::affine::AffineDialect"];
}

def Bufferize : Pass<"cq-bufferize", "::mlir::ModuleOp"> {
  let summary = "One-shot bufferization with static strides at function boundaries";
  let description = [{
    Private functions take memrefs with the row-major strides of their shape and
    any offset, so that the slice of a cache that belongs to one block is passed
    without a copy. Results that are arguments are dropped, other results become
    destination arguments.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
}

def TightenArguments : Pass<"cq-tighten-arguments", "::mlir::ModuleOp"> {
  let summary = "Arguments that are whole buffers at every call say so in their type";
  let description = [{
    cq-bufferize lets every argument begin anywhere in a larger buffer. Where each
    call of a private function casts a buffer of the identity layout to that, the
    argument takes the identity layout, and what the function calls learns it in
    turn. A buffer of static shape and identity layout is an address: weights and
    activations then travel as one word, not as a descriptor of five.
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect"];
  let statistics = [Statistic<"numArguments", "arguments", "Arguments that are whole buffers">];
}

def ApproximateMath : Pass<"cq-approximate-math", "::mlir::func::FuncOp"> {
  let summary = "exp, tanh, log, erf as polynomials";
  let description = [{
    A call of libm in a loop keeps LLVM from vectorizing it. The polynomials are
    upstream's (a few units in the last place in f32). sin, cos and powf stay calls:
    upstream reduces the argument of sin and cos in one f32 step, which is too
    coarse for rotary angles of thousands of radians.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::vector::VectorDialect",
                           "::mlir::math::MathDialect"];
}

def SetActivations : Pass<"cq-set-activations", "::mlir::ModuleOp"> {
  let summary = "Gives every cq.matmul one activation mode";
  let description = [{
    `int8` puts a `cq.dynamic_quantize` in front of products that read f32 (CSE
    makes those of one value one); `f32` lets products read what was quantized,
    for accuracy checks. On tensors.
  }];
  let options = [Option<"mode", "mode", "std::string", /*default=*/"\"\"",
                        "int8 or f32; empty leaves each as it is">];
  let dependentDialects = ["::mlir::cq::CQDialect", "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numProducts", "products", "cq.matmul ops changed">];
}

def KeepFunctions : Pass<"cq-keep-functions", "::mlir::ModuleOp"> {
  let summary = "Erases public functions that are not asked for, and what only they use";
  let description = [{
    A driver compiles what it calls: generation has no use for `@loss`, calibration
    none for `@forward_<M>`. Private functions and globals go when nothing refers
    to them any more.
  }];
  let options = [ListOption<"functions", "functions", "std::string",
                            "Names to keep; `forward_*` is any name that starts so">];
  let statistics = [Statistic<"numErased", "erased", "Public functions erased">];
}

def ImportGlobals : Pass<"cq-import-globals", "::mlir::ModuleOp"> {
  let summary = "Takes over IREE's globals and parameters";
  let description = [{
    What IREE's front ends print in the generic form (`iree-compile
    --compile-to=input --mlir-print-op-generic`), read with
    --allow-unregistered-dialect: `util.func`, `util.return` and `util.call`
    become func's, `util.global` with its loads and stores and parameters in
    `flow.tensor.constant` become `ml_program`'s.

    A global whose value is `#flow.parameter.named<"scope"::"key">` (or
    `#stream…`) becomes `#ml_program.extern` and is renamed to the key, under
    which its tensor lies in an archive: that is a weight by reference for all
    passes. Two globals of one parameter become one.
  }];
  let options = [
    Option<"scope", "scope", "std::string", "\"\"", "Only parameters of this scope">,
    Option<"parameters", "parameters", "std::string", "\"\"", "Archive of the parameters, to be noted in the module">];
  let statistics = [
    Statistic<"numOps", "ops", "Functions, globals and constants taken over">,
    Statistic<"numParameters", "parameters", "Globals that are parameters">];
  let dependentDialects = ["::mlir::func::FuncDialect", "::mlir::ml_program::MLProgramDialect"];
}

#endif // CQ_TRANSFORMS_PASSES_TD
