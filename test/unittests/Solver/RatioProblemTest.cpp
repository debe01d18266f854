//===- RatioProblemTest.cpp - Checks and verification -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/RatioProblem.h"
#include "RatioProblems.h"
#include "cq/Solver/RatioSolver.h"
#include "cq/Support/BoundedJSON.h"
#include "llvm/Support/FormatVariadic.h"
#include "gtest/gtest.h"

using namespace mlir::cq;

static void expectRefused(const RatioProblem &problem, llvm::StringRef part) {
  std::string text = llvm::toString(problem.check());
  EXPECT_TRUE(llvm::StringRef(text).contains(part)) << text;
}

TEST(RatioProblemTest, RefusesWhatIsNoProblem) {
  RatioProblem good = makeRandom({}, 0), bad = good;
  llvm::cantFail(good.check());
  expectRefused(RatioProblem(), "no layers");
  bad.layers[1].choices.clear();
  expectRefused(bad, "layer 'blk.0.l1' has no choices");
  bad = good;
  bad.layers[1].choices[2].loss = std::nan("");
  expectRefused(bad, "not finite");
  bad = good;
  bad.layers[1].choices[2].cost = -1;
  expectRefused(bad, "below 0");
  bad = good;
  for (RatioLayer &layer : bad.layers)
    layer.choices[0].cost = int64_t(1) << 53;
  expectRefused(bad, "exceed 2^53");
  bad = good;
  bad.layers[0].pin = 3;
  expectRefused(bad, "pinned to choice 3");
  bad = good;
  bad.layers[0].floor = 9;
  expectRefused(bad, "leave no choice");
  bad = good;
  bad.groups = {{0, 1}, {1, 2}};
  expectRefused(bad, "two groups");
  bad = good;
  bad.groups = {{0, 1}};
  bad.layers[0].pin = 0;
  bad.layers[1].pin = 1;
  expectRefused(bad, "leave no choice");
  bad = good;
  bad.blocks[1].layers[0] = 0;
  expectRefused(bad, "two blocks");
  bad = good;
  bad.blocks[0].layers[0] = 100;
  expectRefused(bad, "names layer 100");
  bad = good;
  bad.blocks[0].matrix.pop_back();
  expectRefused(bad, "80 entries where 9 choices need 81");
  bad = good;
  bad.blocks[0].matrix[3] += 1;
  expectRefused(bad, "not symmetric");
  bad = good;
  bad.blocks[0].matrix[0] = bad.layers[0].choices[0].loss;
  expectRefused(bad, "twice the loss");
  bad = good;
  bad.couplings = {{0, 0, 1, 0, 1.0}};
  expectRefused(bad, "matrix covers");
  bad = good;
  bad.gram = RatioGram{3, 1.0, std::vector<float>(5)};
  expectRefused(bad, "Gram");
}

TEST(RatioProblemTest, TheDiagonalMayHoldTwiceTheLoss) {
  RatioProblem problem = makeRandom({}, 0);
  std::vector<unsigned> choices = {0, 1, 2, 2, 1, 0};
  double value = problem.value(choices);
  for (RatioBlock &block : problem.blocks) {
    size_t a = 0;
    for (unsigned layer : block.layers)
      for (const RatioChoice &choice : problem.layers[layer].choices) {
        block.matrix[a * 9 + a] = 2 * choice.loss;
        ++a;
      }
  }
  llvm::cantFail(problem.check());
  EXPECT_EQ(problem.value(choices), value);
}

TEST(RatioProblemTest, ValueIsHalfTheQuadraticForm) {
  RatioProblem problem = makeRandom({}, 7);
  std::vector<unsigned> choices = {2, 1, 0, 0, 1, 2};
  double expected = 0;
  for (size_t b = 0; b < 2; ++b) {
    // ½ δᵀ M δ with the diagonal filled in.
    const RatioBlock &block = problem.blocks[b];
    for (size_t i = 0; i < 3; ++i)
      for (size_t j = 0; j < 3; ++j) {
        size_t a = 3 * i + choices[3 * b + i], c = 3 * j + choices[3 * b + j];
        expected += 0.5 * (i == j ? 2 * problem.layers[3 * b + i]
                                            .choices[choices[3 * b + i]]
                                            .loss
                                  : block.matrix[a * 9 + c]);
      }
  }
  EXPECT_NEAR(problem.value(choices), expected, 1e-12);
}

TEST(RatioProblemTest, VerifyRefusesEveryKindOfWrongAnswer) {
  RandomProblem shape;
  shape.tied = true;
  RatioProblem problem = makeRandom(shape, 3);
  RatioRange range = problem.range();
  problem.budget = (range.smallest + range.largest) / 2;
  RatioSolution good = llvm::cantFail(solveRatios(problem)), bad = good;
  auto expect = [&](llvm::StringRef part) {
    std::string text = llvm::toString(problem.verify(bad));
    EXPECT_TRUE(llvm::StringRef(text).contains(part)) << text;
    bad = good;
  };
  bad.choices.pop_back();
  expect("one choice a layer");
  bad.choices[2] = 3;
  expect("unknown choice");
  bad.choices[0] = (bad.choices[0] + 1) % 3;
  expect("different choices");
  bad.cost += 1;
  expect("states");
  bad.value *= 1.001;
  expect("states the value");
  bad.bound = bad.value + 1;
  expect("lower bound above");
  problem.budget = good.cost - 1;
  expect("over the budget");
  problem.budget = good.cost;
  problem.layers[2].pin = (good.choices[2] + 1) % 3;
  expect("pin");
  problem.layers[2].pin.reset();
  problem.layers[2].floor = 100;
  expect("floor and ceiling");
}

TEST(RatioProblemTest, JSONRoundTrip) {
  RandomProblem shape;
  shape.tied = true;
  shape.couplings = 3;
  shape.gramDimension = 2;
  RatioProblem problem = makeRandom(shape, 3);
  problem.layers[0].pin = 1;
  problem.layers[2].floor = 3;
  problem.budget = 12345;
  std::string text = llvm::formatv("{0}", problem.toJSON());
  RatioProblem back = llvm::cantFail(RatioProblem::fromJSON(
      llvm::cantFail(parseBoundedJSON(text, "memory")), "memory"));
  EXPECT_EQ(llvm::formatv("{0}", back.toJSON()).str(), text);
  std::vector<unsigned> choices = {1, 1, 2, 0, 0, 1};
  EXPECT_EQ(back.value(choices), problem.value(choices));
}

TEST(RatioProblemTest, HostileJSONIsAnError) {
  auto refuse = [](llvm::StringRef text, llvm::StringRef part) {
    auto problem = RatioProblem::fromJSON(
        llvm::cantFail(parseBoundedJSON(text, "memory")), "memory");
    std::string message = llvm::toString(problem.takeError());
    EXPECT_TRUE(llvm::StringRef(message).contains(part)) << message;
  };
  refuse("[]", "cq_ratio_problem");
  refuse(R"({"cq_ratio_problem": 1})", "'layers'");
  refuse(R"({"cq_ratio_problem": 1, "layers": [3]})", "layer 0");
  refuse(R"({"cq_ratio_problem": 1, "layers": [], "typo": 1})", "'typo'");
  std::string layer = R"("layers": [{"name": "a", "choices":
                       [{"cost": 1, "loss": 2}]}])";
  refuse(R"({"cq_ratio_problem": 1, "blocks": [{"layers": [1]}], )" + layer +
             "}",
         "block 0");
  refuse(R"({"cq_ratio_problem": 1, "groups": [[-1]], )" + layer + "}",
         "groups");
  refuse(R"({"cq_ratio_problem": 1, "couplings": [[0,0,0,0]], )" + layer + "}",
         "couplings");
  refuse(R"({"cq_ratio_problem": 1, "gram": {"vectors": [[]]}, )" + layer + "}",
         "gram");
  refuse(R"({"cq_ratio_problem": 1, "layers":
          [{"name": "a", "choices": [{"cost": -1, "loss": 2}]}]})",
         "'cost'");
}
