//===- WeightStatistics.h - A statistics file, by weight --------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// What passes ask of a statistics file: just what one weight's quantizer and
// criterion need. Factorised second moments are kept for the next weights of
// the same input (q, k and v; gate and up), as many as a bound of memory
// allows.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_DIALECT_CQ_TRANSFORMS_WEIGHTSTATISTICS_H
#define CQ_LIB_DIALECT_CQ_TRANSFORMS_WEIGHTSTATISTICS_H

#include "cq/Codec/MixedRows.h"
#include "cq/Stats/Statistics.h"
#include <deque>

namespace mlir::cq {

class WeightStatistics {
public:
  /// An empty path gives null: no statistics.
  static llvm::Expected<std::unique_ptr<WeightStatistics>>
  open(llvm::StringRef path);

  const StatisticsReader &reader() const { return *statistics; }

  /// Second moments of W's input [n, k], factorised.
  llvm::Expected<std::shared_ptr<const SecondMoments>>
  moments(llvm::StringRef weight, int64_t n, int64_t k, unsigned threads);

private:
  struct Factorised {
    std::string input; ///< its first weight
    std::shared_ptr<const SecondMoments> moments;
  };
  std::unique_ptr<StatisticsReader> statistics;
  std::deque<Factorised> kept; ///< the last used is the last
};

/// What quantizing W [n, k] may use, and the memory behind it.
struct WeightKnowledge {
  std::vector<float> columnWeights, fisher; ///< empty: unknown
  std::shared_ptr<const SecondMoments> moments;
  QuantizerKind quantizer;
  /// Why `quantizer` is not the one asked for; else empty.
  std::string fallback;
  llvm::SmallVector<RowSegment, 1> segments; ///< of rows of several widths

  const float *columns() const {
    return columnWeights.empty() ? nullptr : columnWeights.data();
  }
  QuantizerInputs quantizerInputs(unsigned threads) const;
  CherryInputs cherryInputs(unsigned threads) const;
  RowInputs rowInputs(unsigned threads) const;
};

/// Reads what `quantizer` and, with cherries, `criterion` need, and what there
/// is to rank rows by. `statistics`
/// may be null. Errors, of one sentence that names the remedy: statistics that
/// are needed and absent. A Gram matrix that cannot be factorised is none:
/// quantizer becomes weighted mse and `fallback` says why.
llvm::Expected<WeightKnowledge>
learnAbout(llvm::StringRef weight, int64_t n, int64_t k,
           QuantizerKind quantizer, std::optional<CherryCriterion> criterion,
           WeightStatistics *statistics, unsigned threads,
           bool ranksRows = false);

/// Success where `statistics` have what the choice needs for this weight, else
/// the sentence; reads no matrices.
llvm::Error checkAvailable(llvm::StringRef weight, QuantizerKind quantizer,
                           std::optional<CherryCriterion> criterion,
                           const StatisticsReader *statistics);

} // namespace mlir::cq

#endif // CQ_LIB_DIALECT_CQ_TRANSFORMS_WEIGHTSTATISTICS_H
