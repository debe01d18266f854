//===- StatsShow.cpp - A statistics file for people and scripts -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StatsShow.h"
#include "ModelFile.h"
#include "cq/Stats/BlockWeights.h"
#include "cq/Stats/Scores.h"
#include "cq/Stats/Statistics.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/Progress.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>
#include <map>

using namespace mlir::cq;
using llvm::Error;
namespace json = llvm::json;

namespace {
struct TopColumn {
  int64_t column;
  double share; ///< of Σ x² over all columns
};

/// What is shown of one weight; absent numbers are none.
struct WeightLine {
  std::string weight;
  int64_t n = 0, k = 0, tokens = 0, sequences = 0;
  std::optional<double> meanSquare, maxMagnitude, fisherMean, hscore, condition;
  std::vector<TopColumn> top;
};
struct BlockLine {
  const BlockStatistics *block;
  std::optional<double> zd;
};
} // namespace

static void addMoments(WeightLine &line, const InputStatistics &input) {
  line.k = input.k;
  line.tokens = input.tokens;
  double all = 0;
  for (double sum : input.sumSquares)
    all += sum;
  line.meanSquare = all / double(input.tokens) / double(input.k);
  if (!input.maxMagnitude.empty())
    line.maxMagnitude = *llvm::max_element(input.maxMagnitude);
  std::vector<float> means = input.meanSquares();
  std::vector<int64_t> top = topPositions(means, 3);
  llvm::sort(top, [&](int64_t a, int64_t b) {
    return std::pair(-means[a], a) < std::pair(-means[b], b);
  });
  for (int64_t column : top)
    line.top.push_back({column, all > 0 ? input.sumSquares[column] / all : 0});
}

static Error addFisher(WeightLine &line, const FisherStatistics &fisher,
                       const StatisticsReader &reader) {
  line.n = fisher.n;
  line.k = fisher.k;
  line.sequences = fisher.sequences;
  auto means = reader.fisher(fisher.weight, fisher.n, fisher.k);
  if (!means)
    return means.takeError();
  double sum = 0;
  for (float mean : *means)
    sum += mean;
  line.fisherMean = sum / double(means->size());
  line.hscore = heterogeneityScore(*means);
  return Error::success();
}

static llvm::Expected<std::vector<WeightLine>>
weightLines(const StatisticsReader &reader, const std::string &pattern) {
  llvm::Regex regex(pattern.empty() ? "." : pattern);
  std::string why;
  if (!regex.isValid(why))
    return fail(quoted(pattern) + " is no regular expression: " + why);
  const Statistics &facts = reader.facts();
  std::vector<std::string> names;
  for (const InputStatistics &input : facts.inputs)
    names.insert(names.end(), input.weights.begin(), input.weights.end());
  for (const FisherStatistics &fisher : facts.fishers)
    if (!reader.hasInput(fisher.weight))
      names.push_back(fisher.weight);
  std::map<llvm::StringRef, const Statistics::WeightHash *> shapes;
  for (const Statistics::WeightHash &hash : facts.weightHashes)
    shapes[hash.weight] = &hash;

  std::vector<WeightLine> lines;
  for (const std::string &name : names) {
    if (!pattern.empty() && !regex.match(name))
      continue;
    WeightLine &line = lines.emplace_back();
    line.weight = name;
    if (auto it = shapes.find(name); it != shapes.end())
      line.n = it->second->n;
    if (const InputStatistics *input = facts.findInput(name))
      addMoments(line, *input);
    if (const FisherStatistics *fisher = facts.findFisher(name))
      if (Error error = addFisher(line, *fisher, reader))
        return std::move(error);
    // k³ / 3 products a matrix: only for those that were asked for.
    if (!pattern.empty() && reader.hasGram(name)) {
      auto gram = reader.gram(name, line.n, line.k);
      if (!gram)
        return gram.takeError();
      line.condition = conditionNumber(*gram, line.k);
    }
  }
  return lines;
}

static llvm::Expected<std::vector<BlockLine>>
blockLines(const Statistics &facts, const std::string &model) {
  std::vector<BlockLine> lines;
  std::map<int64_t, double> zd;
  if (!model.empty()) {
    auto file = tool::ModelFile::open(model);
    if (!file)
      return file.takeError();
    std::vector<std::string> measured;
    for (const InputStatistics &input : facts.inputs)
      measured.insert(measured.end(), input.weights.begin(),
                      input.weights.end());
    auto scores = zScoreShares(*file->archive, measured);
    if (!scores)
      return scores.takeError();
    zd = std::move(*scores);
  }
  for (const BlockStatistics &block : facts.blocks) {
    auto it = zd.find(block.block);
    lines.push_back(
        {&block, it == zd.end() ? std::nullopt : std::optional(it->second)});
  }
  return lines;
}

/// Four significant digits, as %g writes them.
static std::string number(std::optional<double> value) {
  if (!value)
    return "-";
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.4g", *value);
  return buffer;
}

static void printText(const StatisticsReader &reader,
                      llvm::ArrayRef<WeightLine> weights,
                      llvm::ArrayRef<BlockLine> blocks) {
  const Provenance &from = reader.provenance();
  llvm::raw_ostream &os = llvm::outs();
  os << "model      " << (from.model.empty() ? "unknown" : from.model) << '\n'
     << "options    " << from.options << '\n'
     << "Fisher     " << stringifyFisherKind(reader.fisherKind());
  if (reader.compactShare() > 0)
    os << ", compact store of the top " << number(100 * reader.compactShare())
       << " %";
  os << '\n';
  for (const Provenance::Data &data : from.data)
    os << "data       " << data.name << ", sequences " << data.first << " to "
       << data.first + data.sequences - 1 << ", hash " << data.hash << '\n';
  if (!weights.empty())
    os << llvm::formatv("\n{0,-32} {1,10} {2,10} {3,10} {4,10} {5,8} {6,10}  "
                        "{7}\n",
                        "weight", "tokens", "E[x^2]", "max |x|", "Fisher",
                        "HScore", "condition", "top columns: share of x^2");
  for (const WeightLine &line : weights) {
    std::string top;
    for (const TopColumn &column : line.top)
      top += llvm::formatv("{0}{1}: {2:f1} %", top.empty() ? "" : ", ",
                           column.column, 100 * column.share);
    os << llvm::formatv(
        "{0,-32} {1,10} {2,10} {3,10} {4,10} {5,8} {6,10}  {7}\n", line.weight,
        formatCount(line.tokens), number(line.meanSquare),
        number(line.maxMagnitude), number(line.fisherMean), number(line.hscore),
        number(line.condition), top);
  }
  if (!blocks.empty())
    os << llvm::formatv("\n{0,-32} {1,10} {2,10} {3,10} {4,10}\n", "block",
                        "tokens", "LIM token", "LIM flat", "ZD");
  for (const BlockLine &line : blocks)
    os << llvm::formatv("{0,-32} {1,10} {2,10} {3,10} {4,10}\n",
                        line.block->block, formatCount(line.block->tokens),
                        number(line.block->limToken()),
                        number(line.block->limFlat()), number(line.zd));
}

/// JSON has no infinity.
static json::Value numberOrNull(std::optional<double> value) {
  if (!value || !std::isfinite(*value))
    return nullptr;
  return *value;
}

static void printJSON(const StatisticsReader &reader,
                      llvm::ArrayRef<WeightLine> weights,
                      llvm::ArrayRef<BlockLine> blocks) {
  const Provenance &from = reader.provenance();
  json::Array data, weightArray, blockArray;
  for (const Provenance::Data &entry : from.data)
    data.push_back(json::Object{{"name", entry.name},
                                {"hash", entry.hash},
                                {"first", entry.first},
                                {"sequences", entry.sequences}});
  for (const WeightLine &line : weights) {
    json::Array top;
    for (const TopColumn &column : line.top)
      top.push_back(
          json::Object{{"column", column.column}, {"share", column.share}});
    weightArray.push_back(
        json::Object{{"weight", line.weight},
                     {"n", line.n},
                     {"k", line.k},
                     {"tokens", line.tokens},
                     {"mean_square", numberOrNull(line.meanSquare)},
                     {"max_magnitude", numberOrNull(line.maxMagnitude)},
                     {"sequences", line.sequences},
                     {"fisher_mean", numberOrNull(line.fisherMean)},
                     {"hscore_impact", numberOrNull(line.hscore)},
                     {"gram_condition", numberOrNull(line.condition)},
                     {"top_columns", std::move(top)}});
  }
  for (const BlockLine &line : blocks)
    blockArray.push_back(json::Object{{"block", line.block->block},
                                      {"tokens", line.block->tokens},
                                      {"lim_token", line.block->limToken()},
                                      {"lim_flat", line.block->limFlat()},
                                      {"zd", numberOrNull(line.zd)}});
  llvm::outs() << llvm::formatv(
      "{0:2}\n", json::Value(json::Object{
                     {"version", Statistics::version},
                     {"model", from.model},
                     {"tokenizer", from.tokenizer},
                     {"options", from.options},
                     {"fisher", stringifyFisherKind(reader.fisherKind())},
                     {"compact_share", reader.compactShare()},
                     {"data", std::move(data)},
                     {"weights", std::move(weightArray)},
                     {"blocks", std::move(blockArray)}}));
}

Error tool::showStatistics(const ShowOptions &options) {
  auto reader = StatisticsReader::open(options.file);
  if (!reader)
    return reader.takeError();
  auto weights = weightLines(**reader, options.weight);
  if (!weights)
    return weights.takeError();
  if (weights->empty() && !options.weight.empty())
    return fail("no weight in " + quoted(options.file) + " matches " +
                quoted(options.weight));
  auto blocks = blockLines((*reader)->facts(), options.model);
  if (!blocks)
    return blocks.takeError();
  (options.json ? printJSON : printText)(**reader, *weights, *blocks);
  return Error::success();
}
