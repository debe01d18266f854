//===- RatioPlanTest.cpp - Measured losses become plans --- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/RatioPlan.h"
#include "cq/Support/BoundedJSON.h"
#include "llvm/Support/FormatVariadic.h"
#include "gtest/gtest.h"
#include <cmath>

using namespace mlir::cq;

static StorageChoice choice(llvm::StringRef text) {
  return llvm::cantFail(StorageChoice::parse(text));
}

/// Two blocks of v, k (one input) and o; the second block is ten times as
/// sensitive. And an embedding.
static std::vector<WeightFacts> makeFacts() {
  std::vector<WeightFacts> facts = {{"embedding", 1000, 128, true, false}};
  for (int b = 0; b < 2; ++b)
    for (const char *name : {"k", "v", "o"}) {
      WeightFacts fact{"blk." + std::to_string(b) + "." + name, 64, 128, false,
                       false};
      fact.fusedInput = name[0] == 'o' ? -1 : b;
      facts.push_back(fact);
    }
  return facts;
}

static Measurements makeMeasurements() {
  Measurements measurements;
  measurements.header.loss = "weight";
  for (const WeightFacts &fact : makeFacts()) {
    MeasuredWeight record;
    record.weight = fact.name;
    record.n = fact.n;
    record.k = fact.k;
    double scale = blockNumber(fact.name) == 1 ? 10 : 1;
    if (llvm::StringRef(fact.name).ends_with("v"))
      scale *= 3;
    for (unsigned bits : {2, 3, 4, 8})
      record.losses.push_back(
          {choice("b" + std::to_string(bits) + "-g64").str(),
           scale * std::exp2(-2.0 * bits)});
    record.zd = fact.k * 0.001 * scale;
    measurements.add(record);
  }
  return measurements;
}

static RatioPlanOptions makeOptions() {
  RatioPlanOptions options;
  for (unsigned bits : {2, 3, 4, 8})
    options.choices.push_back(choice("b" + std::to_string(bits) + "-g64"));
  options.outer = choice("b8-g64");
  options.bitsPerWeight = 3.5;
  return options;
}

TEST(StorageChoiceTest, TextRoundTripAndErrors) {
  EXPECT_EQ(choice("b3-g64").str(), "b3-g64-symmetric-f16/rtn");
  StorageChoice full = choice("b4-row-affine-bf16/gptq/slot2-impact");
  EXPECT_EQ(choice(full.str()).str(), full.str());
  EXPECT_EQ(full.cherries.count, 2);
  for (const char *bad :
       {"", "b9-g64", "b3-g64/none", "b3-g64/slot", "b3-g64/slot0-impact",
        "b3-g64/slot1", "b3-g64/slot1-luck", "b3-g64/slot99999999999-impact"})
    EXPECT_FALSE(static_cast<bool>(
        llvm::errorToBool(StorageChoice::parse(bad).takeError()) == false))
        << bad;
  StorageChoice mixed = choice("b3-g64+rows=2/16:4/gptq/slot1-impact");
  EXPECT_EQ(mixed.str(), "b3-g64-symmetric-f16+rows=1/8:b4/gptq/slot1-impact");
  EXPECT_EQ(choice(mixed.str()).str(), mixed.str());
  EXPECT_EQ(choice("b3-g64+rows=0.25:b8").str(),
            "b3-g64-symmetric-f16+rows=1/4:b8/rtn");
  for (const char *bad :
       {"b3-g64+rows=", "b3-g64+rows=1/8", "b3-g64+rows=1/8:b3",
        "b3-g64+rows=1/8:b2", "b3-g64+rows=1/8:b7", "b3-g64+rows=8/8:b4",
        "b3-g64+rows=-1/8:b4", "b3-g64+rows=1/0:b4", "b3-g64+rows=1.5:b4",
        "b3-g64+rows=1/8:b4x", "b3-g64+rows=1/8/9:b4", "+rows=1/8:b4",
        "b4-g64-half-step+rows=1/8:b5",
        "b3-g64+rows=1/99999999999999999999:b4"})
    EXPECT_TRUE(llvm::errorToBool(StorageChoice::parse(bad).takeError()))
        << bad;
  EXPECT_EQ(splitOverride("a:b:b3-g64+rows=1/8:b4/gptq"),
            std::make_pair(llvm::StringRef("a:b"),
                           llvm::StringRef("b3-g64+rows=1/8:b4/gptq")));
  EXPECT_EQ(splitOverride("attn_v:b4-g64").second, "b4-g64");
  EXPECT_EQ(splitOverride("attn_v").second, "");
  // Rounded to panels, a choice is found again among the candidates.
  PlanEntry entry = mixed.entryFor({"w", 192, 256});
  EXPECT_EQ(entry.wide, (WideRows{32, 4}));
  entry.candidates = {{"b3-g64/gptq/slot1-impact", 1, 1}, {mixed.str(), 2, 2}};
  EXPECT_EQ(chosenCandidate(entry), &entry.candidates[1]);
  auto list = llvm::cantFail(
      withRowShares({choice("b3-g64"), choice("b4-g64"), choice("b5-g64")},
                    {"0", "1/8", "1/2:8", "0.25:4"}));
  std::vector<std::string> texts;
  for (const StorageChoice &one : list)
    texts.push_back(one.str());
  EXPECT_EQ(texts, (std::vector<std::string>{
                       "b3-g64-symmetric-f16/rtn", "b4-g64-symmetric-f16/rtn",
                       "b5-g64-symmetric-f16/rtn",
                       "b3-g64-symmetric-f16+rows=1/8:b4/rtn",
                       "b4-g64-symmetric-f16+rows=1/8:b5/rtn",
                       "b3-g64-symmetric-f16+rows=1/2:b8/rtn",
                       "b4-g64-symmetric-f16+rows=1/2:b8/rtn",
                       "b3-g64-symmetric-f16+rows=1/4:b4/rtn"}));
  EXPECT_EQ(llvm::cantFail(parseByteCount("1.5kB")), 1500);
  EXPECT_EQ(llvm::cantFail(parseByteCount("2MiB")), 2 << 20);
  for (const char *bad : {"", "MB", "5 parsec", "-3", "1e30GB"})
    EXPECT_TRUE(llvm::errorToBool(parseByteCount(bad).takeError())) << bad;
}

TEST(RatioPlanTest, SensitiveWeightsGetMoreBitsWithinTheBudget) {
  std::vector<WeightFacts> facts = makeFacts();
  auto planner = llvm::cantFail(
      RatioPlanner::create(facts, makeMeasurements(), makeOptions()));
  Plan plan = llvm::cantFail(planner.plan());
  llvm::cantFail(verifyPlan(plan, facts));
  ASSERT_TRUE(plan.decision.has_value());
  int64_t bytes = 0;
  for (const PlanEntry &entry : plan.entries)
    if (!entry.candidates.empty())
      bytes += entry.bytes();
  EXPECT_EQ(bytes, plan.decision->bytes);
  EXPECT_LE(8.0 * bytes / (6 * 64 * 128), 3.5);
  EXPECT_GT(plan.find("blk.1.v")->scheme.bits,
            plan.find("blk.0.k")->scheme.bits);
  EXPECT_EQ(plan.find("embedding")->scheme.bits, 8u);
  EXPECT_NE(plan.find("blk.1.v")->reason.find("a byte"), std::string::npos);
}

TEST(RatioPlanTest, TiesPinsLimitsAndKeep) {
  std::vector<WeightFacts> facts = makeFacts();
  RatioPlanOptions options = makeOptions();
  options.bitsPerWeight = 4.0;
  options.tieFused = true;
  options.floors = {llvm::cantFail(WidthLimit::parse("blk\\.0\\.o:4"))};
  options.ceilings = {llvm::cantFail(WidthLimit::parse("blk\\.1:4"))};
  options.overrides = {{"blk\\.1\\.o", choice("b6-g32-affine/mse")}};
  auto planner =
      llvm::cantFail(RatioPlanner::create(facts, makeMeasurements(), options));
  Plan plan = llvm::cantFail(planner.plan());
  llvm::cantFail(verifyPlan(plan, facts));
  EXPECT_EQ(plan.find("blk.1.k")->scheme, plan.find("blk.1.v")->scheme);
  EXPECT_LE(plan.find("blk.1.v")->scheme.bits, 4u);
  EXPECT_GE(plan.find("blk.0.o")->scheme.bits, 4u);
  EXPECT_EQ(StorageChoice::of(*plan.find("blk.1.o")).str(),
            "b6-g32-affine-f16/mse");
}

TEST(RatioPlanTest, ABudgetInBytesCountsEverything) {
  std::vector<WeightFacts> facts = makeFacts();
  RatioPlanOptions options = makeOptions();
  options.bitsPerWeight.reset();
  options.otherBytes = 10000;
  options.bytes = 10000 + 1000 * 128 * 34 / 32 + 6 * 64 * 128 / 2;
  auto planner =
      llvm::cantFail(RatioPlanner::create(facts, makeMeasurements(), options));
  Plan plan = llvm::cantFail(planner.plan());
  EXPECT_LE(plan.totals().bytes + 10000, *options.bytes);
  // One byte below the least that can be reached.
  RatioRange range = planner.problem().range();
  options.bytes = range.smallest + planner.problem().offset;
  llvm::cantFail(
      llvm::cantFail(RatioPlanner::create(facts, makeMeasurements(), options))
          .plan());
  options.bytes = *options.bytes - 1;
  auto none =
      llvm::cantFail(RatioPlanner::create(facts, makeMeasurements(), options))
          .plan();
  EXPECT_TRUE(llvm::StringRef(llvm::toString(none.takeError()))
                  .contains("are reachable"));
}

TEST(RatioPlanTest, InteractionsOfTheFileEnterTheProblem) {
  Measurements measurements = makeMeasurements();
  MeasuredBlock block;
  block.block = "0";
  std::string two = choice("b2-g64").str();
  block.variables = {{"blk.0.o", two}, {"blk.0.v", two}};
  block.matrix = {0, 7, 7, 0};
  measurements.add(block);
  std::vector<WeightFacts> facts = makeFacts();
  RatioPlanOptions options = makeOptions();
  auto planner =
      llvm::cantFail(RatioPlanner::create(facts, measurements, options));
  std::vector<unsigned> all(6, 0);
  double with = planner.problem().value(all);
  options.interactions = false;
  planner = llvm::cantFail(RatioPlanner::create(facts, measurements, options));
  EXPECT_NEAR(with - planner.problem().value(all), 7, 1e-12);
}

/// A record over all blocks with the 3-bit choice of each layer: changes in a
/// plane, those of block 1 opposite to those of block 0.
static MeasuredBlock makeModelRecord(const Measurements &measurements) {
  MeasuredBlock record;
  record.block = "*";
  std::vector<std::pair<double, double>> changes;
  for (const MeasuredWeight &weight : measurements.weights) {
    if (blockNumber(weight.weight) < 0)
      continue;
    std::string probe = choice("b3-g64").str();
    record.variables.push_back({weight.weight, probe});
    double length = std::sqrt(*weight.find(probe)),
           angle = blockNumber(weight.weight) == 1 ? 3 : 0.1 * changes.size();
    changes.push_back({length * std::cos(angle), length * std::sin(angle)});
  }
  for (auto a : changes)
    for (auto c : changes)
      record.matrix.push_back(2 * (a.first * c.first + a.second * c.second));
  return record;
}

TEST(RatioPlanTest, AWholeModelsInteractionsAreScaledToEveryChoice) {
  Measurements measurements = makeMeasurements();
  measurements.add(makeModelRecord(measurements));
  RatioPlanner planner = llvm::cantFail(
      RatioPlanner::create(makeFacts(), measurements, makeOptions()));
  const RatioProblem &problem = planner.problem();
  ASSERT_TRUE(problem.gram.has_value());
  // All at 2 bits: changes are twice those at 3 bits.
  std::vector<unsigned> three(6), two(6);
  for (unsigned l = 0; l < 6; ++l)
    for (unsigned c = 0; c < problem.layers[l].choices.size(); ++c) {
      if (problem.layers[l].choices[c].bits == 2)
        two[l] = c;
      if (problem.layers[l].choices[c].bits == 3)
        three[l] = c;
    }
  double expected = 0;
  const MeasuredBlock &record = measurements.blocks.front();
  for (double entry : record.matrix)
    expected += entry / 2;
  EXPECT_NEAR(problem.value(three), expected, 1e-5 * expected);
  EXPECT_NEAR(problem.value(two), 4 * expected, 4e-5 * expected);
  Plan plan = llvm::cantFail(planner.plan());
  EXPECT_NE(plan.entries[1].reason.find("all other layers"), std::string::npos);
  EXPECT_TRUE(plan.decision->bound.has_value());

  // Methods that go by blocks see the same numbers.
  RatioPlanOptions options = makeOptions();
  options.solver.method = RatioMethod::Index;
  RatioPlanner index =
      llvm::cantFail(RatioPlanner::create(makeFacts(), measurements, options));
  EXPECT_EQ(index.problem().blocks.size(), 2u);
  EXPECT_NEAR(index.problem().value(three), expected, 1e-5 * expected);

  // And they can be left out.
  options = makeOptions();
  options.interactions = false;
  EXPECT_FALSE(
      llvm::cantFail(RatioPlanner::create(makeFacts(), measurements, options))
          .problem()
          .gram.has_value());
}

TEST(RatioPlanTest, AWholeModelsRecordThatIsNoGramMatrixIsRefused) {
  for (auto [at, value] : {std::pair<size_t, double>(0, -1), {1, 1e3}}) {
    Measurements measurements = makeMeasurements();
    MeasuredBlock record = makeModelRecord(measurements);
    record.matrix[at] = record.matrix[at * 6] = value;
    measurements.add(record);
    auto planner =
        RatioPlanner::create(makeFacts(), measurements, makeOptions());
    ASSERT_FALSE(bool(planner));
    EXPECT_TRUE(llvm::StringRef(llvm::toString(planner.takeError()))
                    .contains("not positive semidefinite"));
  }
}

TEST(RatioPlanTest, ScoresOrderBlocks) {
  std::vector<WeightFacts> facts = makeFacts();
  RatioPlanOptions options = makeOptions();
  options.solver.method = RatioMethod::Scores;
  options.blockScores = {{0, 5.0}, {1, 1.0}};
  options.bitsPerWeight = 3.8; // one block at 4.25, one at 3.25
  auto planner =
      llvm::cantFail(RatioPlanner::create(facts, makeMeasurements(), options));
  EXPECT_EQ(llvm::cantFail(planner.plan()).find("blk.0.o")->scheme.bits, 4u);
  options.blockScores.clear();
  auto refused = RatioPlanner::create(facts, makeMeasurements(), options);
  EXPECT_TRUE(llvm::StringRef(llvm::toString(refused.takeError()))
                  .contains("no score of block 0"));
}

TEST(RatioPlanTest, WhatIsMissingIsNamed) {
  std::vector<WeightFacts> facts = makeFacts();
  Measurements measurements = makeMeasurements();
  auto refuse = [&](const RatioPlanOptions &options, llvm::StringRef part) {
    auto planner = RatioPlanner::create(facts, measurements, options);
    std::string text = llvm::toString(planner.takeError());
    EXPECT_TRUE(llvm::StringRef(text).contains(part)) << text;
  };
  RatioPlanOptions options = makeOptions();
  options.choices.push_back(choice("b5-g64"));
  refuse(options, "no loss of weight 'blk.0.k' as b5-g64");
  options = makeOptions();
  options.keep = {"nothing"};
  refuse(options, "matches no weight");
  options = makeOptions();
  options.bytes = 5;
  refuse(options, "one budget");
  facts[1].n = 65;
  refuse(makeOptions(), "65x128");
}

TEST(RatioPlanTest, EditsByHandMayNotPassTheBudgetUnnoticed) {
  std::vector<WeightFacts> facts = makeFacts();
  Plan plan = llvm::cantFail(
      llvm::cantFail(
          RatioPlanner::create(facts, makeMeasurements(), makeOptions()))
          .plan());
  for (PlanEntry &entry : plan.entries)
    if (!entry.candidates.empty())
      entry.scheme.bits = 4;
  EXPECT_TRUE(llvm::StringRef(llvm::toString(verifyPlan(plan, facts)))
                  .contains("its own decision allows"));
  plan.decision.reset();
  llvm::cantFail(verifyPlan(plan, facts));
}

TEST(RatioPlanTest, TheRecordSurvivesTheFile) {
  std::vector<WeightFacts> facts = makeFacts();
  Plan plan = llvm::cantFail(
      llvm::cantFail(
          RatioPlanner::create(facts, makeMeasurements(), makeOptions()))
          .plan());
  std::string text = llvm::formatv("{0:2}", plan.toJSON());
  Plan back = llvm::cantFail(Plan::fromJSON(text, "memory"));
  EXPECT_EQ(llvm::formatv("{0:2}", back.toJSON()).str(), text);
  EXPECT_EQ(back.find("blk.1.v")->candidates.size(), 4u);
  EXPECT_EQ(back.decision->method, "exact");
}
