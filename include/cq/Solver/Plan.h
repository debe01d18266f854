//===- Plan.h - Which weight gets which bits --------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// A plan says for every weight of a model how it is stored, and why. It is a
// JSON file that people write, edit and give back, so it is read as hostile
// input: docs/Plan.md has the schema.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SOLVER_PLAN_H
#define CQ_SOLVER_PLAN_H

#include "cq/Codec/Layout.h"
#include "cq/Codec/MixedRows.h"
#include "cq/Codec/Quantizer.h"
#include "llvm/Support/JSON.h"
#include <optional>
#include <string>
#include <vector>

namespace mlir::cq {

/// What is known of a weight before anything is decided.
struct WeightFacts {
  std::string name;
  int64_t n = 0, k = 0;     ///< [out_features, in_features]
  bool feedsGather = false; ///< an embedding: rows are looked up
  bool isHead = false;      ///< its product is the model's logits
  /// Weights of one number enter one argument of a shared function: its code is
  /// one, so they are stored in one way. −1: none.
  int64_t sharedArgument = -1;
  /// Weights of one number multiply one input (q, k, v; gate, up). −1: alone.
  int64_t fusedInput = -1;
};

/// What a weight could have become, for the record.
struct PlanCandidate {
  std::string choice; ///< StorageChoice::str()
  int64_t bytes = 0;
  double loss = 0;
};

/// How a plan came about, for the record.
struct PlanDecision {
  std::string method;            ///< "exact", "lim", "by hand"…
  std::string loss;              ///< kind of loss, MeasurementHeader::loss
  int64_t budget = 0, bytes = 0; ///< of the budget, what is spent
  int64_t otherBytes = 0;        ///< of both, what was not to be decided
  double predictedLoss = 0;
  std::optional<double> bound; ///< no plan within the budget is below
  double price = 0;            ///< loss that one more byte would save
  /// Least predicted loss over bits per weight of what was decided,
  /// interactions between blocks left out; empty where it was not asked for.
  std::vector<std::pair<double, double>> curve;
};

/// How one weight is stored.
struct PlanEntry {
  std::string weight;
  int64_t n = 0, k = 0;
  bool keep = false; ///< left as it is; the fields below mean nothing
  Scheme scheme;
  QuantizerKind quantizer = QuantizerKind::RTN;
  LayoutKind layout = LayoutKind::Panel16;
  CherrySpec cherries;
  CherryCriterion criterion = CherryCriterion::QuantError;
  WideRows wide;                         ///< rows of more bits, if any
  std::string reason;                    ///< why, for people
  std::vector<PlanCandidate> candidates; ///< record; empty: there was no choice

  /// Exact bytes of the planes; 0 for a kept weight.
  int64_t bytes() const;
  Layout codeLayout() const { return wide.layout(layout, n, scheme.bits); }
};

/// Totals over the quantized weights of a plan.
struct PlanTotals {
  int64_t weights = 0, bytes = 0; ///< quantized
  int64_t keptWeights = 0;
  double bitsPerWeight() const {
    return weights
               ? 8.0 * static_cast<double>(bytes) / static_cast<double>(weights)
               : 0.0;
  }
};

struct Plan {
  /// Version 1 lacks the records, version 2 wide rows; both are still read.
  static constexpr int64_t version = 3;
  std::vector<PlanEntry> entries;
  std::optional<PlanDecision> decision;

  /// Null when the plan does not mention the weight.
  const PlanEntry *find(llvm::StringRef weight) const;
  PlanTotals totals() const;
  /// Of what was to be decided, what the decision's curve counts; 0 without a
  /// decision.
  double decidedBitsPerWeight() const;

  llvm::json::Value toJSON() const;
  /// Unknown keys, duplicates, wrong types and values out of range are errors
  /// of one sentence that names `origin` and the weight.
  static llvm::Expected<Plan> fromJSON(llvm::StringRef text,
                                       llvm::StringRef origin);
  static llvm::Expected<Plan> read(llvm::StringRef path);
  /// Temporary name, then rename.
  llvm::Error write(llvm::StringRef path) const;
};

/// Checks a plan, whoever made it, against the facts: every weight is there
/// once, with its shape; schemes, layouts and cherries are possible for it; and
/// the bytes, counted again plane by plane without the codec's own accounting,
/// are those that the plan states; a solved plan keeps its own budget.
llvm::Error verifyPlan(const Plan &plan, llvm::ArrayRef<WeightFacts> facts);

} // namespace mlir::cq

#endif // CQ_SOLVER_PLAN_H
