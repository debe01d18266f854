//===- StorageChoice.h - One way to store a weight ----------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SOLVER_STORAGECHOICE_H
#define CQ_SOLVER_STORAGECHOICE_H

#include "cq/Solver/Plan.h"

namespace mlir::cq {

/// One way to store any weight, written SCHEME[/QUANTIZER][/CHERRIES]:
///
///   b3-g128                                   rtn, no cherries
///   b3-g64-symmetric-f16/gptq/slot1-impact    1 cherry a (row, 256 columns)
///
/// CHERRIES is FORM COUNT-CRITERION with the forms and criteria of the codec.
struct StorageChoice {
  Scheme scheme;
  QuantizerKind quantizer = QuantizerKind::RTN;
  CherrySpec cherries;
  CherryCriterion criterion = CherryCriterion::Magnitude;

  /// All fields, so that equal choices have equal text.
  std::string str() const;
  /// Fields that are left out take their defaults.
  static llvm::Expected<StorageChoice> parse(llvm::StringRef text);

  /// The plan's entry for a weight; cherries where there is room for one.
  PlanEntry entryFor(const WeightFacts &weight,
                     LayoutKind layout = LayoutKind::Panel16) const;
  /// The choice that an entry states.
  static StorageChoice of(const PlanEntry &entry);
};

/// 2 to 8 bits, with and without cherries where bits are few: what to measure
/// when nobody says otherwise. `criterion` selects the cherries.
std::vector<StorageChoice> defaultChoices(QuantizerKind quantizer,
                                          CherryCriterion criterion);

/// Every text as a choice; the second of two equal ones is left out.
llvm::Expected<std::vector<StorageChoice>>
parseChoices(llvm::ArrayRef<std::string> texts);

/// "60MB" (10^6), "1.5GiB", "123456": bytes, or a sentence.
llvm::Expected<int64_t> parseByteCount(llvm::StringRef text);

} // namespace mlir::cq

#endif // CQ_SOLVER_STORAGECHOICE_H
