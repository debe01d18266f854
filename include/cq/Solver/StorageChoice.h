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

/// Rows of more bits in any weight: a share of its rows, which each weight
/// rounds to whole panels (WideRows::roundedCount).
struct RowShare {
  int64_t numerator = 0, denominator = 1; ///< in lowest terms; 0: none
  unsigned bits = 0;

  explicit operator bool() const { return numerator != 0; }
  /// "1/8:b4"
  std::string str() const;
  /// A fraction or a decimal below 1, then the width; "0" is none.
  static llvm::Expected<RowShare> parse(llvm::StringRef text);
  /// The share that some rows are.
  static RowShare of(const WideRows &wide, int64_t n);
};

/// A share of rows below 1, "1/8" or "0.125", as {numerator, denominator}.
llvm::Expected<std::pair<int64_t, int64_t>> parseShare(llvm::StringRef text);

/// One way to store any weight, written
/// SCHEME[+rows=SHARE:bBITS][/QUANTIZER][/CHERRIES]:
///
///   b3-g128                                   rtn, no cherries
///   b3-g64-symmetric-f16/gptq/slot1-impact    1 cherry a (row, 256 columns)
///   b3-g128+rows=1/8:b4/gptq                  an eighth of the rows at 4 bits
///   keep                                      as it is, f32 in the archive
///
/// CHERRIES is FORM COUNT-CRITERION with the forms and criteria of the codec.
struct StorageChoice {
  Scheme scheme;
  QuantizerKind quantizer = QuantizerKind::RTN;
  CherrySpec cherries;
  CherryCriterion criterion = CherryCriterion::Magnitude;
  RowShare rows = {};
  bool keep = false; ///< the fields above mean nothing

  /// All fields, so that equal choices have equal text.
  std::string str() const;
  /// Fields that are left out take their defaults.
  static llvm::Expected<StorageChoice> parse(llvm::StringRef text);

  /// The plan's entry for a weight; cherries where there is room for one, wide
  /// rows where there are two panels and nobody looks rows up.
  PlanEntry entryFor(const WeightFacts &weight,
                     LayoutKind layout = LayoutKind::Panel16) const;
  /// Exact bytes in the archive, a kept weight's too.
  int64_t bytes(const WeightFacts &weight,
                LayoutKind layout = LayoutKind::Panel16) const;
  /// Nominal width, what floors and ceilings look at.
  double bits() const { return keep ? 32 : scheme.bits; }
  /// The choice that an entry states.
  static StorageChoice of(const PlanEntry &entry);
};

/// REGEX:CHOICE at the colon between them; a share of rows has one of its own.
std::pair<llvm::StringRef, llvm::StringRef> splitOverride(llvm::StringRef text);

/// The candidate that an entry became; null without a record of it.
const PlanCandidate *chosenCandidate(const PlanEntry &entry);

/// 2 to 8 bits, with and without cherries where bits are few: what to measure
/// when nobody says otherwise. `criterion` selects the cherries.
std::vector<StorageChoice> defaultChoices(QuantizerKind quantizer,
                                          CherryCriterion criterion);

/// Every text as a choice; the second of two equal ones is left out.
llvm::Expected<std::vector<StorageChoice>>
parseChoices(llvm::ArrayRef<std::string> texts);

/// `choices`, and each of those of up to 4 bits again for every share of `rows`
/// ("1/8", one width up, or "1/8:8"; "0" adds nothing). More bits save little
/// in a weight that has 5 already. Errors: a share that is none.
llvm::Expected<std::vector<StorageChoice>>
withRowShares(std::vector<StorageChoice> choices,
              llvm::ArrayRef<std::string> rows);

/// "60MB" (10^6), "1.5GiB", "123456": bytes, or a sentence.
llvm::Expected<int64_t> parseByteCount(llvm::StringRef text);

} // namespace mlir::cq

#endif // CQ_SOLVER_STORAGECHOICE_H
