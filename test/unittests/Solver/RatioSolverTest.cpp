//===- RatioSolverTest.cpp - Answers against brute force --------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/RatioSolver.h"
#include "RatioProblems.h"
#include "gtest/gtest.h"

using namespace mlir::cq;

/// Budgets from the smallest reachable to the largest, both included, and one
/// in the last tenth of a step.
static std::vector<int64_t> budgets(const RatioProblem &problem, int steps) {
  RatioRange range = problem.range();
  std::vector<int64_t> result;
  for (int i = 0; i <= steps; ++i)
    result.push_back(range.smallest +
                     (range.largest - range.smallest) * i / steps +
                     problem.offset);
  return result;
}

static void expectOptimal(RatioProblem problem, int steps, const char *what,
                          uint64_t seed) {
  RatioFronts fronts = llvm::cantFail(RatioFronts::build(problem, 1));
  for (int64_t budget : budgets(problem, steps)) {
    problem.budget = budget;
    RatioSolution solution = llvm::cantFail(fronts.solve(budget));
    llvm::cantFail(problem.verify(solution));
    double best = bruteForce(problem);
    EXPECT_NEAR(solution.value, best, 1e-10)
        << what << " seed " << seed << " budget " << budget;
    EXPECT_LE(solution.gap(), 1e-9) << what << " seed " << seed;
  }
}

TEST(RatioSolverTest, ExactEqualsBruteForce) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    RandomProblem shape;
    expectOptimal(makeRandom(shape, seed), 7, "plain", seed);
    shape.interaction = 3; // far from definite
    expectOptimal(makeRandom(shape, seed), 7, "indefinite", seed);
    shape.interaction = 0;
    expectOptimal(makeRandom(shape, seed), 7, "separable", seed);
  }
}

TEST(RatioSolverTest, ExactEqualsBruteForceWithTies) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    RandomProblem shape;
    shape.ties = true;
    shape.interaction = 0.5;
    expectOptimal(makeRandom(shape, seed), 11, "ties", seed);
    shape.blocks = 3;
    shape.layersPerBlock = 2;
    shape.interaction = 0;
    expectOptimal(makeRandom(shape, seed), 11, "separable ties", seed);
  }
}

TEST(RatioSolverTest, ExactEqualsBruteForceUnderConstraints) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    RandomProblem shape;
    shape.layersPerBlock = 4;
    shape.tied = true;
    shape.interaction = 1;
    RatioProblem problem = makeRandom(shape, seed);
    problem.offset = 777;
    problem.layers[seed % 8].pin = seed % 3;
    problem.layers[(seed + 2) % 8].floor = 3;
    problem.layers[(seed + 5) % 8].ceiling = 3;
    if (llvm::Error error = problem.check()) { // a tied pair may clash
      llvm::consumeError(std::move(error));
      continue;
    }
    expectOptimal(problem, 9, "constrained", seed);
  }
}

TEST(RatioSolverTest, CoupledBlocksAreExactWhereTheyCanBeEnumerated) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    RandomProblem shape;
    shape.couplings = 5;
    expectOptimal(makeRandom(shape, seed), 5, "couplings", seed);
    shape.gramDimension = 4;
    expectOptimal(makeRandom(shape, seed), 5, "gram", seed);
  }
}

/// The losses of the cheapest choices: interactions may bring values near 0.
static double sizeOf(const RatioProblem &problem) {
  double sum = 0;
  for (const RatioLayer &layer : problem.layers)
    sum += layer.choices.front().loss;
  return sum;
}

TEST(RatioSolverTest, BoundIsBelowAndRepairAboveTheOptimum) {
  double worst = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    RandomProblem shape;
    shape.couplings = seed % 3 * 4;
    shape.gramDimension = seed % 2 * 3;
    shape.interaction = seed % 5 == 4 ? 3 : 0.3;
    shape.tied = seed % 7 == 0;
    RatioProblem problem = makeRandom(shape, seed);
    RatioOptions options;
    options.method = RatioMethod::Bound;
    for (int64_t budget : budgets(problem, 5)) {
      problem.budget = budget;
      RatioSolution solution = llvm::cantFail(solveRatios(problem, options));
      double best = bruteForce(problem);
      EXPECT_LE(solution.bound, best + 1e-9) << "seed " << seed;
      EXPECT_GE(solution.value, best - 1e-9) << "seed " << seed;
      worst = std::max(worst, (solution.value - best) / sizeOf(problem));
    }
  }
  EXPECT_LT(worst, 0.01) << "repair should come near the optimum";
}

TEST(RatioSolverTest, BaselinesKeepBudgetsAndGroups) {
  RandomProblem shape;
  shape.blocks = 6;
  shape.tied = true;
  RatioProblem problem = makeRandom(shape, 5);
  RatioRange range = problem.range();
  problem.budget = (3 * range.smallest + 2 * range.largest) / 5;
  RatioOptions options;
  double exact = llvm::cantFail(solveRatios(problem, options)).value;
  options.scores = {3, 1, 4, 1, 5, 9};
  for (RatioMethod method :
       {RatioMethod::Greedy, RatioMethod::Uniform, RatioMethod::Scores,
        RatioMethod::Index, RatioMethod::Reverse, RatioMethod::Random}) {
    options.method = method;
    RatioSolution solution = llvm::cantFail(solveRatios(problem, options));
    EXPECT_GE(solution.value, exact - 1e-12)
        << stringifyRatioMethod(method).str();
  }
}

TEST(RatioSolverTest, TwoLevelsFollowTheScores) {
  RandomProblem shape;
  shape.blocks = 4;
  shape.interaction = 0;
  RatioProblem problem = makeRandom(shape, 1);
  RatioOptions options;
  options.method = RatioMethod::Scores;
  options.low = "b2";
  options.high = "b4";
  options.scores = {0, 2, 1, -1};
  std::vector<unsigned> wanted(12, 0);
  std::fill(wanted.begin() + 3, wanted.begin() + 9, 2);
  problem.budget = problem.cost(wanted);
  EXPECT_EQ(llvm::cantFail(solveRatios(problem, options)).choices, wanted);
  problem.budget -= 1; // one block less
  std::fill(wanted.begin() + 6, wanted.end(), 0);
  EXPECT_EQ(llvm::cantFail(solveRatios(problem, options)).choices, wanted);
}

TEST(RatioSolverTest, SameAnswerAtAnyThreadCount) {
  RandomProblem shape;
  shape.blocks = 9;
  shape.ties = true;
  RatioProblem problem = makeRandom(shape, 3);
  RatioRange range = problem.range();
  problem.budget = (range.smallest + range.largest) / 2;
  RatioOptions options;
  options.threads = 1;
  std::vector<unsigned> one =
      llvm::cantFail(solveRatios(problem, options)).choices;
  options.threads = 7;
  EXPECT_EQ(llvm::cantFail(solveRatios(problem, options)).choices, one);
}

TEST(RatioSolverTest, BudgetsBelowTheReachableNameTheRange) {
  RatioProblem problem = makeRandom({}, 2);
  problem.offset = 1000;
  RatioRange range = problem.range();
  problem.budget = range.smallest + 1000;
  EXPECT_EQ(llvm::cantFail(solveRatios(problem)).cost, range.smallest);
  problem.budget -= 1;
  for (RatioMethod method : {RatioMethod::Exact, RatioMethod::Bound,
                             RatioMethod::Greedy, RatioMethod::Index}) {
    RatioOptions options;
    options.method = method;
    auto solution = solveRatios(problem, options);
    ASSERT_FALSE(static_cast<bool>(solution));
    std::string text = llvm::toString(solution.takeError());
    EXPECT_NE(text.find(std::to_string(range.smallest + 1000) + " to " +
                        std::to_string(range.largest + 1000) + " bytes"),
              std::string::npos)
        << text;
  }
}

TEST(RatioSolverTest, TooLargeABlockFallsBackToABound) {
  RandomProblem shape;
  shape.blocks = 1;
  shape.layersPerBlock = 40;
  shape.interaction = 0.01;
  RatioProblem problem = makeRandom(shape, 4);
  RatioRange range = problem.range();
  problem.budget = (range.smallest + range.largest) / 2;
  EXPECT_TRUE(
      llvm::StringRef(llvm::toString(RatioFronts::build(problem).takeError()))
          .contains("method=bound"));
  RatioSolution solution = llvm::cantFail(solveRatios(problem));
  EXPECT_LE(solution.bound, solution.value);
  EXPECT_GT(solution.bound, 0.6 * solution.value);
}
