//===- UniformPlan.h - The same bits for every layer ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SOLVER_UNIFORMPLAN_H
#define CQ_SOLVER_UNIFORMPLAN_H

#include "cq/Solver/StorageChoice.h"

namespace mlir::cq {

/// A regular expression over weight names, and the scheme it gives.
struct SchemeOverride {
  std::string pattern;
  Scheme scheme;
  /// "REGEX:b8-g64-symmetric-f16"; the part after the last colon is the scheme.
  static llvm::Expected<SchemeOverride> parse(llvm::StringRef text);
};

struct UniformPlanOptions {
  Scheme scheme;
  /// For weights that feed a gather or are the head (methods.md: two thirds of
  /// the vocabulary is rare words, whose rows nothing else averages out).
  Scheme headScheme{8, 64, Grid::Symmetric, ScaleType::F16};
  QuantizerKind quantizer = QuantizerKind::RTN;
  LayoutKind layout = LayoutKind::Panel16;
  CherryForm cherryForm = CherryForm::None;
  double cherryRatio = 1.0 / 256;
  CherryCriterion criterion = CherryCriterion::QuantError;
  RowShare rows; ///< rows of more bits, where the scheme above is used
  std::vector<std::string> keep;         ///< regular expressions
  std::vector<SchemeOverride> overrides; ///< the first that matches wins
};

/// One entry for every weight, in the order of the facts. Kept weights: `keep`
/// matches. Cherries: where the form has room for one (a `slot` block wants 128
/// columns) and the weight is not at the head's scheme. Errors: impossible
/// options, a regular expression that does not compile, a pattern that matches
/// no weight (a typing error that would otherwise pass unseen).
llvm::Expected<Plan> solveUniform(llvm::ArrayRef<WeightFacts> facts,
                                  const UniformPlanOptions &options);

} // namespace mlir::cq

#endif // CQ_SOLVER_UNIFORMPLAN_H
