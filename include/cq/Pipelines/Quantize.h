//===- Quantize.h - The pipeline cq-quantize --------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_PIPELINES_QUANTIZE_H
#define CQ_PIPELINES_QUANTIZE_H

#include "cq/Dialect/CQ/Transforms/Passes.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::cq {

/// Options of `cq-quantize`; the defaults are those of the passes.
struct QuantizeOptions : PassPipelineOptions<QuantizeOptions> {
  CQSolveUniformOptions solve;
  CQMaterializeParametersOptions materialize;

  Option<unsigned> bits{*this, "bits",
                        llvm::cl::desc("Bits of a code: 2, 3, 4, 5, 6 or 8"),
                        llvm::cl::init(solve.bits)};
  Option<std::string> groupSize{
      *this, "group-size",
      llvm::cl::desc("Columns that share a scale: 32, 64, 128 or row"),
      llvm::cl::init(solve.groupSize)};
  Option<std::string> grid{*this, "grid",
                           llvm::cl::desc("symmetric, affine or half-step"),
                           llvm::cl::init(solve.grid)};
  Option<std::string> scaleType{
      *this, "scale", llvm::cl::desc("Type of scales: f16, bf16 or f32"),
      llvm::cl::init(solve.scaleType)};
  Option<std::string> quantizer{*this, "quantizer",
                                llvm::cl::desc("rtn, mse or gptq"),
                                llvm::cl::init(solve.quantizer)};
  Option<std::string> cherries{
      *this, "cherries",
      llvm::cl::desc("What makes a weight a cherry, kept precise: none, "
                     "magnitude, quant-error, activation or impact"),
      llvm::cl::init(solve.cherries)};
  Option<std::string> cherryForm{
      *this, "cherry-form", llvm::cl::desc("none, element, column or slot"),
      llvm::cl::init(solve.cherryForm)};
  Option<double> cherryRatio{*this, "cherry-ratio",
                             llvm::cl::desc("Share of the weights"),
                             llvm::cl::init(solve.cherryRatio)};
  Option<std::string> outer{*this, "outer",
                            llvm::cl::desc("Scheme of embeddings and the head"),
                            llvm::cl::init(solve.outer)};
  ListOption<std::string> keep{
      *this, "keep",
      llvm::cl::desc("Regular expressions of weights to leave as they are")};
  ListOption<std::string> overrides{
      *this, "override",
      llvm::cl::desc("REGEX:SCHEME; the first match counts")};
  Option<std::string> stats{
      *this, "stats",
      llvm::cl::desc(
          "Statistics file of `cq calibrate`; quantizer and cherries "
          "default to the best that it allows")};
  Option<std::string> plan{
      *this, "plan",
      llvm::cl::desc("Take the decision from this file, not from the options")};
  Option<std::string> planOut{*this, "plan-out",
                              llvm::cl::desc("Write the decision here")};
  Option<std::string> activations{
      *this, "activations",
      llvm::cl::desc("How products read activations: f32 or int8"),
      llvm::cl::init(CQApplyPlanOptions().activations)};
  Option<std::string> parameters{
      *this, "parameters",
      llvm::cl::desc(
          "Archive of weights by reference (default: the module's)")};
  Option<std::string> parametersOut{
      *this, "parameters-out",
      llvm::cl::desc("Archive to write; without it weights by reference stay "
                     "symbolic")};
  Option<bool> progress{*this, "progress",
                        llvm::cl::desc("Show progress on stderr"),
                        llvm::cl::init(false)};
};

/// annotate → solve (or load the plan) → verify → apply → materialize.
void buildQuantizePipeline(OpPassManager &pm, const QuantizeOptions &options);

/// Registers `cq-quantize`.
void registerQuantizePipeline();

} // namespace mlir::cq

#endif // CQ_PIPELINES_QUANTIZE_H
