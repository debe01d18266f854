//===- CherrySelection.cpp - Which weights stay precise -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CherryWalk.h"
#include "Half.h"
#include "RowQuantizer.h"
#include "Support.h"
#include "llvm/ADT/SmallVector.h"
#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>

using namespace mlir::cq;
using llvm::StringRef;
using llvm::Twine;

StringRef mlir::cq::stringifyCherryCriterion(CherryCriterion c) {
  return c == CherryCriterion::Magnitude ? "magnitude" : "quant-error";
}

std::optional<CherryCriterion> mlir::cq::parseCherryCriterion(StringRef text) {
  for (CherryCriterion c :
       {CherryCriterion::Magnitude, CherryCriterion::QuantError})
    if (text == stringifyCherryCriterion(c))
      return c;
  return std::nullopt;
}

/// The first of the largest scores, which are not negative.
template <typename Score>
static int64_t argMax(const Score *scores, int64_t length) {
  // Independent maxima, which vectorise; one running maximum would not.
  Score lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= length; i += 16)
    for (int lane = 0; lane < 16; ++lane)
      lanes[lane] = std::max(lanes[lane], scores[i + lane]);
  Score largest = *std::max_element(lanes, lanes + 16);
  for (; i < length; ++i)
    largest = std::max(largest, scores[i]);
  return std::find(scores, scores + length, largest) - scores;
}

/// The `count` columns of largest score, ascending; ties go to the smaller
/// column.
template <typename Score>
static void selectLargest(const Score *scores, int64_t length, int64_t count,
                          std::vector<int64_t> &selected) {
  if (count == 1) {
    selected.assign(1, argMax(scores, length));
    return;
  }
  selected.resize(length);
  std::iota(selected.begin(), selected.end(), 0);
  std::nth_element(selected.begin(), selected.begin() + (count - 1),
                   selected.end(), [&](int64_t a, int64_t b) {
                     return scores[a] != scores[b] ? scores[a] > scores[b]
                                                   : a < b;
                   });
  selected.resize(count);
  std::sort(selected.begin(), selected.end());
}

static void selectInRow(const CherrySpec &spec, const float *scores,
                        int64_t row, int64_t k, uint8_t *columns,
                        std::vector<int64_t> &selected) {
  if (spec.form == CherryForm::Element) {
    selectLargest(scores, k, spec.count, selected);
    for (auto [slot, column] : llvm::enumerate(selected))
      detail::writeColumn(spec, columns, row * spec.count + slot, column);
    return;
  }
  int64_t blocks = CherrySpec::slotBlocks(k);
  for (int64_t block = 0; block < blocks; ++block) {
    int64_t begin = block * 256;
    selectLargest(scores + begin, std::min<int64_t>(256, k - begin), spec.count,
                  selected);
    for (auto [slot, column] : llvm::enumerate(selected))
      detail::writeColumn(spec, columns,
                          detail::slotIndex(spec, blocks, row, block, slot),
                          column);
  }
}

static llvm::Error checkScores(const float *scores, int64_t n, int64_t k) {
  for (int64_t i = 0; i < n * k; ++i)
    if (!(scores[i] >= 0))
      return detail::makeError("the score of row " + Twine(i / k) +
                               ", column " + Twine(i % k) +
                               " is negative or not a number; scores say how "
                               "much a weight matters, from 0");
  return llvm::Error::success();
}

llvm::Expected<CherryPositions>
mlir::cq::selectCherries(const float *w, int64_t n, int64_t k,
                         const CherrySpec &spec, CherryCriterion criterion,
                         const Scheme &scheme, const float *columnWeights,
                         const float *scores, unsigned threads) {
  if (llvm::Error error = spec.check(n, k))
    return std::move(error);
  CherryPositions cherries;
  cherries.spec = spec;
  cherries.columns.resize(spec.numColumns(n, k) * spec.columnBytes());
  if (spec.form == CherryForm::None)
    return cherries;

  QuantizedWeight rounded;
  if (scores) {
    if (llvm::Error error = checkScores(scores, n, k))
      return std::move(error);
  } else if (criterion == CherryCriterion::QuantError) {
    auto result = quantizeWeight(w, n, k, scheme, QuantizerKind::RTN, nullptr,
                                 columnWeights, threads);
    if (!result)
      return result.takeError();
    rounded = std::move(*result);
  } else {
    for (int64_t i = 0; i < n * k; ++i)
      if (!detail::isFinite(w[i]))
        return detail::makeError("the weight at row " + Twine(i / k) +
                                 ", column " + Twine(i % k) +
                                 " is not finite; only finite weights can be "
                                 "quantized");
  }

  auto scoreRow = [&](int64_t row, std::vector<float> &storage) {
    if (scores)
      return scores + row * k;
    storage.resize(k);
    const float *from = w + row * k;
    if (criterion == CherryCriterion::Magnitude) {
      for (int64_t column = 0; column < k; ++column)
        storage[column] = std::fabs(from[column]);
      return static_cast<const float *>(storage.data());
    }
    detail::decodeRow(rounded, row, storage.data());
    for (int64_t column = 0; column < k; ++column) {
      float error = from[column] - storage[column];
      storage[column] = error * error;
    }
    for (int64_t column = 0; columnWeights && column < k; ++column)
      storage[column] *= columnWeights[column];
    return static_cast<const float *>(storage.data());
  };

  // Fixed blocks of rows, summed in order, keep column sums free of threads.
  constexpr int64_t blockRows = 256;
  bool isColumn = spec.form == CherryForm::Column;
  std::vector<std::vector<double>> partial(
      isColumn ? detail::ceilDiv(n, blockRows) : 0);
  detail::parallelForRows(
      n, blockRows, threads, [&](int64_t begin, int64_t end) {
        std::vector<float> storage;
        std::vector<int64_t> selected;
        if (!isColumn) {
          for (int64_t row = begin; row < end; ++row)
            selectInRow(spec, scoreRow(row, storage), row, k,
                        cherries.columns.data(), selected);
          return;
        }
        std::vector<double> &sums = partial[begin / blockRows];
        sums.assign(k, 0.0);
        for (int64_t row = begin; row < end; ++row) {
          const float *score = scoreRow(row, storage);
          for (int64_t column = 0; column < k; ++column)
            sums[column] += score[column];
        }
      });
  if (isColumn) {
    std::vector<double> sums(k);
    for (const std::vector<double> &block : partial)
      for (int64_t column = 0; column < k; ++column)
        sums[column] += block[column];
    std::vector<int64_t> selected;
    selectLargest(sums.data(), k, spec.count, selected);
    for (auto [slot, column] : llvm::enumerate(selected))
      detail::writeColumn(spec, cherries.columns.data(), slot, column);
  }
  return cherries;
}
