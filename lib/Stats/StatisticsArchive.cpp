//===- StatisticsArchive.cpp - A statistics file that was checked ---------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StatisticsArchive.h"
#include "Checks.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include <cmath>
#include <cstring>

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

llvm::Expected<std::unique_ptr<StatisticsArchive>>
StatisticsArchive::open(StringRef path) {
  auto file = SafetensorsFile::open(path);
  if (!file)
    return file.takeError();
  auto archive = std::make_unique<StatisticsArchive>();
  archive->file = std::move(*file);
  if (Error error = archive->read())
    return std::move(error);
  return std::move(archive);
}

Error StatisticsArchive::read() {
  std::optional<StringRef> text = file->metadata(headerKey);
  if (!text)
    return fail(quoted(path()) + " is no statistics file: its metadata lack " +
                headerKey + "; `cq calibrate` and `cq stats import` write one");
  const ParameterInfo *sums = file->find(checksumTensor);
  if (!sums || sums->type != DType::I64 || sums->shape.size() != 1 ||
      sums->shape[0] != int64_t(file->parameters().size()))
    return fail(quoted(path()) +
                " lacks the checksums of its tensors; calibrate again");
  auto sum = [&](size_t i) {
    return llvm::support::endian::read64le(sums->bytes.data() + 8 * i);
  };
  if (!hasChecksum(llvm::arrayRefFromStringRef(*text), sum(0)))
    return fail("the description in " + quoted(path()) +
                " has another checksum than was written; the file is damaged");
  auto header = FileHeader::parse(*text, path());
  if (!header)
    return header.takeError();
  description = std::move(*header);

  std::vector<FileTensor> layout = layoutOf(description);
  if (layout.size() + 1 != file->parameters().size())
    return fail(quoted(path()) + " holds " +
                llvm::Twine(file->parameters().size()) + " tensors where its " +
                "description wants " + llvm::Twine(layout.size() + 1) +
                "; the file is damaged");
  for (auto [i, tensor] : llvm::enumerate(layout)) {
    const ParameterInfo *info = file->find(tensor.entry.name);
    if (!info || info->type != tensor.entry.type ||
        info->shape != tensor.entry.shape)
      return fail("tensor " + quoted(tensor.entry.name) + " of " +
                  quoted(path()) + " is not of type " +
                  stringifyDType(tensor.entry.type) + " and shape " +
                  printShape(tensor.entry.shape) + "; the file is damaged");
    places[{tensor.part, tensor.index}] = {info, sum(i + 1)};
  }
  return readMoments();
}

Error StatisticsArchive::readMoments() {
  Statistics &facts = description.facts;
  auto take = [&](FilePart part, size_t index, auto &target) -> Error {
    using T = typename std::decay_t<decltype(target)>::value_type;
    auto values = load<T>(part, index);
    if (!values)
      return values.takeError();
    target = std::move(*values);
    return Error::success();
  };
  for (auto [i, input] : llvm::enumerate(facts.inputs)) {
    if (Error error = take(FilePart::SumSquares, i, input.sumSquares))
      return error;
    if (description.parts[i].magnitudes) {
      if (Error error = take(FilePart::SumMagnitudes, i, input.sumMagnitudes))
        return error;
      if (Error error = take(FilePart::MaxMagnitude, i, input.maxMagnitude))
        return error;
    }
    if (Error error = checkMoments(input, path()))
      return error;
  }
  if (facts.blocks.empty())
    return Error::success();
  std::vector<double> values;
  if (Error error = take(FilePart::Blocks, 0, values))
    return error;
  const double *value = values.data();
  for (BlockStatistics &block : facts.blocks) {
    block.sumCosine = *value++;
    block.dot = *value++;
    block.squaresIn = *value++;
    block.squaresOut = *value++;
    if (Error error = checkBlock(block, path()))
      return error;
  }
  return Error::success();
}

const ParameterInfo *StatisticsArchive::find(FilePart part,
                                             size_t index) const {
  auto it = places.find({part, index});
  return it == places.end() ? nullptr : it->second.info;
}

Error StatisticsArchive::verify(FilePart part, size_t index) const {
  const Place &place = places.find({part, index})->second;
  if (hasChecksum(place.info->bytes, place.checksum))
    return Error::success();
  return fail("tensor " + quoted(place.info->name) + " of " + quoted(path()) +
              " has another checksum than was written; the file is damaged, "
              "calibrate again");
}

template <typename T>
llvm::Expected<std::vector<T>> StatisticsArchive::load(FilePart part,
                                                       size_t index) const {
  if (Error error = verify(part, index))
    return std::move(error);
  const ParameterInfo *info = find(part, index);
  // The file promises no alignment of every tensor.
  std::vector<T> values(info->bytes.size() / sizeof(T));
  std::memcpy(values.data(), info->bytes.data(), info->bytes.size());
  // Matrices are read once; kept pages would grow to the file's size.
  if (info->bytes.size() > checksumPiece)
    releasePages();
  return values;
}

llvm::Expected<std::vector<double>>
StatisticsArchive::loadGram(size_t index) const {
  auto values = load<double>(FilePart::Gram, index);
  if (values)
    if (Error error = checkGram(*values, facts().inputs[index], path()))
      return std::move(error);
  return values;
}

llvm::Expected<std::vector<double>>
StatisticsArchive::loadFisher(size_t index) const {
  auto values = load<double>(FilePart::Fisher, index);
  if (values)
    if (Error error =
            checkFisher(*values, facts().fishers[index].weight, path()))
      return std::move(error);
  return values;
}

llvm::Expected<std::vector<float>>
StatisticsArchive::loadCompact(size_t index) const {
  const FisherStatistics &fisher = facts().fishers[index];
  auto rows = load<double>(FilePart::FisherRows, index);
  if (!rows)
    return rows.takeError();
  auto columns = load<double>(FilePart::FisherColumns, index);
  if (!columns)
    return columns.takeError();
  auto positions = load<int64_t>(FilePart::FisherPositions, index);
  if (!positions)
    return positions.takeError();
  auto values = load<float>(FilePart::FisherValues, index);
  if (!values)
    return values.takeError();
  for (const std::vector<double> *means : {&*rows, &*columns})
    if (Error error = checkFisher(*means, fisher.weight, path()))
      return std::move(error);
  double mean = 0;
  for (double row : *rows)
    mean += row;
  mean /= double(fisher.n);
  std::vector<float> result(fisher.n * fisher.k, 0);
  if (mean > 0)
    for (int64_t i = 0; i < fisher.n; ++i)
      for (int64_t j = 0; j < fisher.k; ++j)
        result[i * fisher.k + j] = float((*rows)[i] * ((*columns)[j] / mean));
  int64_t last = -1;
  for (auto [position, value] : llvm::zip(*positions, *values)) {
    if (position <= last || position >= int64_t(result.size()) ||
        !(value >= 0) || !std::isfinite(value))
      return fail("the compact Fisher matrix of weight " +
                  quoted(fisher.weight) + " in " + quoted(path()) +
                  " keeps values out of order, out of the matrix or negative; "
                  "export it again");
    last = position;
    result[position] = value;
  }
  return result;
}
