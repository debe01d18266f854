//===- CQToLinalg.td - The cq dialect to linalg ------ -*- tablegen -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CONVERSION_CQTOLINALG_TD
#define CQ_CONVERSION_CQTOLINALG_TD

include "mlir/Pass/PassBase.td"

def ConvertCQToLinalg : Pass<"convert-cq-to-linalg"> {
  let summary = "The reference lowering: cq ops on tensors to linalg";
  let description = [{
    Rewrites every computing cq op into `linalg`, `tensor`, `arith`, `math` and
    `affine`, with the numbers of cq/Codec/ReferenceGemm.h bit for bit as long as
    reductions run in order (`convert-linalg-to-loops` does so). Nothing of the
    `cq` dialect is left, so that a stock `mlir-opt` or IREE reads the result; the
    generated code is for reading and testing, not for speed.

    Runs on tensors, before bufferization. `cq.observe` goes.
    `cq.extract_cherries` and `cq.quantize` with a scale search have no linalg
    form: `cq-materialize-parameters` evaluates them, and the pass fails if it
    finds one. `cq.launch` belongs to a later stage and is refused as well.

    Discardable attributes that are named or typed by the dialect (such as
    `cq.model` of a module) are dropped, because a stock tool refuses them.
  }];
  let options = [
    Option<"keepAttributes", "keep-attributes", "bool", "false",
           "Keep attributes of the cq dialect on other ops">,
  ];
  let statistics = [
    Statistic<"numOps", "ops", "cq ops lowered">,
    Statistic<"numAttributes", "attributes", "Attributes of the cq dialect dropped">];
  let dependentDialects = [
    "::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::tensor::TensorDialect"];
}

#endif // CQ_CONVERSION_CQTOLINALG_TD
