//===- WeightStatistics.cpp - A statistics file, by weight ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightStatistics.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir::cq;
using llvm::StringRef;

/// Factorised inputs beside the one in use: their two f32 matrices.
static constexpr int64_t mostKeptBytes = int64_t(256) << 20;

llvm::Expected<std::unique_ptr<WeightStatistics>>
WeightStatistics::open(StringRef path) {
  if (path.empty())
    return nullptr;
  auto reader = StatisticsReader::open(path);
  if (!reader)
    return reader.takeError();
  auto result = std::make_unique<WeightStatistics>();
  result->statistics = std::move(*reader);
  return std::move(result);
}

llvm::Expected<std::shared_ptr<const SecondMoments>>
WeightStatistics::moments(StringRef weight, int64_t n, int64_t k,
                          unsigned threads) {
  const InputStatistics *input = statistics->facts().findInput(weight);
  std::string key = input ? input->weights.front() : weight.str();
  auto found = llvm::find_if(
      kept, [&](const Factorised &entry) { return entry.input == key; });
  if (found != kept.end()) {
    Factorised entry = *found;
    kept.erase(found);
    kept.push_back(entry);
    if (entry.moments->columns() == k)
      return entry.moments;
  }
  auto gram = statistics->gram(weight, n, k);
  if (!gram)
    return gram.takeError();
  auto factorised = SecondMoments::factorise(*gram, k, {}, threads);
  if (!factorised)
    return factorised.takeError();
  int64_t bytes = 0;
  for (const Factorised &entry : kept)
    bytes += 8 * entry.moments->columns() * entry.moments->columns();
  while (!kept.empty() && bytes + 8 * k * k > mostKeptBytes) {
    int64_t columns = kept.front().moments->columns();
    bytes -= 8 * columns * columns;
    kept.pop_front();
  }
  kept.push_back(
      {key, std::make_shared<const SecondMoments>(std::move(*factorised))});
  return kept.back().moments;
}

QuantizerInputs WeightKnowledge::quantizerInputs(unsigned threads) const {
  QuantizerInputs inputs;
  inputs.columnWeights = columns();
  inputs.threads = threads;
  inputs.moments = moments.get();
  inputs.segments = segments;
  return inputs;
}

CherryInputs WeightKnowledge::cherryInputs(unsigned threads) const {
  return {columns(), fisher.empty() ? nullptr : fisher.data(), nullptr, threads,
          segments};
}

RowInputs WeightKnowledge::rowInputs(unsigned threads) const {
  return {columns(), fisher.empty() ? nullptr : fisher.data(), threads};
}

llvm::Error mlir::cq::checkAvailable(StringRef weight, QuantizerKind quantizer,
                                     std::optional<CherryCriterion> criterion,
                                     const StatisticsReader *statistics) {
  auto check = [&](const llvm::Twine &who, StringRef what, StringRef how,
                   bool present) -> llvm::Error {
    if (statistics && present)
      return llvm::Error::success();
    std::string sentence = who.str() + " needs " + what.str() + ", ";
    if (statistics)
      sentence += "which " + statistics->path().str() +
                  " lacks; make it anew with `cq calibrate" + how.str() + "`";
    else
      sentence += "but no statistics are given; make them with `cq calibrate" +
                  how.str() + "` and give them with stats=FILE";
    return llvm::createStringError(sentence);
  };
  if (quantizer == QuantizerKind::GPTQ)
    if (llvm::Error error =
            check("the quantizer gptq", "the Gram matrix of its input",
                  " … --gram", statistics && statistics->hasGram(weight)))
      return error;
  if (criterion == CherryCriterion::Activation)
    return check("the criterion activation", "the second moments of its input",
                 "", statistics && statistics->hasInput(weight));
  if (criterion == CherryCriterion::Impact)
    return check("the criterion impact", "its Fisher diagonal",
                 " … --fisher=sequence",
                 statistics && statistics->hasFisher(weight));
  return llvm::Error::success();
}

llvm::Expected<WeightKnowledge> mlir::cq::learnAbout(
    StringRef weight, int64_t n, int64_t k, QuantizerKind quantizer,
    std::optional<CherryCriterion> criterion, WeightStatistics *statistics,
    unsigned threads, bool ranksRows) {
  const StatisticsReader *reader = statistics ? &statistics->reader() : nullptr;
  if (llvm::Error error = checkAvailable(weight, quantizer, criterion, reader))
    return std::move(error);
  WeightKnowledge known;
  known.quantizer = quantizer;
  if (!reader)
    return known;
  bool scored = ranksRows || criterion == CherryCriterion::Impact ||
                criterion == CherryCriterion::QuantError;
  if (reader->hasInput(weight)) {
    auto squares = reader->meanSquares(weight, n, k);
    if (!squares)
      return squares.takeError();
    known.columnWeights = std::move(*squares);
  }
  if (scored && reader->hasFisher(weight)) {
    auto fisher = reader->fisher(weight, n, k);
    if (!fisher)
      return fisher.takeError();
    known.fisher = std::move(*fisher);
  }
  if (quantizer != QuantizerKind::GPTQ)
    return known;
  auto moments = statistics->moments(weight, n, k, threads);
  if (moments) {
    known.moments = std::move(*moments);
    return known;
  }
  known.quantizer = QuantizerKind::MSE;
  known.fallback = "weight '" + weight.str() +
                   "' is quantized by mse weighted by E[x²], not by gptq: " +
                   llvm::toString(moments.takeError());
  return known;
}
