//===- UniformPlanTest.cpp - Options become entries ----------* -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/UniformPlan.h"
#include "gtest/gtest.h"

using namespace mlir::cq;

static const WeightFacts facts[] = {{"embedding", 1000, 576, true, false},
                                    {"output", 1000, 576, false, true},
                                    {"blk.0.q", 576, 576, false, false},
                                    {"blk.0.k", 192, 576, false, false},
                                    {"blk.0.thin", 192, 64, false, false}};

static UniformPlanOptions threeBits() {
  UniformPlanOptions options;
  options.scheme = {3, 64, Grid::Symmetric, ScaleType::F16};
  return options;
}

TEST(UniformPlanTest, EmbeddingAndHeadKeepEightBits) {
  Plan plan = llvm::cantFail(solveUniform(facts, threeBits()));
  EXPECT_EQ(plan.find("embedding")->scheme.bits, 8u);
  EXPECT_EQ(plan.find("output")->scheme.bits, 8u);
  EXPECT_EQ(plan.find("blk.0.q")->scheme.bits, 3u);
  EXPECT_FALSE(plan.find("output")->reason.empty());
}

TEST(UniformPlanTest, OverridesBeatDefaultsAndKeepBeatsAll) {
  UniformPlanOptions options = threeBits();
  options.overrides = {
      llvm::cantFail(SchemeOverride::parse("^output$:b6-g32-affine-f16")),
      llvm::cantFail(SchemeOverride::parse("blk:b4-g128"))};
  options.keep = {"\\.k$"};
  Plan plan = llvm::cantFail(solveUniform(facts, options));
  EXPECT_EQ(plan.find("output")->scheme.str(), "b6-g32-affine-f16");
  EXPECT_EQ(plan.find("blk.0.q")->scheme.str(), "b4-g128-symmetric-f16");
  EXPECT_TRUE(plan.find("blk.0.k")->keep);
  EXPECT_EQ(plan.totals().keptWeights, 192 * 576);
}

TEST(UniformPlanTest, CherriesWhereThereIsRoom) {
  UniformPlanOptions options = threeBits();
  options.cherryForm = CherryForm::Slot;
  Plan plan = llvm::cantFail(solveUniform(facts, options));
  EXPECT_EQ(plan.find("blk.0.q")->cherries.count, 1);
  EXPECT_EQ(plan.find("blk.0.thin")->cherries.form, CherryForm::None);
  EXPECT_EQ(plan.find("output")->cherries.form, CherryForm::None);
}

TEST(UniformPlanTest, TotalsCountEveryByte) {
  Plan plan = llvm::cantFail(
      solveUniform(WeightFacts{"w", 576, 576, false, false}, threeBits()));
  // 3 bits and one f16 for 64 weights.
  EXPECT_DOUBLE_EQ(plan.totals().bitsPerWeight(), 3.25);
}

TEST(UniformPlanTest, MistakesAreNamed) {
  auto message = [&](const UniformPlanOptions &options) {
    auto plan = solveUniform(facts, options);
    return plan ? std::string() : llvm::toString(plan.takeError());
  };
  UniformPlanOptions options = threeBits();
  options.keep = {"no_such_weight"};
  EXPECT_NE(message(options).find("no_such_weight"), std::string::npos);
  options = threeBits();
  options.keep = {"(("};
  EXPECT_NE(message(options).find("(("), std::string::npos);
  options = threeBits();
  options.scheme.bits = 7;
  EXPECT_NE(message(options), "");
  options = threeBits();
  options.cherryForm = CherryForm::Slot;
  options.cherryRatio = 2;
  EXPECT_NE(message(options).find("ratio"), std::string::npos);
  for (const char *text : {"b4-g64", ":b4-g64", "x:b9-g64", "x:"}) {
    auto parsed = SchemeOverride::parse(text);
    EXPECT_FALSE(static_cast<bool>(parsed)) << text;
    llvm::consumeError(parsed.takeError());
  }
}
