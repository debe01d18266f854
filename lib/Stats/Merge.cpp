//===- Merge.cpp - Statistics of two calibrations as one ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MergeFacts.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include <limits>
#include <map>
#include <tuple>

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

/// Whether both hash the same weights to the same values, in any order.
static Error checkModels(const Statistics &a, const Statistics &b,
                         const std::string &both) {
  auto other = [&](const llvm::Twine &what) {
    return fail(both + " were measured on different " + what +
                "; merge only calibrations of one model with one set of "
                "options");
  };
  if (a.provenance.model != b.provenance.model)
    return other("models");
  if (a.provenance.tokenizer != b.provenance.tokenizer)
    return other("tokenizers");
  if (a.provenance.options != b.provenance.options)
    return other("options (" + quoted(a.provenance.options) + " and " +
                 quoted(b.provenance.options) + ")");
  if (a.fisherKind != b.fisherKind)
    return other("kinds of Fisher matrices (" +
                 stringifyFisherKind(a.fisherKind) + " and " +
                 stringifyFisherKind(b.fisherKind) + ")");
  std::map<StringRef, const Statistics::WeightHash *> hashes;
  for (const Statistics::WeightHash &hash : a.weightHashes)
    hashes[hash.weight] = &hash;
  if (a.weightHashes.size() != b.weightHashes.size())
    return other("models");
  for (const Statistics::WeightHash &hash : b.weightHashes) {
    auto it = hashes.find(hash.weight);
    if (it == hashes.end() || it->second->hash != hash.hash ||
        it->second->n != hash.n || it->second->k != hash.k)
      return other("values of weight " + quoted(hash.weight));
  }
  return Error::success();
}

static Error checkOverlap(const Provenance &a, const Provenance &b,
                          const std::string &both) {
  for (const Provenance::Data &x : a.data)
    for (const Provenance::Data &y : b.data) {
      int64_t begin = std::max(x.first, y.first);
      int64_t end = std::min(x.first + x.sequences, y.first + y.sequences);
      if (x.hash == y.hash && begin < end)
        return fail(both + " both hold sequences " + llvm::Twine(begin) +
                    " to " + llvm::Twine(end - 1) + " of text " +
                    quoted(x.name) +
                    "; counted twice they would weigh twice: leave one out");
    }
  return Error::success();
}

llvm::Expected<MergePlan> mlir::cq::planMerge(const Statistics &into,
                                              const Statistics &from,
                                              StringRef intoName,
                                              StringRef fromName) {
  std::string both = (intoName + " and " + fromName).str();
  if (Error error = checkModels(into, from, both))
    return std::move(error);
  if (Error error = checkOverlap(into.provenance, from.provenance, both))
    return std::move(error);
  auto differ = [&](const llvm::Twine &what) {
    return fail(both + " do not measure the same: " + what +
                " differs or is in one of them only; calibrate both alike");
  };
  if (into.inputs.size() != from.inputs.size())
    return differ("the number of inputs");
  if (into.fishers.size() != from.fishers.size())
    return differ("the number of Fisher matrices");
  if (into.blocks.size() != from.blocks.size())
    return differ("the number of blocks");

  MergePlan plan;
  std::map<StringRef, size_t> inputs, fishers;
  std::map<int64_t, size_t> blocks;
  for (auto [i, input] : llvm::enumerate(into.inputs))
    if (!input.weights.empty())
      inputs[input.weights.front()] = i;
  for (auto [i, fisher] : llvm::enumerate(into.fishers))
    fishers[fisher.weight] = i;
  for (auto [i, block] : llvm::enumerate(into.blocks))
    blocks[block.block] = i;
  for (const InputStatistics &input : from.inputs) {
    auto it = input.weights.empty() ? inputs.end()
                                    : inputs.find(input.weights.front());
    if (it == inputs.end())
      return differ("some input");
    const InputStatistics &mine = into.inputs[it->second];
    int64_t tokens;
    if (mine.weights != input.weights || mine.k != input.k ||
        mine.gram.size() != input.gram.size() ||
        mine.sumMagnitudes.size() != input.sumMagnitudes.size() ||
        __builtin_add_overflow(mine.tokens, input.tokens, &tokens))
      return differ("the input of weight " + quoted(input.weights.front()));
    plan.inputs.push_back(it->second);
  }
  for (const FisherStatistics &fisher : from.fishers) {
    auto it = fishers.find(fisher.weight);
    if (it == fishers.end() || into.fishers[it->second].n != fisher.n ||
        into.fishers[it->second].k != fisher.k ||
        into.fishers[it->second].sum.size() != fisher.sum.size())
      return differ("the Fisher matrix of weight " + quoted(fisher.weight));
    plan.fishers.push_back(it->second);
  }
  for (const BlockStatistics &block : from.blocks) {
    auto it = blocks.find(block.block);
    if (it == blocks.end())
      return differ("block " + llvm::Twine(block.block));
    plan.blocks.push_back(it->second);
  }
  return plan;
}

/// Sorted, touching stretches of one text joined: the same for any order of
/// merging.
static void mergeData(std::vector<Provenance::Data> &into,
                      const std::vector<Provenance::Data> &from) {
  into.insert(into.end(), from.begin(), from.end());
  llvm::sort(into, [](const auto &a, const auto &b) {
    return std::tie(a.hash, a.first, a.name) <
           std::tie(b.hash, b.first, b.name);
  });
  std::vector<Provenance::Data> joined;
  for (Provenance::Data &data : into)
    if (!joined.empty() && joined.back().hash == data.hash &&
        joined.back().name == data.name &&
        joined.back().first + joined.back().sequences == data.first)
      joined.back().sequences += data.sequences;
    else
      joined.push_back(std::move(data));
  into = std::move(joined);
}

template <typename T>
static void addAll(std::vector<T> &into, const std::vector<T> &from) {
  for (auto [sum, term] : llvm::zip_equal(into, from))
    sum += term;
}

void mlir::cq::mergeFacts(Statistics &into, const Statistics &from,
                          const MergePlan &plan) {
  mergeData(into.provenance.data, from.provenance.data);
  into.sumLoss += from.sumLoss;
  into.lossTokens += from.lossTokens;
  for (auto [index, input] : llvm::zip_equal(plan.inputs, from.inputs)) {
    InputStatistics &mine = into.inputs[index];
    mine.tokens += input.tokens;
    addAll(mine.sumSquares, input.sumSquares);
    addAll(mine.sumMagnitudes, input.sumMagnitudes);
    for (auto [a, b] : llvm::zip_equal(mine.maxMagnitude, input.maxMagnitude))
      a = std::max(a, b);
  }
  for (auto [index, fisher] : llvm::zip_equal(plan.fishers, from.fishers))
    into.fishers[index].sequences += fisher.sequences;
  for (auto [index, block] : llvm::zip_equal(plan.blocks, from.blocks)) {
    BlockStatistics &mine = into.blocks[index];
    mine.tokens += block.tokens;
    mine.sumCosine += block.sumCosine;
    mine.dot += block.dot;
    mine.squaresIn += block.squaresIn;
    mine.squaresOut += block.squaresOut;
  }
}

Error Statistics::merge(const Statistics &other) {
  if (inputs.empty() && fishers.empty() && blocks.empty() &&
      weightHashes.empty()) {
    *this = other;
    return Error::success();
  }
  auto plan = planMerge(*this, other, "these statistics", "those to be added");
  if (!plan)
    return plan.takeError();
  mergeFacts(*this, other, *plan);
  for (auto [index, input] : llvm::zip_equal(plan->inputs, other.inputs))
    addAll(inputs[index].gram, input.gram);
  for (auto [index, fisher] : llvm::zip_equal(plan->fishers, other.fishers))
    addAll(fishers[index].sum, fisher.sum);
  return Error::success();
}
