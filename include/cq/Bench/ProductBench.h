//===- ProductBench.h - Packed products against the clock -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A product is what a layer runs: quantizing its activations, launching the
// kernel, the kernel. Cases of one weight are measured in turn, round by round,
// and so are the machine's peaks, so that ratios hold on a machine whose speed
// drifts.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_BENCH_PRODUCTBENCH_H
#define CQ_BENCH_PRODUCTBENCH_H

#include "cq/Codec/Scheme.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"
#include <functional>
#include <string>
#include <vector>

namespace mlir::cq {

struct ProductBenchOptions {
  std::vector<std::pair<int64_t, int64_t>> shapes; ///< rows N × columns K
  std::vector<Scheme> schemes;
  std::vector<int64_t> tokens;
  std::vector<int> threads;
  bool resident = true; ///< one copy of the weight, read again and again
  bool rotating = true; ///< copies of 256 MB in all, read in turn
  CherryForm cherries = CherryForm::None; ///< at a ratio of 1/256
  unsigned rounds = 7;
  double seconds = 0.02; ///< of one measurement
};

/// Times in seconds: the median and the best of all rounds.
struct Times {
  double median = 0, best = 0;
  static Times of(std::vector<double> samples);
};

struct ProductResult {
  int64_t n = 0, k = 0, tokens = 0;
  Scheme scheme;
  int threads = 1;
  bool rotating = false;
  int64_t weightBytes = 0;
  Times time;
  /// Of the rounds of the same weight, by all `threads`.
  double readBandwidth = 0, multipliers = 0;

  double weightsPerSecond() const { return double(n) * k / time.median; }
  double bytesPerSecond() const { return double(weightBytes) / time.median; }
  double macsPerSecond() const { return weightsPerSecond() * tokens; }
  /// The least time that bytes and multipliers allow (bytes: where they come
  /// from memory), over the time taken.
  double shareOfLimit() const;
  llvm::json::Value toJSON() const;
};

/// Measures every combination; `report` sees each result when its weight is
/// through.
llvm::Error benchProducts(const ProductBenchOptions &options,
                          std::function<void(const ProductResult &)> report);

/// A chart of MAC/s over tokens, one line a weight, under what bandwidth and
/// multipliers allow. SVG.
std::string plotRoofline(const std::vector<ProductResult> &results,
                         int threads);

} // namespace mlir::cq

#endif // CQ_BENCH_PRODUCTBENCH_H
