//===- ReportTest.cpp - From files to a page ------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Report/Report.h"
#include "../Stats/SmallStatistics.h"
#include "cq/Codec/Quantizer.h"
#include "cq/Model/Parameters.h"
#include "cq/Solver/Plan.h"
#include "cq/Stats/Scores.h"

using namespace mlir::cq;
using namespace mlir::cq::test;

namespace {
/// One weight [32, 64] of block 0: model, planes, plan, two statistics.
class ReportFiles : public ::testing::Test {
protected:
  static constexpr int64_t n = 32, k = 64;
  const char *name = "blk.0.attn_q.weight";

  void SetUp() override {
    w = randomValues(n * k, 3);
    model = archive("model.safetensors", {{name, DType::F32, {n, k}}},
                    {w.data()}, {n * k * 4});
    PlanEntry entry;
    entry.weight = name;
    entry.n = n;
    entry.k = k;
    entry.scheme = llvm::cantFail(Scheme::parse("b3-g64-symmetric-f16"));
    entry.reason = "because <b>";
    plan.entries.push_back(entry);
    auto quantized = llvm::cantFail(
        quantizeWeight(w.data(), n, k, entry.scheme, QuantizerKind::RTN));
    decoded.resize(n * k);
    dequantizeWeight(quantized, nullptr, decoded.data());
    PackedWeight packed = packWeight(quantized, nullptr, entry.codeLayout());
    planes = archive("planes.safetensors",
                     {{std::string(name) + ":codes",
                       DType::I8,
                       {int64_t(packed.codes.size())}},
                      {std::string(name) + ":scales",
                       DType::F16,
                       {int64_t(packed.scales.size()) / 2}}},
                     {packed.codes.data(), packed.scales.data()},
                     {packed.codes.size(), packed.scales.size()});
    for (unsigned seed : {1, 2})
      readers.push_back(measure(seed));
  }

  std::unique_ptr<ParameterArchive>
  archive(const char *file, std::vector<SafetensorsWriter::Entry> entries,
          std::vector<const void *> data, std::vector<size_t> sizes) {
    std::string path = folder.file(file);
    auto writer = llvm::cantFail(SafetensorsWriter::create(path, entries));
    for (size_t i = 0; i < data.size(); ++i)
      EXPECT_FALSE(
          writer->append({static_cast<const uint8_t *>(data[i]), sizes[i]}));
    EXPECT_FALSE(writer->commit());
    return llvm::cantFail(ParameterArchive::open(path));
  }

  std::unique_ptr<StatisticsReader> measure(unsigned seed) {
    Statistics statistics;
    statistics.provenance.options = "tokens=4";
    statistics.provenance.data = {{"text", std::to_string(seed), 0, 1}};
    statistics.fisherKind = FisherKind::Sequence;
    InputStatistics &input = statistics.inputs.emplace_back();
    input.weights = {name};
    input.k = k;
    input.add(randomValues(4 * k, seed).data(), 4);
    statistics.fishers.push_back({name, n, k, 0, {}});
    statistics.fishers[0].addGradient(randomValues(n * k, seed + 10).data());
    BlockStatistics &block = statistics.blocks.emplace_back();
    block.add(randomValues(4 * k, 5).data(), randomValues(4 * k, seed).data(),
              4, k);
    statistics.weightHashes = {{name, hashWeight(w.data(), n, k), n, k}};
    std::string path = folder.file("stats" + llvm::Twine(seed));
    EXPECT_FALSE(statistics.write(path));
    return llvm::cantFail(StatisticsReader::open(path));
  }

  ReportInputs everything() {
    ReportInputs inputs;
    inputs.title = "a <model>";
    inputs.model = model.get();
    inputs.quantized = planes.get();
    inputs.planText = llvm::formatv("{0}", plan.toJSON());
    inputs.planPath = "plan.json";
    inputs.statistics = {readers[0].get(), readers[1].get()};
    return inputs;
  }

  TemporaryFolder folder;
  std::vector<float> w, decoded;
  std::unique_ptr<ParameterArchive> model, planes;
  Plan plan;
  std::vector<std::unique_ptr<StatisticsReader>> readers;
};
} // namespace

TEST_F(ReportFiles, NumbersAreThoseOfTheLibraries) {
  Report report = llvm::cantFail(collectReport(everything()));
  ASSERT_EQ(report.matrices.size(), 1u);
  const MatrixReport &matrix = report.matrices[0];
  EXPECT_EQ(matrix.block, 0);
  EXPECT_EQ(matrix.role, "attn_q");
  EXPECT_EQ(matrix.bits, 3.25);
  auto fisher = llvm::cantFail(readers[0]->fisher(name, n, k));
  EXPECT_EQ(matrix.impact, heterogeneityScore(fisher));
  EXPECT_EQ(matrix.magnitude, heterogeneityScore(magnitudeScores(w)));
  auto squares = llvm::cantFail(readers[0]->meanSquares(name, n, k));
  EXPECT_EQ(matrix.activation,
            heterogeneityScore(activationScores(w, squares)));
  double error = 0, size = 0;
  for (int64_t i = 0; i < n * k; ++i) {
    error += squares[i % k] * (double(w[i]) - decoded[i]) *
             (double(w[i]) - decoded[i]);
    size += double(squares[i % k]) * w[i] * w[i];
  }
  ASSERT_TRUE(matrix.error);
  EXPECT_NEAR(*matrix.error, error / size, 1e-9);
  auto top = [&](StatisticsReader &reader) {
    return topPositions(llvm::cantFail(reader.fisher(name, n, k)), n * k / 256);
  };
  EXPECT_EQ(matrix.overlap, overlap(top(*readers[0]), top(*readers[1])));
  ASSERT_EQ(report.blocks.size(), 1u);
  EXPECT_EQ(report.blocks[0].zd, zScoreShare({llvm::ArrayRef<float>(w)}));
  EXPECT_EQ(report.blocks[0].limToken,
            readers[0]->facts().blocks[0].limToken());
  ASSERT_TRUE(report.scatter);
  int64_t cherries = llvm::count_if(report.scatter->points,
                                    [](const auto &p) { return p.cherry; });
  EXPECT_EQ(cherries, n * k / 256);
}

TEST_F(ReportFiles, ThePageStandsAlone) {
  std::string page = renderReport(llvm::cantFail(collectReport(everything())));
  EXPECT_EQ(page.find("http"), std::string::npos);
  EXPECT_EQ(page.find(" src="), std::string::npos);
  EXPECT_EQ(page.find("<b>"), std::string::npos);
  EXPECT_NE(page.find("a &lt;model&gt;"), std::string::npos);
  EXPECT_NE(page.find("because &lt;b&gt;"), std::string::npos);
  for (const char *part :
       {"Heterogeneity", "Weights of blk.0.attn_q.weight", "Bits and error",
        "Blocks", "Do two calibrations agree?", "Decisions"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

TEST_F(ReportFiles, WhatIsMissingIsLeftOut) {
  ReportInputs inputs;
  inputs.statistics = {readers[0].get()};
  Report report = llvm::cantFail(collectReport(inputs));
  EXPECT_FALSE(report.scatter || report.matrices[0].magnitude);
  EXPECT_EQ(renderReport(report).find("Decisions"), std::string::npos);
  inputs = everything();
  inputs.statistics.clear();
  report = llvm::cantFail(collectReport(inputs));
  EXPECT_FALSE(report.weightedError || report.matrices[0].impact);
  EXPECT_TRUE(report.matrices[0].magnitude && report.matrices[0].error);
}

TEST_F(ReportFiles, OtherModelsAreRefused) {
  ReportInputs inputs = everything();
  w[0] += 1;
  auto other = archive("other.safetensors", {{name, DType::F32, {n, k}}},
                       {w.data()}, {n * k * 4});
  inputs.model = other.get();
  std::string text = llvm::toString(collectReport(inputs).takeError());
  EXPECT_NE(text.find("another model"), std::string::npos) << text;
  inputs = everything();
  inputs.quantized = model.get();
  text = llvm::toString(collectReport(inputs).takeError());
  EXPECT_NE(text.find("do not fit the plan"), std::string::npos) << text;
  inputs = everything();
  inputs.scatterWeight = "nothing";
  EXPECT_NE(llvm::toString(collectReport(inputs).takeError()), "");
}

TEST_F(ReportFiles, FieldsOfLaterPlansAreShown) {
  MatrixReport matrix;
  matrix.weight = "w";
  matrix.planned = true;
  matrix.reason = "cheapest";
  matrix.decision["candidates"] =
      llvm::json::Array{llvm::json::Object{{"bits", 3}, {"loss", 0.5}}};
  Report report;
  report.matrices.push_back(matrix);
  std::string page = renderReport(report);
  EXPECT_NE(page.find("<summary>cheapest</summary>"), std::string::npos);
  EXPECT_NE(page.find("<td>bits</td><td>loss</td></tr><tr><td>3</td>"
                      "<td>0.5</td>"),
            std::string::npos);
}
