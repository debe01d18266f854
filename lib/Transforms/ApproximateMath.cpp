//===- ApproximateMath.cpp - exp, tanh, log, erf as polynomials -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Transforms/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace mlir::cq {
#define GEN_PASS_DEF_APPROXIMATEMATH
#include "cq/Transforms/Passes.h.inc"
} // namespace mlir::cq

using namespace mlir;
using namespace mlir::cq;

void mlir::cq::populateApproximateMathPatterns(RewritePatternSet &patterns) {
  populateMathPolynomialApproximationPatterns(patterns, [](StringRef name) {
    return llvm::is_contained(
        {math::ExpOp::getOperationName(), math::TanhOp::getOperationName(),
         math::LogOp::getOperationName(), math::ErfOp::getOperationName()},
        name);
  });
}

namespace {
struct ApproximateMathPass
    : mlir::cq::impl::ApproximateMathBase<ApproximateMathPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateApproximateMathPatterns(patterns);
    // Folding would propagate constants through the whole function again; only
    // the math ops need a visit.
    GreedyRewriteConfig config;
    config.enableFolding(false);
    if (failed(
            applyPatternsGreedily(getOperation(), std::move(patterns), config)))
      signalPassFailure();
  }
};
} // namespace
