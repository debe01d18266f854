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
  Option<std::string> rows{
      *this, "rows",
      llvm::cl::desc("SHARE:BITS, e.g. 1/8:4: rows of the largest impact that "
                     "get more bits"),
      llvm::cl::init(solve.rows)};
  Option<std::string> outer{
      *this, "outer",
      llvm::cl::desc(
          "Scheme of embeddings and the head; solve; or auto: solved "
          "for a size where the statistics allow, else 8 bits"),
      llvm::cl::init("auto")};
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
  // A budget asks for cq-solve-ratios over measured losses; the options above
  // that say how a weight is stored then mean nothing.
  Option<double> bpw{*this, "bpw", llvm::cl::desc("Budget in bits per weight"),
                     llvm::cl::init(0)};
  Option<std::string> size{
      *this, "size",
      llvm::cl::desc("Budget in bytes of the whole archive, e.g. 60MB")};
  Option<std::string> losses{
      *this, "losses",
      llvm::cl::desc("Measurement file; what it lacks is measured into it")};
  Option<bool> measure{*this, "measure",
                       llvm::cl::desc("Measure what the file lacks"),
                       llvm::cl::init(true)};
  Option<std::string> loss{
      *this, "loss",
      llvm::cl::desc("What is measured: weight, output, fisher or auto"),
      llvm::cl::init("auto")};
  ListOption<std::string> choices{
      *this, "choices",
      llvm::cl::desc("Ways to store a weight, e.g. b3-g128/gptq/slot1-impact")};
  ListOption<std::string> rowRatios{
      *this, "row-ratios",
      llvm::cl::desc("Shares of rows to store wider, SHARE[:BITS], as further "
                     "choices")};
  Option<std::string> method{*this, "method",
                             llvm::cl::desc("How the budget is spent"),
                             llvm::cl::init("exact")};
  Option<uint64_t> seed{*this, "seed", llvm::cl::desc("For method=random"),
                        llvm::cl::init(0)};
  Option<std::string> low{*this, "low",
                          llvm::cl::desc("Choice of less important blocks")};
  Option<std::string> high{*this, "high",
                           llvm::cl::desc("Choice of more important blocks")};
  Option<std::string> tie{
      *this, "tie",
      llvm::cl::desc("fused: weights that multiply one input share a choice"),
      llvm::cl::init("none")};
  Option<unsigned> curve{*this, "curve",
                         llvm::cl::desc("Points of the plan's curve"),
                         llvm::cl::init(25)};
  Option<bool> interactions{*this, "interactions",
                            llvm::cl::desc("Use the interactions measured"),
                            llvm::cl::init(true)};
  ListOption<std::string> floors{*this, "floor",
                                 llvm::cl::desc("REGEX:BITS, at least")};
  ListOption<std::string> ceilings{*this, "ceiling",
                                   llvm::cl::desc("REGEX:BITS, at most")};
  Option<bool> planOnly{*this, "plan-only",
                        llvm::cl::desc("Decide and verify, rewrite nothing"),
                        llvm::cl::init(false)};
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
  Option<bool> reuse{
      *this, "reuse",
      llvm::cl::desc("Keep quantized weights in the cache folder and take from "
                     "there what was made before"),
      llvm::cl::init(false)};
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
