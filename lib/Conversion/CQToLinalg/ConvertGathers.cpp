//===- ConvertGathers.cpp - Rows of packed tables as linalg ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Patterns.h"
#include "cq/Conversion/CQToLinalg/CQToLinalg.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

using namespace mlir;
using namespace mlir::cq;

namespace {

/// Gathers only: GPUs have kernels for products, and linalg for the rest.
struct ConvertGathers
    : PassWrapper<ConvertGathers, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertGathers)
  StringRef getArgument() const override { return "cq-convert-gathers"; }
  StringRef getDescription() const override {
    return "cq.gather to linalg, other ops of the dialect stay";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<affine::AffineDialect, arith::ArithDialect,
                    linalg::LinalgDialect, scf::SCFDialect,
                    tensor::TensorDialect>();
  }
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    tolinalg::populateGatherPatterns(patterns);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace

std::unique_ptr<Pass> mlir::cq::createConvertGathers() {
  return std::make_unique<ConvertGathers>();
}
