//===- CollectPlan.cpp - What was decided and what it cost ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Collect.h"
#include "cq/Model/QuantizedArchive.h"
#include "cq/Solver/StorageChoice.h"
#include "cq/Support/BoundedJSON.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/Progress.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FormatVariadic.h"
#include <map>

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

/// Fields of a plan's entry that have columns of their own.
static bool isShown(StringRef key) {
  for (StringRef shown :
       {"weight", "shape", "reason", "keep", "scheme", "quantizer", "layout",
        "cherries", "wide_rows", "bytes"})
    if (key == shown)
      return true;
  return false;
}

static void addEntry(const PlanEntry &entry, MatrixReport &matrix) {
  matrix.weight = entry.weight;
  matrix.n = entry.n;
  matrix.k = entry.k;
  matrix.planned = true;
  matrix.kept = entry.keep;
  matrix.reason = entry.reason;
  if (entry.keep)
    return;
  matrix.scheme = entry.scheme.str();
  if (RowShare rows = RowShare::of(entry.wide, entry.n))
    matrix.scheme += "+rows=" + rows.str();
  matrix.quantizer = stringifyQuantizerKind(entry.quantizer).str();
  matrix.bytes = entry.bytes();
  matrix.bits = 8.0 * double(matrix.bytes) / double(entry.n) / double(entry.k);
  if (entry.cherries.form != CherryForm::None)
    matrix.cherries = (llvm::Twine(entry.cherries.count) + " " +
                       stringifyCherryForm(entry.cherries.form) + " by " +
                       stringifyCherryCriterion(entry.criterion))
                          .str();
}

Error mlir::cq::collectPlan(const ReportInputs &inputs, Report &report) {
  auto plan = Plan::fromJSON(inputs.planText, inputs.planPath);
  if (!plan)
    return plan.takeError();
  // The same text again, for what later versions add to an entry.
  auto json = parseBoundedJSON(inputs.planText, inputs.planPath);
  if (!json)
    return json.takeError();
  const llvm::json::Array *weights = json->getAsObject()->getArray("weights");
  for (auto [i, entry] : llvm::enumerate(plan->entries)) {
    MatrixReport &matrix = report.matrices.emplace_back();
    addEntry(entry, matrix);
    if (weights && i < weights->size())
      if (const llvm::json::Object *object = (*weights)[i].getAsObject())
        for (const auto &[key, value] : *object)
          if (!isShown(key))
            matrix.decision[key] = value;
  }
  PlanTotals totals = plan->totals();
  report.facts.emplace_back(
      "Plan", llvm::formatv("{0:f3} bits per weight over {1} quantized "
                            "weights, {2}",
                            totals.bitsPerWeight(), formatCount(totals.weights),
                            formatBytes(totals.bytes)));
  if (const auto &decision = plan->decision;
      decision && !decision->curve.empty())
    report.curve =
        CurveReport{decision->loss,
                    decision->curve,
                    {plan->decidedBitsPerWeight(), decision->predictedLoss},
                    decision->price,
                    inputs.measured};
  // How the plan was found, where it says so: numbers and words, by name.
  if (const llvm::json::Object *decision =
          json->getAsObject()->getObject("decision")) {
    std::map<std::string, std::string> parts;
    for (const auto &[key, value] : *decision)
      if (!value.getAsArray()) // the curve has a plot
        parts[key.str()] = value.getAsString()
                               ? value.getAsString()->str()
                               : llvm::formatv("{0}", value).str();
    std::string text;
    for (const auto &[key, value] : parts)
      text += (text.empty() ? "" : ", ") + key + " " + value;
    report.facts.emplace_back("Decision", text);
  }
  return Error::success();
}

/// The planes of `entry` in the archive, decoded.
static llvm::Expected<std::vector<float>>
decodeWeight(const ReportInputs &inputs, const PlanEntry &entry) {
  CherryPositions cherries;
  auto quantized = readQuantizedWeight(*inputs.quantized, entry, cherries);
  if (!quantized)
    return quantized.takeError();
  std::vector<float> values(entry.n * entry.k);
  dequantizeWeight(
      *quantized, entry.cherries.form == CherryForm::None ? nullptr : &cherries,
      values.data(), inputs.threads);
  return values;
}

/// Σ weight (w − ŵ)² / Σ weight w² over rows of k columns; no weights: all 1.
static double relativeError(const std::vector<float> &w,
                            const std::vector<float> &decoded,
                            const std::vector<float> &columnWeights,
                            int64_t k) {
  double error = 0, size = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    double weight = columnWeights.empty() ? 1 : columnWeights[i % k];
    double difference = double(w[i]) - decoded[i];
    error += weight * difference * difference;
    size += weight * w[i] * w[i];
  }
  return size > 0 ? error / size : 0;
}

Error mlir::cq::collectErrors(const ReportInputs &inputs, Report &report) {
  auto plan = Plan::fromJSON(inputs.planText, inputs.planPath);
  if (!plan)
    return plan.takeError();
  const StatisticsReader *reader =
      inputs.statistics.empty() ? nullptr : inputs.statistics.front();
  report.weightedError = reader;
  for (MatrixReport &matrix : report.matrices) {
    const PlanEntry *entry = plan->find(matrix.weight);
    if (!entry || entry->keep)
      continue;
    auto w = loadWeight(inputs, matrix);
    if (!w)
      return w.takeError();
    auto decoded = decodeWeight(inputs, *entry);
    if (!decoded)
      return decoded.takeError();
    std::vector<float> columnWeights;
    if (reader && reader->hasInput(matrix.weight)) {
      auto squares = reader->meanSquares(matrix.weight, matrix.n, matrix.k);
      if (!squares)
        return squares.takeError();
      columnWeights = std::move(*squares);
    }
    matrix.error = relativeError(*w, *decoded, columnWeights, matrix.k);
  }
  return Error::success();
}
