//===- Collect.cpp - Numbers of a report ----------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Collect.h"
#include "cq/Stats/BlockWeights.h"
#include "cq/Stats/Scores.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Regex.h"
#include <cmath>

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

/// "attn_q" of blk.3.attn_q.weight: what follows the block's number.
static std::string roleOf(StringRef weight) {
  llvm::SmallVector<StringRef> parts(llvm::split(weight, '.'));
  if (parts.size() > 1 && parts.back() == "weight")
    parts.pop_back();
  for (auto [i, part] : llvm::enumerate(parts)) {
    int64_t number;
    if (!part.getAsInteger(10, number) && i + 1 < parts.size())
      return llvm::join(llvm::ArrayRef(parts).drop_front(i + 1), ".");
  }
  return llvm::join(parts, ".");
}

llvm::Expected<std::vector<float>>
mlir::cq::loadWeight(const ReportInputs &inputs, const MatrixReport &matrix) {
  std::vector<float> values;
  if (!inputs.model)
    return values;
  const ParameterInfo *info = inputs.model->find(matrix.weight);
  if (!info || info->shape.size() != 2 || info->shape[0] != matrix.n ||
      info->shape[1] != matrix.k)
    return fail(quoted(inputs.model->path()) + " has no weight " +
                quoted(matrix.weight) + " of shape [" + llvm::Twine(matrix.n) +
                ", " + llvm::Twine(matrix.k) +
                "]; give the model that was calibrated and quantized");
  values.resize(info->numElements());
  if (Error error =
          ParameterArchive::readAsF32(*info, values.data(), inputs.threads))
    return std::move(error);
  for (const StatisticsReader *reader : inputs.statistics)
    if (Error error = reader->checkWeight(matrix.weight, values.data(),
                                          matrix.n, matrix.k))
      return std::move(error);
  return values;
}

/// Adds rows for what was measured and is not in the plan.
static void addMeasured(const ReportInputs &inputs, Report &report) {
  llvm::StringMap<size_t> seen;
  for (auto [i, matrix] : llvm::enumerate(report.matrices))
    seen[matrix.weight] = i;
  auto add = [&](StringRef weight, int64_t n, int64_t k) {
    auto [it, inserted] = seen.try_emplace(weight, report.matrices.size());
    if (inserted)
      report.matrices.emplace_back().weight = weight.str();
    MatrixReport &matrix = report.matrices[it->second];
    matrix.n = matrix.n ? matrix.n : n;
    matrix.k = matrix.k ? matrix.k : k;
  };
  for (const StatisticsReader *reader : inputs.statistics) {
    const Statistics &facts = reader->facts();
    for (const FisherStatistics &fisher : facts.fishers)
      add(fisher.weight, fisher.n, fisher.k);
    for (const Statistics::WeightHash &hash : facts.weightHashes)
      if (reader->hasInput(hash.weight))
        add(hash.weight, hash.n, hash.k);
  }
}

static Error collectScores(const ReportInputs &inputs, MatrixReport &matrix) {
  const StatisticsReader *first =
      inputs.statistics.empty() ? nullptr : inputs.statistics.front();
  bool measured = llvm::any_of(inputs.statistics, [&](auto *reader) {
    return reader->hasInput(matrix.weight) || reader->hasFisher(matrix.weight);
  });
  // Embeddings and the like are no linear layers: nothing to compare.
  if (!measured && !(matrix.block && inputs.statistics.empty()))
    return Error::success();
  auto w = loadWeight(inputs, matrix);
  if (!w)
    return w.takeError();
  if (!w->empty()) {
    matrix.magnitude = heterogeneityScore(magnitudeScores(*w));
    if (first && first->hasInput(matrix.weight)) {
      auto squares = first->meanSquares(matrix.weight, matrix.n, matrix.k);
      if (!squares)
        return squares.takeError();
      matrix.activation = heterogeneityScore(activationScores(*w, *squares));
    }
  }
  std::vector<std::vector<int64_t>> tops;
  for (const StatisticsReader *reader : inputs.statistics) {
    if (!reader->hasFisher(matrix.weight))
      continue;
    auto fisher = reader->fisher(matrix.weight, matrix.n, matrix.k);
    if (!fisher)
      return fisher.takeError();
    if (reader == first)
      matrix.impact = heterogeneityScore(*fisher);
    if (inputs.statistics.size() > 1)
      tops.push_back(topPositions(
          *fisher, std::max<int64_t>(1, matrix.n * matrix.k / cherryShare)));
  }
  if (tops.size() == 2)
    matrix.overlap = overlap(tops[0], tops[1]);
  return Error::success();
}

static Error collectBlocks(const ReportInputs &inputs, Report &report) {
  std::map<int64_t, BlockReport> blocks;
  if (!inputs.statistics.empty())
    for (const BlockStatistics &block :
         inputs.statistics.front()->facts().blocks) {
      blocks[block.block].limToken = block.limToken();
      blocks[block.block].limFlat = block.limFlat();
    }
  if (inputs.model) {
    std::vector<std::string> weights;
    for (const MatrixReport &matrix : report.matrices)
      if (matrix.block)
        weights.push_back(matrix.weight);
    auto zd = zScoreShares(*inputs.model, weights, false, inputs.threads);
    if (!zd)
      return zd.takeError();
    for (auto [block, share] : *zd)
      blocks[block].zd = share;
  }
  for (auto &[number, block] : blocks) {
    block.block = number;
    report.blocks.push_back(block);
  }
  return Error::success();
}

static void addProvenance(const ReportInputs &inputs, Report &report) {
  for (auto [i, reader] : llvm::enumerate(inputs.statistics)) {
    int64_t sequences = 0;
    std::string texts;
    for (const Provenance::Data &data : reader->provenance().data) {
      sequences += data.sequences;
      texts += (texts.empty() ? "" : ", ") + data.name;
    }
    std::string name = "Statistics";
    if (inputs.statistics.size() > 1)
      name += i == 0 ? " A" : " B";
    report.facts.emplace_back(name, std::to_string(sequences) +
                                        " sequences of " + texts + " (" +
                                        reader->provenance().options + ")");
  }
}

/// The matrix to sample: the first that matches, else the one whose impact is
/// most uneven.
static llvm::Expected<const MatrixReport *>
chooseScatter(const ReportInputs &inputs, const Report &report) {
  llvm::Regex regex(inputs.scatterWeight.empty() ? "." : inputs.scatterWeight);
  std::string why;
  if (!regex.isValid(why))
    return fail(quoted(inputs.scatterWeight) +
                " is no regular expression: " + why);
  const MatrixReport *best = nullptr;
  for (const MatrixReport &matrix : report.matrices) {
    if (!matrix.impact || !std::isfinite(*matrix.impact))
      continue;
    if (!inputs.scatterWeight.empty()) {
      if (regex.match(matrix.weight))
        return &matrix;
    } else if (!best || *matrix.impact > *best->impact) {
      best = &matrix;
    }
  }
  if (!inputs.scatterWeight.empty())
    return fail("no weight with a Fisher matrix matches " +
                quoted(inputs.scatterWeight) +
                "; `cq stats show` lists those measured");
  return best;
}

llvm::Expected<Report> mlir::cq::collectReport(const ReportInputs &inputs) {
  if (inputs.statistics.size() > 2)
    return fail("a report compares two statistics files, not " +
                llvm::Twine(inputs.statistics.size()));
  Report report;
  report.title = inputs.title;
  report.facts = inputs.facts;
  if (!inputs.planText.empty())
    if (Error error = collectPlan(inputs, report))
      return std::move(error);
  addMeasured(inputs, report);
  for (MatrixReport &matrix : report.matrices) {
    matrix.block = blockOfWeight(matrix.weight);
    matrix.role = roleOf(matrix.weight);
    if (Error error = collectScores(inputs, matrix))
      return std::move(error);
  }
  if (!inputs.planText.empty() && inputs.model && inputs.quantized)
    if (Error error = collectErrors(inputs, report))
      return std::move(error);
  if (Error error = collectBlocks(inputs, report))
    return std::move(error);
  addProvenance(inputs, report);
  auto chosen = chooseScatter(inputs, report);
  if (!chosen)
    return chosen.takeError();
  if (*chosen && inputs.model) {
    auto scatter = collectScatter(inputs, **chosen);
    if (!scatter)
      return scatter.takeError();
    report.scatter = std::move(*scatter);
  }
  return report;
}
