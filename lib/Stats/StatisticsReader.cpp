//===- StatisticsReader.cpp - What a quantizer wants of one weight --------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StatisticsArchive.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

struct StatisticsReader::Impl {
  std::unique_ptr<StatisticsArchive> archive;
  llvm::StringMap<size_t> inputs, fishers;
  llvm::StringMap<const Statistics::WeightHash *> hashes;

  std::string where(StringRef what, StringRef weight) const {
    return (what + " of weight " + quoted(weight)).str();
  }
  Error absent(StringRef what, StringRef weight, StringRef remedy) const {
    return fail(quoted(archive->path()) + " lacks " + where(what, weight) +
                "; " + remedy);
  }
  Error otherShape(StringRef what, StringRef weight,
                   llvm::ArrayRef<int64_t> have,
                   llvm::ArrayRef<int64_t> want) const {
    return fail(where(what, weight) + " in " + quoted(archive->path()) +
                " is for the shape " + printShape(have) + ", the weight has " +
                printShape(want) +
                "; the file was measured on another model, calibrate this one");
  }
  /// Index of the input of W [n, k].
  llvm::Expected<size_t> input(StringRef what, StringRef weight, int64_t n,
                               int64_t k) const {
    auto it = inputs.find(weight);
    if (it == inputs.end())
      return absent(what, weight, "calibrate with this weight observed");
    int64_t have = archive->facts().inputs[it->second].k;
    if (have != k)
      return otherShape(what, weight, {n, have}, {n, k});
    return it->second;
  }
};

StatisticsReader::StatisticsReader(std::unique_ptr<Impl> impl)
    : impl(std::move(impl)) {}
StatisticsReader::~StatisticsReader() = default;

llvm::Expected<std::unique_ptr<StatisticsReader>>
StatisticsReader::open(StringRef path) {
  auto archive = StatisticsArchive::open(path);
  if (!archive)
    return archive.takeError();
  auto impl = std::make_unique<Impl>();
  impl->archive = std::move(*archive);
  const Statistics &facts = impl->archive->facts();
  for (auto [i, input] : llvm::enumerate(facts.inputs))
    for (const std::string &weight : input.weights)
      impl->inputs[weight] = i;
  for (auto [i, fisher] : llvm::enumerate(facts.fishers))
    impl->fishers[fisher.weight] = i;
  for (const Statistics::WeightHash &hash : facts.weightHashes)
    impl->hashes[hash.weight] = &hash;
  return std::unique_ptr<StatisticsReader>(
      new StatisticsReader(std::move(impl)));
}

StringRef StatisticsReader::path() const { return impl->archive->path(); }
const Statistics &StatisticsReader::facts() const {
  return impl->archive->facts();
}
const Provenance &StatisticsReader::provenance() const {
  return facts().provenance;
}
FisherKind StatisticsReader::fisherKind() const { return facts().fisherKind; }
double StatisticsReader::compactShare() const {
  return impl->archive->header().share;
}

bool StatisticsReader::hasInput(StringRef weight) const {
  return impl->inputs.contains(weight);
}
bool StatisticsReader::hasGram(StringRef weight) const {
  auto it = impl->inputs.find(weight);
  return it != impl->inputs.end() &&
         impl->archive->header().parts[it->second].gram;
}
bool StatisticsReader::hasFisher(StringRef weight) const {
  return impl->fishers.contains(weight);
}

llvm::Expected<std::vector<float>>
StatisticsReader::meanSquares(StringRef weight, int64_t n, int64_t k) const {
  auto index = impl->input("the input moments", weight, n, k);
  if (!index)
    return index.takeError();
  return facts().inputs[*index].meanSquares();
}

llvm::Expected<std::vector<double>>
StatisticsReader::gram(StringRef weight, int64_t n, int64_t k) const {
  auto index = impl->input("the Gram matrix", weight, n, k);
  if (!index)
    return index.takeError();
  if (!hasGram(weight))
    return impl->absent("the Gram matrix", weight,
                        "calibrate with --gram, or use another quantizer");
  auto values = impl->archive->loadGram(*index);
  if (values)
    for (double &value : *values)
      value /= double(facts().inputs[*index].tokens);
  return values;
}

llvm::Expected<std::vector<float>>
StatisticsReader::fisher(StringRef weight, int64_t n, int64_t k) const {
  StringRef what = "the Fisher matrix";
  auto it = impl->fishers.find(weight);
  if (it == impl->fishers.end())
    return impl->absent(
        what, weight,
        "calibrate with --fisher=sequence, or choose another criterion");
  const FisherStatistics &fisher = facts().fishers[it->second];
  if (fisher.n != n || fisher.k != k)
    return impl->otherShape(what, weight, {fisher.n, fisher.k}, {n, k});
  if (compactShare() > 0)
    return impl->archive->loadCompact(it->second);
  auto sums = impl->archive->loadFisher(it->second);
  if (!sums)
    return sums.takeError();
  std::vector<float> means(sums->size());
  for (size_t i = 0; i < means.size(); ++i)
    means[i] = float((*sums)[i] / double(fisher.sequences));
  return means;
}

Error StatisticsReader::checkWeight(StringRef weight, const float *w, int64_t n,
                                    int64_t k) const {
  auto it = impl->hashes.find(weight);
  if (it == impl->hashes.end() || it->second->hash.empty())
    return Error::success();
  const Statistics::WeightHash &hash = *it->second;
  if (hash.n != n || hash.k != k)
    return impl->otherShape("what was measured", weight, {hash.n, hash.k},
                            {n, k});
  if (hashWeight(w, n, k) != hash.hash)
    return fail("weight " + quoted(weight) + " has other values than when " +
                quoted(path()) +
                " was measured: that was another model; calibrate this one");
  return Error::success();
}
