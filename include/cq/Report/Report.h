//===- Report.h - What was measured and decided, as a page ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Numbers of a model, its statistics and its quantized folder, and one HTML
// page that shows them: inline SVG, no network, light and dark. A number that
// an input is missing for is absent from the page, not an error.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_REPORT_REPORT_H
#define CQ_REPORT_REPORT_H

#include "cq/Stats/Statistics.h"
#include "llvm/Support/JSON.h"
#include <optional>

namespace mlir::cq {

class ParameterArchive;

/// One weight matrix W [n, k].
struct MatrixReport {
  std::string weight;
  std::optional<int64_t> block; ///< none outside transformer blocks
  std::string role;             ///< "attn_q": the name without block and suffix
  int64_t n = 0, k = 0;
  /// Heterogeneity scores by criterion.
  std::optional<double> impact, activation, magnitude;
  /// Share of the top 1/256 by impact that two statistics files agree on.
  std::optional<double> overlap;
  // From the plan.
  bool planned = false, kept = false;
  std::string scheme, quantizer, cherries, reason;
  std::optional<double> bits; ///< bits per weight, everything counted
  int64_t bytes = 0;
  llvm::json::Object decision; ///< fields of the plan not shown otherwise
  /// Σ E[x²] (w − ŵ)² / Σ E[x²] w²; unweighted without statistics.
  std::optional<double> error;
};

struct BlockReport {
  int64_t block = 0;
  std::optional<double> limToken, limFlat, zd;
};

/// A sample of one matrix's weights.
struct ScatterReport {
  struct Point {
    int64_t row, column;
    float impact, activation, magnitude;
    bool cherry; ///< in the top 1/256 by impact
  };
  std::string weight;
  int64_t n = 0, k = 0;
  bool hasActivation = false;
  std::vector<Point> points;
};

/// What the plan's budget buys, and what others would.
struct CurveReport {
  std::string loss; ///< kind of what is predicted
  std::vector<std::pair<double, double>> predicted; ///< bits per weight, loss
  std::pair<double, double> chosen;                 ///< of this plan
  double price = 0; ///< loss that one more byte would save
  std::vector<std::pair<double, double>> measured; ///< bits, KL divergence
};

struct Report {
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts; ///< the header
  bool weightedError = false;
  std::vector<MatrixReport> matrices;
  std::vector<BlockReport> blocks;
  std::optional<ScatterReport> scatter;
  std::optional<CurveReport> curve;
};

/// Everything but the title may be missing.
struct ReportInputs {
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;
  const ParameterArchive *model = nullptr; ///< unquantized
  /// The first one's impact is shown; the second's overlap with it.
  std::vector<const StatisticsReader *> statistics;
  std::string planText, planPath;              ///< plan.json
  const ParameterArchive *quantized = nullptr; ///< the plan's planes
  /// Bits per weight and measured KL divergence of plans of this model.
  std::vector<std::pair<double, double>> measured;
  std::string scatterWeight; ///< regular expression; else the highest HScore
  unsigned threads = 0;
};

/// Errors: damaged files, a model that the statistics were not measured on.
llvm::Expected<Report> collectReport(const ReportInputs &inputs);

/// The page; a function of the report alone.
std::string renderReport(const Report &report);

} // namespace mlir::cq

#endif // CQ_REPORT_REPORT_H
