//===- StatisticsFile.cpp - Reading and writing all statistics ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FileWriter.h"
#include "StatisticsArchive.h"
#include "cq/Support/Diagnostics.h"

using namespace mlir::cq;
using llvm::Error;

llvm::Expected<Statistics> Statistics::read(llvm::StringRef path,
                                            bool matrices) {
  auto archive = StatisticsArchive::open(path);
  if (!archive)
    return archive.takeError();
  Statistics result = (*archive)->facts();
  if (!matrices)
    return result;
  if ((*archive)->header().share > 0)
    return fail(quoted(path) + " is a compact store, which holds no sums to go "
                               "on with; use the file it was exported from");
  for (auto [i, input] : llvm::enumerate(result.inputs)) {
    if (!(*archive)->header().parts[i].gram)
      continue;
    auto gram = (*archive)->loadGram(i);
    if (!gram)
      return gram.takeError();
    input.gram = std::move(*gram);
  }
  for (auto [i, fisher] : llvm::enumerate(result.fishers)) {
    auto sum = (*archive)->loadFisher(i);
    if (!sum)
      return sum.takeError();
    fisher.sum = std::move(*sum);
  }
  return result;
}

/// A copy without vectors: names, shapes and counts.
static FileHeader headerOf(const Statistics &statistics) {
  FileHeader header;
  Statistics &facts = header.facts;
  facts.provenance = statistics.provenance;
  facts.fisherKind = statistics.fisherKind;
  facts.weightHashes = statistics.weightHashes;
  facts.blocks = statistics.blocks;
  facts.sumLoss = statistics.sumLoss;
  facts.lossTokens = statistics.lossTokens;
  for (const InputStatistics &input : statistics.inputs) {
    InputStatistics &copy = facts.inputs.emplace_back();
    copy.weights = input.weights;
    copy.k = input.k;
    copy.tokens = input.tokens;
    header.parts.push_back({!input.sumMagnitudes.empty(), !input.gram.empty()});
  }
  for (const FisherStatistics &fisher : statistics.fishers)
    facts.fishers.push_back(
        {fisher.weight, fisher.n, fisher.k, fisher.sequences, {}});
  return header;
}

Error Statistics::write(llvm::StringRef path) const {
  // What a reader would refuse is refused here, where it can be mended.
  if (Error error = check(path))
    return error;
  FileHeader header = headerOf(*this);
  auto writer = FileWriter::create(path, header);
  if (!writer)
    return writer.takeError();
  for (const FileTensor &tensor : layoutOf(header)) {
    auto append = [&]() -> Error {
      switch (tensor.part) {
      case FilePart::SumSquares:
        return (*writer)->append<double>(inputs[tensor.index].sumSquares);
      case FilePart::SumMagnitudes:
        return (*writer)->append<double>(inputs[tensor.index].sumMagnitudes);
      case FilePart::MaxMagnitude:
        return (*writer)->append<float>(inputs[tensor.index].maxMagnitude);
      case FilePart::Gram:
        return (*writer)->append<double>(inputs[tensor.index].gram);
      case FilePart::Fisher:
        return (*writer)->append<double>(fishers[tensor.index].sum);
      case FilePart::Blocks:
        return (*writer)->appendBlocks(blocks);
      default:
        llvm_unreachable("sums are no compact store");
      }
    };
    if (Error error = append())
      return error;
    if (Error error = (*writer)->endTensor())
      return error;
  }
  return (*writer)->commit();
}
