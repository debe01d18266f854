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
  switch (c) {
  case CherryCriterion::Magnitude:
    return "magnitude";
  case CherryCriterion::QuantError:
    return "quant-error";
  case CherryCriterion::Impact:
    return "impact";
  case CherryCriterion::Activation:
    return "activation";
  }
  return "";
}

std::optional<CherryCriterion> mlir::cq::parseCherryCriterion(StringRef text) {
  for (CherryCriterion c :
       {CherryCriterion::Magnitude, CherryCriterion::QuantError,
        CherryCriterion::Impact, CherryCriterion::Activation})
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

namespace {
/// The scores of one criterion, a row at a time.
class CherryScores {
public:
  CherryScores(const float *w, int64_t n, int64_t k, const CherryInputs &inputs)
      : w(w), n(n), k(k), inputs(inputs) {}

  llvm::Error prepare(CherryCriterion criterion, const Scheme &scheme);
  /// Uses `storage` or the statistics themselves.
  const float *row(int64_t row, std::vector<float> &storage) const;

private:
  const float *w;
  int64_t n, k;
  CherryInputs inputs;
  CherryCriterion criterion = CherryCriterion::Magnitude;
  const float *scores = nullptr;
  std::vector<float> rootMeanSquares;
  QuantizedWeight rounded;
};
} // namespace

llvm::Error CherryScores::prepare(CherryCriterion which, const Scheme &scheme) {
  criterion = which;
  scores = inputs.scores;
  if (!scores && criterion == CherryCriterion::Impact) {
    scores = inputs.fisher;
    if (!scores)
      return detail::makeError("the criterion impact needs the loss's squared "
                               "gradients (Fisher)");
  }
  if (scores)
    return checkScores(scores, n, k);
  for (int64_t column = 0; inputs.columnWeights && column < k; ++column)
    if (!(inputs.columnWeights[column] >= 0))
      return detail::makeError("the column weight of column " + Twine(column) +
                               " is negative or not a number");
  if (criterion == CherryCriterion::QuantError) {
    QuantizerInputs options;
    options.threads = inputs.threads;
    options.segments = inputs.segments;
    auto result =
        quantizeWeight(w, n, k, scheme, QuantizerKind::RTN, nullptr, options);
    if (!result)
      return result.takeError();
    rounded = std::move(*result);
    return llvm::Error::success();
  }
  for (int64_t i = 0; i < n * k; ++i)
    if (!detail::isFinite(w[i]))
      return detail::makeError("the weight at row " + Twine(i / k) +
                               ", column " + Twine(i % k) +
                               " is not finite; only finite weights can be "
                               "quantized");
  if (criterion == CherryCriterion::Activation) {
    if (!inputs.columnWeights)
      return detail::makeError("the criterion activation needs second moments "
                               "of the input");
    rootMeanSquares.resize(k);
    for (int64_t column = 0; column < k; ++column)
      rootMeanSquares[column] = std::sqrt(inputs.columnWeights[column]);
  }
  return llvm::Error::success();
}

const float *CherryScores::row(int64_t row, std::vector<float> &storage) const {
  if (scores)
    return scores + row * k;
  storage.resize(k);
  const float *from = w + row * k;
  if (criterion == CherryCriterion::QuantError) {
    detail::decodeRow(rounded, row, storage.data());
    const float *factor =
        inputs.fisher ? inputs.fisher + row * k : inputs.columnWeights;
    for (int64_t column = 0; column < k; ++column) {
      float error = from[column] - storage[column];
      storage[column] = error * error * (factor ? factor[column] : 1.0f);
    }
    return storage.data();
  }
  for (int64_t column = 0; column < k; ++column)
    storage[column] = std::fabs(from[column]);
  if (criterion == CherryCriterion::Activation)
    for (int64_t column = 0; column < k; ++column)
      storage[column] *= rootMeanSquares[column];
  return storage.data();
}

llvm::Expected<CherryPositions>
mlir::cq::selectCherries(const float *w, int64_t n, int64_t k,
                         const CherrySpec &spec, CherryCriterion criterion,
                         const Scheme &scheme, const CherryInputs &inputs) {
  if (llvm::Error error = spec.check(n, k))
    return std::move(error);
  CherryPositions cherries;
  cherries.spec = spec;
  cherries.columns.resize(spec.numColumns(n, k) * spec.columnBytes());
  if (spec.form == CherryForm::None)
    return cherries;
  CherryScores scores(w, n, k, inputs);
  if (llvm::Error error = scores.prepare(criterion, scheme))
    return std::move(error);
  auto scoreRow = [&](int64_t row, std::vector<float> &storage) {
    return scores.row(row, storage);
  };
  unsigned threads = inputs.threads;

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
