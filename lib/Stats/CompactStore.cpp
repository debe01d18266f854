//===- CompactStore.cpp - The final export with small Fisher matrices -----===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FileWriter.h"
#include "StatisticsArchive.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <algorithm>
#include <numeric>

using namespace mlir::cq;
using llvm::Error;

/// Positions of the `kept` largest values, ascending; ties go to the smaller
/// position.
static std::vector<int64_t> largest(llvm::ArrayRef<double> values,
                                    int64_t kept) {
  std::vector<int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::nth_element(order.begin(), order.begin() + (kept - 1), order.end(),
                   [&](int64_t a, int64_t b) {
                     return values[a] != values[b] ? values[a] > values[b]
                                                   : a < b;
                   });
  order.resize(kept);
  llvm::sort(order);
  return order;
}

/// Writes the four tensors of one matrix: means over rows and columns of what
/// is not kept, positions and values of what is.
static Error appendCompact(FileWriter &writer, const FisherStatistics &fisher,
                           std::vector<double> sums, int64_t kept) {
  for (double &sum : sums)
    sum /= double(fisher.sequences);
  std::vector<int64_t> positions = largest(sums, kept);
  std::vector<float> values;
  std::vector<int64_t> rowCounts(fisher.n, fisher.k);
  std::vector<int64_t> columnCounts(fisher.k, fisher.n);
  for (int64_t position : positions) {
    values.push_back(float(sums[position]));
    sums[position] = 0;
    --rowCounts[position / fisher.k];
    --columnCounts[position % fisher.k];
  }
  std::vector<double> rows(fisher.n), columns(fisher.k);
  for (int64_t i = 0; i < fisher.n; ++i)
    for (int64_t j = 0; j < fisher.k; ++j) {
      rows[i] += sums[i * fisher.k + j];
      columns[j] += sums[i * fisher.k + j];
    }
  auto divide = [](std::vector<double> &totals,
                   const std::vector<int64_t> &counts) {
    for (auto [total, count] : llvm::zip_equal(totals, counts))
      total /= double(std::max<int64_t>(1, count));
  };
  divide(rows, rowCounts);
  divide(columns, columnCounts);

  auto write = [&](auto &values) -> Error {
    using T = typename std::decay_t<decltype(values)>::value_type;
    if (Error error = writer.append<T>(values))
      return error;
    return writer.endTensor();
  };
  if (Error error = write(rows))
    return error;
  if (Error error = write(columns))
    return error;
  if (Error error = write(positions))
    return error;
  return write(values);
}

Error mlir::cq::exportCompact(llvm::StringRef input, llvm::StringRef output,
                              double share) {
  if (!(share > 0 && share <= 1))
    return fail("a share of " + llvm::formatv("{0}", share).str() +
                " cannot be kept; give one above 0 and at most 1");
  auto archive = StatisticsArchive::open(input);
  if (!archive)
    return archive.takeError();
  FileHeader header = (*archive)->header();
  if (header.share > 0)
    return fail(quoted(input) + " is a compact store already");
  if (header.facts.fishers.empty())
    return fail(quoted(input) + " has no Fisher matrices to make smaller; "
                                "calibrate with --fisher=sequence");
  header.share = share;
  header.kept.clear();
  for (const FisherStatistics &fisher : header.facts.fishers)
    header.kept.push_back(std::max<int64_t>(
        1, int64_t(share * double(fisher.n) * double(fisher.k))));
  auto writer = FileWriter::create(output, header);
  if (!writer)
    return writer.takeError();
  for (const FileTensor &tensor : layoutOf(header)) {
    switch (tensor.part) {
    case FilePart::FisherRows: { // and the three behind it
      auto sums = (*archive)->loadFisher(tensor.index);
      if (!sums)
        return sums.takeError();
      if (Error error =
              appendCompact(**writer, header.facts.fishers[tensor.index],
                            std::move(*sums), header.kept[tensor.index]))
        return error;
      break;
    }
    case FilePart::FisherColumns:
    case FilePart::FisherPositions:
    case FilePart::FisherValues:
      break;
    default: {
      if (Error error = (*archive)->verify(tensor.part, tensor.index))
        return error;
      if (Error error = (*writer)->appendBytes(
              (*archive)->find(tensor.part, tensor.index)->bytes))
        return error;
      if (Error error = (*writer)->endTensor())
        return error;
    }
    }
  }
  return (*writer)->commit();
}
