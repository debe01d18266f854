//===- CheckStatistics.cpp - What no calibration can give -----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Checks.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>
#include <limits>
#include <map>

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

static const char *const again = "; calibrate again";

/// Extents that fit 31 bits keep every product below 2^63.
static bool isExtent(int64_t extent) {
  return extent > 0 && extent <= std::numeric_limits<int32_t>::max();
}

static Error checkData(const Provenance &provenance, StringRef origin,
                       int64_t &sequences) {
  std::map<StringRef, std::vector<const Provenance::Data *>> texts;
  sequences = 0;
  for (const Provenance::Data &data : provenance.data) {
    if (data.first < 0 || data.sequences <= 0 ||
        __builtin_add_overflow(sequences, data.sequences, &sequences) ||
        data.first > std::numeric_limits<int64_t>::max() - data.sequences)
      return fail(quoted(origin) + " counts " + llvm::Twine(data.sequences) +
                  " sequences from number " + llvm::Twine(data.first) +
                  " of text " + quoted(data.name) + again);
    texts[data.hash].push_back(&data);
  }
  for (auto &[hash, stretches] : texts) {
    llvm::sort(stretches, [](auto *a, auto *b) { return a->first < b->first; });
    for (size_t i = 1; i < stretches.size(); ++i)
      if (stretches[i - 1]->first + stretches[i - 1]->sequences >
          stretches[i]->first)
        return fail(quoted(origin) + " counts sequence " +
                    llvm::Twine(stretches[i]->first) + " of text " +
                    quoted(stretches[i]->name) + " twice" + again);
  }
  return Error::success();
}

Error mlir::cq::checkCounts(const Statistics &facts, StringRef origin) {
  int64_t sequences;
  if (Error error = checkData(facts.provenance, origin, sequences))
    return error;
  if (facts.lossTokens < 0 || !(facts.sumLoss >= 0) ||
      !std::isfinite(facts.sumLoss))
    return fail("the loss in " + quoted(origin) + " is " +
                llvm::formatv("{0}", facts.sumLoss).str() + " over " +
                llvm::Twine(facts.lossTokens) + " tokens" + again);
  for (const BlockStatistics &block : facts.blocks)
    if (!(block.zScore <= 1) || !(block.zScoreTwoSided <= 1))
      return fail("the z scores of block " + llvm::Twine(block.block) + " of " +
                  quoted(origin) + " are no shares" + again);
  llvm::StringSet<> seen;
  for (const InputStatistics &input : facts.inputs) {
    if (input.weights.empty())
      return fail("an input in " + quoted(origin) + " names no weight" + again);
    for (const std::string &weight : input.weights)
      if (weight.empty() || !seen.insert(weight).second)
        return fail(quoted(origin) + " has the input of weight " +
                    quoted(weight) + " twice" + again);
    if (!isExtent(input.k) || input.tokens <= 0)
      return fail("the input of weight " + quoted(input.weights.front()) +
                  " in " + quoted(origin) + " has " + llvm::Twine(input.k) +
                  " columns and " + llvm::Twine(input.tokens) + " tokens" +
                  again);
  }
  seen.clear();
  for (const FisherStatistics &fisher : facts.fishers) {
    std::string where = "the Fisher matrix of weight " + quoted(fisher.weight) +
                        " in " + quoted(origin);
    if (fisher.weight.empty() || !seen.insert(fisher.weight).second)
      return fail(where + " is there twice" + again);
    if (!isExtent(fisher.n) || !isExtent(fisher.k) || fisher.sequences <= 0)
      return fail(where + " has the shape [" + llvm::Twine(fisher.n) + ", " +
                  llvm::Twine(fisher.k) + "] and " +
                  llvm::Twine(fisher.sequences) + " sequences" + again);
    if (!facts.provenance.data.empty() && fisher.sequences != sequences)
      return fail(where + " counts " + llvm::Twine(fisher.sequences) +
                  " sequences where its texts have " + llvm::Twine(sequences) +
                  again);
    const InputStatistics *input = facts.findInput(fisher.weight);
    if (input && input->k != fisher.k)
      return fail(where + " has " + llvm::Twine(fisher.k) +
                  " columns where the weight's input has " +
                  llvm::Twine(input->k) + again);
  }
  if (!facts.fishers.empty() && facts.fisherKind == FisherKind::None)
    return fail(quoted(origin) +
                " holds Fisher matrices but does not say of which kind" +
                again);
  std::map<int64_t, int64_t> blocks;
  for (const BlockStatistics &block : facts.blocks)
    if (block.block < 0 || block.tokens <= 0 || blocks[block.block]++ > 0)
      return fail("block " + llvm::Twine(block.block) + " of " +
                  quoted(origin) + " is there twice, or has " +
                  llvm::Twine(block.tokens) + " tokens" + again);
  seen.clear();
  for (const Statistics::WeightHash &weight : facts.weightHashes)
    if (weight.weight.empty() || !seen.insert(weight.weight).second ||
        !isExtent(weight.n) || !isExtent(weight.k))
      return fail("the hash of weight " + quoted(weight.weight) + " in " +
                  quoted(origin) + " is there twice or has no shape" + again);
  return Error::success();
}

/// Position of the first value that is no finite number or is below `least`.
template <typename T>
static std::optional<size_t> findBad(llvm::ArrayRef<T> values, double least) {
  for (auto [i, value] : llvm::enumerate(values))
    if (!(value >= T(least)) || !std::isfinite(value))
      return i;
  return std::nullopt;
}

static Error badValue(const llvm::Twine &what, StringRef weight,
                      StringRef origin, size_t position, double value) {
  return fail(what + " of weight " + quoted(weight) + " in " + quoted(origin) +
              " is " + llvm::formatv("{0}", value).str() + " at position " +
              llvm::Twine(position) +
              ", which no calibration gives; calibrate again");
}

Error mlir::cq::checkMoments(const InputStatistics &input, StringRef origin) {
  StringRef weight = input.weights.front();
  size_t k = input.k;
  bool magnitudes = !input.sumMagnitudes.empty();
  if (input.sumSquares.size() != k ||
      (magnitudes &&
       (input.sumMagnitudes.size() != k || input.maxMagnitude.size() != k)) ||
      (!magnitudes && !input.maxMagnitude.empty()))
    return fail("the moments of the input of weight " + quoted(weight) +
                " in " + quoted(origin) + " are not " + llvm::Twine(k) +
                " values each" + again);
  if (auto i = findBad<double>(input.sumSquares, 0))
    return badValue("the sum of squares", weight, origin, *i,
                    input.sumSquares[*i]);
  if (!magnitudes)
    return Error::success();
  if (auto i = findBad<double>(input.sumMagnitudes, 0))
    return badValue("the sum of magnitudes", weight, origin, *i,
                    input.sumMagnitudes[*i]);
  if (auto i = findBad<float>(input.maxMagnitude, 0))
    return badValue("the largest magnitude", weight, origin, *i,
                    input.maxMagnitude[*i]);
  for (size_t j = 0; j < k; ++j) {
    double sum = input.sumMagnitudes[j], largest = input.maxMagnitude[j];
    double squares = input.sumSquares[j] * (1 + 1e-6);
    if (sum / double(input.tokens) * sum > squares ||
        largest * largest > squares)
      return fail("the moments of column " + llvm::Twine(j) +
                  " of the input of weight " + quoted(weight) + " in " +
                  quoted(origin) +
                  " contradict each other and the number of tokens" + again);
  }
  return Error::success();
}

Error mlir::cq::checkGram(llvm::ArrayRef<double> gram,
                          const InputStatistics &input, StringRef origin) {
  StringRef weight = input.weights.front();
  if (int64_t(gram.size()) != input.k * (input.k + 1) / 2)
    return fail("the Gram matrix of weight " + quoted(weight) + " in " +
                quoted(origin) + " has " + llvm::Twine(gram.size()) +
                " values, not an upper triangle of " + llvm::Twine(input.k) +
                " columns" + again);
  if (auto i = findBad<double>(gram, -std::numeric_limits<double>::max()))
    return badValue("the Gram matrix", weight, origin, *i, gram[*i]);
  for (int64_t i = 0, at = 0; i < input.k; at += input.k - i, ++i) {
    double squares = input.sumSquares[i];
    if (std::fabs(gram[at] - squares) > 1e-2 * squares + 1e-30)
      return fail("column " + llvm::Twine(i) +
                  " of the Gram matrix of weight " + quoted(weight) + " in " +
                  quoted(origin) +
                  " has another sum of squares than the moments" + again);
  }
  return Error::success();
}

Error mlir::cq::checkFisher(llvm::ArrayRef<double> sums, StringRef weight,
                            StringRef origin) {
  if (auto i = findBad<double>(sums, 0))
    return badValue("the Fisher matrix", weight, origin, *i, sums[*i]);
  return Error::success();
}

Error mlir::cq::checkBlock(const BlockStatistics &block, StringRef origin) {
  double norm = std::sqrt(block.squaresIn) * std::sqrt(block.squaresOut);
  bool finite = std::isfinite(block.sumCosine) && std::isfinite(block.dot) &&
                std::isfinite(norm);
  if (!finite || block.squaresIn < 0 || block.squaresOut < 0 ||
      std::fabs(block.sumCosine) > double(block.tokens) * (1 + 1e-6) ||
      std::fabs(block.dot) > norm * (1 + 1e-6))
    return fail("the sums of block " + llvm::Twine(block.block) + " in " +
                quoted(origin) + " are no cosines" + again);
  return Error::success();
}

Error Statistics::check(StringRef origin) const {
  if (Error error = checkCounts(*this, origin))
    return error;
  for (const InputStatistics &input : inputs) {
    if (Error error = checkMoments(input, origin))
      return error;
    if (!input.gram.empty())
      if (Error error = checkGram(input.gram, input, origin))
        return error;
  }
  for (const FisherStatistics &fisher : fishers) {
    if (int64_t(fisher.sum.size()) != fisher.n * fisher.k)
      return fail("the Fisher matrix of weight " + quoted(fisher.weight) +
                  " in " + quoted(origin) + " has " +
                  llvm::Twine(fisher.sum.size()) + " values, not " +
                  llvm::Twine(fisher.n * fisher.k) + again);
    if (Error error = checkFisher(fisher.sum, fisher.weight, origin))
      return error;
  }
  for (const BlockStatistics &block : blocks)
    if (Error error = checkBlock(block, origin))
      return error;
  return Error::success();
}
