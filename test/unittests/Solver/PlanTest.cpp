//===- PlanTest.cpp - Plans survive their file, and nothing bad does ------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/UniformPlan.h"
#include "llvm/Support/FormatVariadic.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::cq;

static std::string errorOf(llvm::Error error) {
  return error ? llvm::toString(std::move(error)) : "";
}

static std::string text(const Plan &plan) {
  return llvm::formatv("{0:2}", plan.toJSON()).str();
}

static std::vector<WeightFacts> someFacts() {
  return {{"embedding", 1000, 576, true, true},
          {"blk.0.q", 576, 576, false, false},
          {"blk.0.down", 576, 1536, false, false}};
}

static Plan somePlan(const std::vector<WeightFacts> &facts) {
  UniformPlanOptions options;
  options.scheme = {3, 64, Grid::Symmetric, ScaleType::F16};
  options.cherryForm = CherryForm::Slot;
  return llvm::cantFail(solveUniform(facts, options));
}

TEST(PlanTest, FileRoundTrip) {
  Plan plan = somePlan(someFacts());
  auto again = Plan::fromJSON(text(plan), "p.json");
  ASSERT_TRUE(static_cast<bool>(again)) << llvm::toString(again.takeError());
  EXPECT_EQ(text(*again), text(plan));
  EXPECT_EQ(errorOf(verifyPlan(*again, someFacts())), "");
}

TEST(PlanTest, BothByteCountsAgreeOnRandomShapes) {
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) {
    auto extent = [&](int64_t most) {
      return 1 + static_cast<int64_t>(random() % most);
    };
    WeightFacts weight{"w", extent(300), extent(900), false, false};
    PlanEntry entry;
    entry.weight = "w";
    entry.n = weight.n;
    entry.k = weight.k;
    const unsigned bits[] = {2, 3, 4, 5, 6, 8};
    const int64_t groups[] = {0, 32, 64, 128};
    entry.scheme = {bits[random() % 6], groups[random() % 4],
                    random() % 2 ? Grid::Affine : Grid::Symmetric,
                    random() % 2 ? ScaleType::F16 : ScaleType::F32};
    entry.layout = random() % 2 ? LayoutKind::Panel16 : LayoutKind::Linear;
    const CherryForm forms[] = {CherryForm::None, CherryForm::Element,
                                CherryForm::Column, CherryForm::Slot};
    CherryForm form = forms[random() % 4];
    if (form != CherryForm::None)
      entry.cherries = CherrySpec::fromRatio(form, 1.0 / 256, entry.k);
    if (entry.cherries.numDeltas(entry.n, entry.k) == 0)
      entry.cherries = {};
    WideRows wide{WideRows::roundedCount(random() % 9, 8, entry.n),
                  entry.scheme.bits == 6 ? 8 : entry.scheme.bits + 1};
    if (random() % 2 && entry.scheme.bits < 8)
      entry.wide = wide;
    Plan plan;
    plan.entries.push_back(entry);
    EXPECT_EQ(errorOf(verifyPlan(plan, weight)), "");
  }
}

TEST(PlanTest, WideRowsTravelAndAreChecked) {
  std::vector<WeightFacts> facts = someFacts();
  UniformPlanOptions options;
  options.scheme = {3, 64, Grid::Symmetric, ScaleType::F16};
  options.rows = llvm::cantFail(RowShare::parse("1/8:4"));
  Plan plan = llvm::cantFail(solveUniform(facts, options));
  EXPECT_EQ(errorOf(verifyPlan(plan, facts)), "");
  // 36 panels: 4.5 of them, a half goes up; the embedding has none.
  EXPECT_EQ(plan.find("blk.0.q")->wide, (WideRows{80, 4}));
  EXPECT_FALSE(plan.find("embedding")->wide);
  EXPECT_EQ(plan.find("blk.0.q")->bytes(),
            80 * 576 / 2 + 496 * 576 * 3 / 8 + 576 * 9 * 2 + 576 * 2);
  auto again = Plan::fromJSON(text(plan), "p.json");
  ASSERT_TRUE(static_cast<bool>(again)) << llvm::toString(again.takeError());
  EXPECT_EQ(text(*again), text(plan));
  EXPECT_EQ(again->find("blk.0.q")->wide, (WideRows{80, 4}));
  for (WideRows bad : {WideRows{80, 3}, {80, 7}, {81, 4}, {576, 4}, {-16, 4}}) {
    Plan edited = plan;
    edited.entries[1].wide = bad;
    EXPECT_NE(errorOf(verifyPlan(edited, facts)).find("blk.0.q"),
              std::string::npos)
        << bad.count;
  }
  Plan edited = plan;
  edited.entries[0].scheme.bits = 3;
  edited.entries[0].wide = {16, 4};
  EXPECT_NE(errorOf(verifyPlan(edited, facts)).find("looked up"),
            std::string::npos);
}

TEST(PlanTest, PlansForAnotherModelAreRefused) {
  Plan plan = somePlan(someFacts());
  std::vector<WeightFacts> facts = someFacts();
  facts[1].k = 640;
  EXPECT_NE(errorOf(verifyPlan(plan, facts)).find("blk.0.q"),
            std::string::npos);
  facts = someFacts();
  facts.pop_back();
  EXPECT_NE(errorOf(verifyPlan(plan, facts)).find("blk.0.down"),
            std::string::npos);
  facts = someFacts();
  facts.push_back({"new", 16, 64, false, false});
  EXPECT_NE(errorOf(verifyPlan(plan, facts)).find("'new'"), std::string::npos);
}

TEST(PlanTest, MalformedFilesAreOneSentence) {
  const char *entry =
      R"({"weight":"w","shape":[16,64],"scheme":"b3-g64","quantizer":"rtn","layout":"panel16"%s})";
  auto wrap = [](std::string weights) {
    return R"({"cq_plan":1,"weights":[)" + weights + "]}";
  };
  auto with = [&](std::string extra) {
    std::string e = entry;
    return wrap(e.replace(e.find("%s"), 2, extra));
  };
  EXPECT_TRUE(static_cast<bool>(Plan::fromJSON(with(""), "p")));
  const std::pair<std::string, const char *> cases[] = {
      {"", ""},
      {"[]", "cq_plan"},
      {R"({"cq_plan":4,"weights":[]})", "version"},
      {R"({"cq_plan":1})", "weights"},
      {R"({"cq_plan":1,"weights":{}})", "weights"},
      {R"({"cq_plan":1,"weights":[],"extra":1})", "extra"},
      {wrap("7"), "entry 0"},
      {wrap(R"({"weight":"w"})"), "'w'"},
      {wrap(R"({"weight":"w","shape":[16,-1],"keep":true})"), "shape"},
      {wrap(R"({"weight":"w","shape":[9223372036854775807,2],"keep":true})"),
       "shape"},
      {wrap(R"({"weight":"w","shape":[16],"keep":true})"), "shape"},
      {wrap(R"({"weight":"w","shape":[16,64],"keep":1})"), "keep"},
      {with(R"(,"bits":3)"), "bits"},
      {with(R"(,"cherries":{"form":"slot","count":0,"criterion":"magnitude"})"),
       "count"},
      {with(R"(,"cherries":{"form":"pit","count":1,"criterion":"magnitude"})"),
       "pit"},
      {with(
           R"(,"cherries":{"form":"slot","count":1,"criterion":"magnitude","x":1})"),
       "x"},
      {with(R"(,"wide_rows":{"count":16,"bits":4})"), "fewer"},
      {with(R"(,"wide_rows":{"count":-16,"bits":4})"), "count"},
      {with(R"(,"wide_rows":{"count":1e30,"bits":4})"), "count"},
      {with(R"(,"wide_rows":{"count":16,"bits":16})"), "bits"},
      {with(R"(,"wide_rows":{"count":16,"bits":4,"x":1})"), "x"},
      {with(R"(,"wide_rows":16)"), "wide_rows"},
      {wrap(
           R"({"weight":"w","shape":[64,64],"scheme":"b3-g64","quantizer":"rtn","layout":"panel16","wide_rows":{"count":24,"bits":4}})"),
       "panels"},
      {wrap(
           R"({"weight":"w","shape":[64,64],"scheme":"b3-g64","quantizer":"rtn","layout":"panel16","wide_rows":{"count":16,"bits":3}})"),
       "more bits"},
      {wrap(
           R"({"weight":"w","shape":[16,64],"scheme":"b7-g64","quantizer":"rtn","layout":"linear"})"),
       "scheme"},
      {wrap(
           R"({"weight":"w","shape":[16,64],"scheme":"b3-g64","quantizer":"best","layout":"linear"})"),
       "best"},
      {wrap(
           R"({"weight":"w","shape":[1,1],"keep":true},{"weight":"w","shape":[1,1],"keep":true})"),
       "twice"},
      {R"({"cq_plan":1,"cq_plan":1,"weights":[]})", ""},
      {std::string(100000, '['), ""},
  };
  for (const auto &[file, word] : cases) {
    auto plan = Plan::fromJSON(file, "p");
    ASSERT_FALSE(static_cast<bool>(plan)) << file.substr(0, 200);
    std::string message = llvm::toString(plan.takeError());
    EXPECT_NE(message.find(word), std::string::npos) << message;
  }
}

TEST(PlanTest, AFileThatCannotBeWrittenIsASentence) {
  EXPECT_NE(errorOf(Plan().write("/nonexistent/p.json")).find("p.json"),
            std::string::npos);
}
