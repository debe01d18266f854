//===- InPlaceTest.cpp - Caches are updated where they lie ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestModels.h"
#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/FuncBufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotModuleBufferize.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/MLProgram/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/IR/MLIRContext.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::test;

namespace {

/// One-shot bufferization takes no extern global: give every weight zeros.
void defineWeights(ModuleOp module) {
  module.walk([](ml_program::GlobalOp global) {
    auto type = cast<RankedTensorType>(global.getType());
    global.setValueAttr(DenseElementsAttr::get(type, 0.0f));
  });
}

LogicalResult bufferize(ModuleOp module) {
  bufferization::OneShotBufferizationOptions options;
  options.bufferizeFunctionBoundaries = true;
  options.setFunctionBoundaryTypeConversion(
      bufferization::LayoutMapOption::IdentityLayoutMap);
  bufferization::BufferizationState state;
  return bufferization::runOneShotModuleBufferize(module, options, state);
}

DialectRegistry bufferizable() {
  DialectRegistry registry;
  registry.insert<bufferization::BufferizationDialect, memref::MemRefDialect>();
  arith::registerBufferizableOpInterfaceExternalModels(registry);
  bufferization::func_ext::registerBufferizableOpInterfaceExternalModels(
      registry);
  linalg::registerBufferizableOpInterfaceExternalModels(registry);
  ml_program::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerBufferizableOpInterfaceExternalModels(registry);
  return registry;
}

} // namespace

class InPlace : public ::testing::TestWithParam<bool> {};

TEST_P(InPlace, NoCopyAndNoAllocationOfTheCache) {
  MLIRContext context(bufferizable());
  ModelConfig config = GetParam() ? storiesConfig() : qwenConfig();
  auto module = importLlama(context, makeSource(config));
  ASSERT_TRUE(module);
  context.loadAllAvailableDialects();
  defineWeights(*module);
  ASSERT_TRUE(succeeded(bufferize(*module)));

  // Logits may be larger than a cache; they are what @logits_64 is for.
  int64_t layer = 512 * config.kvHeads * config.headDim, copies = 0;
  for (auto function : module->getOps<func::FuncOp>()) {
    if (function.getName().starts_with("logits"))
      continue;
    function.walk([&](memref::AllocOp alloc) {
      if (alloc.getType().hasStaticShape())
        EXPECT_LT(alloc.getType().getNumElements(), layer)
            << function.getName().str();
    });
    function.walk([&](memref::CopyOp copy) {
      auto type = cast<MemRefType>(copy.getTarget().getType());
      ASSERT_TRUE(type.hasStaticShape());
      EXPECT_LE(type.getDimSize(0), 64) << "rows of the largest chunk";
      ++copies;
    });
  }
  EXPECT_GT(copies, 0) << "the new rows themselves";

  // What a block returns are its arguments x, kcache, vcache.
  auto block = module->lookupSymbol<func::FuncOp>("block_0_1");
  auto results = block.front().getTerminator()->getOperands();
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0], block.getArgument(0));
  EXPECT_EQ(results[1], block.getArgument(5));
  EXPECT_EQ(results[2], block.getArgument(6));
}

INSTANTIATE_TEST_SUITE_P(Pairs, InPlace, ::testing::Bool(),
                         [](const auto &info) {
                           return info.param ? "interleaved" : "halves";
                         });
