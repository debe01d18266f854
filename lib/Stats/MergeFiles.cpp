//===- MergeFiles.cpp - Statistics files as one, in pieces ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Checks.h"
#include "FileWriter.h"
#include "MergeFacts.h"
#include "StatisticsArchive.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/FileSystem.h"
#include <cstring>
#include <numeric>

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

namespace {
/// One file of a merge, and where the merged file's entries are in it.
struct Part {
  std::unique_ptr<StatisticsArchive> archive;
  std::vector<size_t> inputs, fishers;
};
} // namespace

static std::vector<size_t> inverse(const std::vector<size_t> &order) {
  std::vector<size_t> result(order.size());
  for (size_t i = 0; i < order.size(); ++i)
    result[order[i]] = i;
  return result;
}

/// Adds `count` doubles of a tensor, from `begin`, to `sum`.
static void addPiece(const ParameterInfo &info, size_t begin,
                     llvm::MutableArrayRef<double> sum) {
  const uint8_t *bytes = info.bytes.data() + begin * sizeof(double);
  for (double &target : sum) {
    double value;
    std::memcpy(&value, bytes, sizeof(double));
    bytes += sizeof(double);
    target += value;
  }
}

/// Sums one matrix over all files.
static Error appendMatrix(FileWriter &writer, const FileTensor &tensor,
                          const std::vector<Part> &parts) {
  constexpr size_t piece = 1 << 16;
  std::vector<const ParameterInfo *> terms;
  for (const Part &part : parts) {
    bool gram = tensor.part == FilePart::Gram;
    size_t index = (gram ? part.inputs : part.fishers)[tensor.index];
    // Loads the matrix to check it, and lets go of it again.
    if (Error error = gram ? part.archive->loadGram(index).takeError()
                           : part.archive->loadFisher(index).takeError())
      return error;
    terms.push_back(part.archive->find(tensor.part, index));
  }
  size_t count = terms.front()->bytes.size() / sizeof(double);
  std::vector<double> sum;
  for (size_t begin = 0; begin < count; begin += piece) {
    sum.assign(std::min(piece, count - begin), 0);
    for (const ParameterInfo *term : terms)
      addPiece(*term, begin, sum);
    if (Error error = writer.append<double>(sum))
      return error;
  }
  for (const Part &part : parts)
    part.archive->releasePages();
  return Error::success();
}

static Error appendMerged(FileWriter &writer, const FileTensor &tensor,
                          const FileHeader &merged,
                          const std::vector<Part> &parts) {
  const Statistics &facts = merged.facts;
  switch (tensor.part) {
  case FilePart::SumSquares:
    return writer.append<double>(facts.inputs[tensor.index].sumSquares);
  case FilePart::SumMagnitudes:
    return writer.append<double>(facts.inputs[tensor.index].sumMagnitudes);
  case FilePart::MaxMagnitude:
    return writer.append<float>(facts.inputs[tensor.index].maxMagnitude);
  case FilePart::Blocks:
    return writer.appendBlocks(facts.blocks);
  default:
    return appendMatrix(writer, tensor, parts);
  }
}

static std::vector<size_t> identity(size_t count) {
  std::vector<size_t> result(count);
  std::iota(result.begin(), result.end(), 0);
  return result;
}

/// Adds all but the matrices of `part` to `merged`.
static Error addFile(FileHeader &merged, Part &part, StringRef path) {
  const FileHeader &header = part.archive->header();
  auto plan = planMerge(merged.facts, header.facts, "the files before it",
                        quoted(path));
  if (!plan)
    return plan.takeError();
  part.inputs = inverse(plan->inputs);
  part.fishers = inverse(plan->fishers);
  for (auto [i, input] : llvm::enumerate(part.inputs))
    if (merged.parts[i].gram != header.parts[input].gram)
      return fail("only one of " + quoted(path) +
                  " and the files before it has the Gram matrix of weight " +
                  quoted(header.facts.inputs[input].weights.front()) +
                  "; calibrate both alike");
  mergeFacts(merged.facts, header.facts, *plan);
  return Error::success();
}

Error mlir::cq::mergeStatisticsFiles(llvm::ArrayRef<std::string> inputs,
                                     StringRef output) {
  if (inputs.empty())
    return fail("nothing to merge; name at least one statistics file");
  std::vector<Part> parts;
  FileHeader merged;
  for (const std::string &path : inputs) {
    bool same = false;
    if (!llvm::sys::fs::equivalent(path, output, same) && same)
      return fail("the merged file cannot be " + quoted(path) +
                  ", one of those merged; give another name");
    auto archive = StatisticsArchive::open(path);
    if (!archive)
      return archive.takeError();
    if ((*archive)->header().share > 0)
      return fail(quoted(path) +
                  " is a compact store, which holds no sums to add; merge the "
                  "files it was exported from, then export");
    Part part;
    part.archive = std::move(*archive);
    const FileHeader &header = part.archive->header();
    if (parts.empty()) {
      merged = header;
      part.inputs = identity(header.facts.inputs.size());
      part.fishers = identity(header.facts.fishers.size());
    } else if (Error error = addFile(merged, part, path)) {
      return error;
    }
    parts.push_back(std::move(part));
  }

  auto writer = FileWriter::create(output, merged);
  if (!writer)
    return writer.takeError();
  for (const FileTensor &tensor : layoutOf(merged)) {
    if (Error error = appendMerged(**writer, tensor, merged, parts))
      return error;
    if (Error error = (*writer)->endTensor())
      return error;
  }
  return (*writer)->commit();
}
