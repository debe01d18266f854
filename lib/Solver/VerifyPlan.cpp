//===- VerifyPlan.cpp - A second opinion on every plan --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// Counts bytes from first principles, without Layout and CherrySpec, so that an
// error there does not confirm itself.
//
//===----------------------------------------------------------------------===//

#include "cq/Solver/Plan.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir::cq;

static int64_t roundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Columns that one packed unit of a panel holds (kernels.md, section 1).
static int64_t unitColumns(unsigned bits) {
  switch (bits) {
  case 2:
    return 16;
  case 3:
    return 32;
  case 4:
    return 8;
  case 5:
    return 32;
  case 6:
    return 16;
  default:
    return 4;
  }
}

static int64_t countBytes(const PlanEntry &entry) {
  const Scheme &scheme = entry.scheme;
  bool panels = entry.layout != LayoutKind::Linear;
  bool fragments = entry.layout == LayoutKind::MmaFragment;
  int64_t rows = panels ? roundUp(entry.n, 16) : entry.n;
  int64_t length = scheme.group == 0 ? entry.k : scheme.group;
  int64_t groups = roundUp(entry.k, length) / length;

  auto codesOf = [&](int64_t count, unsigned bits) {
    return panels
               ? count * roundUp(entry.k, fragments ? 64 : unitColumns(bits)) *
                     bits / 8
               : count * (roundUp(entry.k * bits, 8) / 8);
  };
  // Wide rows are whole panels, so the padding is all the others'.
  int64_t codes = codesOf(rows - entry.wide.count, scheme.bits), order = 0;
  if (entry.wide.count != 0) {
    codes += codesOf(entry.wide.count, entry.wide.bits);
    order = entry.n * (entry.n > 65536 ? 4 : 2); // a row number each
  }
  int64_t scales = rows * groups * (scheme.scaleType == ScaleType::F32 ? 4 : 2);
  int64_t zeros = scheme.grid == Grid::Affine ? rows * groups : 0;

  int64_t cherries = 0;
  switch (entry.cherries.form) {
  case CherryForm::None:
    break;
  case CherryForm::Element: // u16 column and f16 delta each
    cherries = entry.n * entry.cherries.count * 4;
    break;
  case CherryForm::Column: // a column of f16, and its u16 index once
    cherries = entry.cherries.count * (entry.n * 2 + 2);
    break;
  case CherryForm::Slot: // u8 column and f16 delta in each row and block
    cherries = roundUp(entry.n, 16) *
               (entry.k / 256 + (entry.k % 256 >= 128 ? 1 : 0)) *
               entry.cherries.count * 3;
    break;
  }
  return codes + scales + zeros + cherries + order;
}

static llvm::Error verifyEntry(const PlanEntry &entry,
                               const WeightFacts &weight) {
  auto fail = [&](const llvm::Twine &what) {
    return llvm::createStringError("the plan's entry for weight '" +
                                   entry.weight + "' " + what);
  };
  if (entry.n != weight.n || entry.k != weight.k)
    return fail(
        llvm::formatv("is for shape {0}x{1} and the model's is {2}x{3}; "
                      "the plan was made for another model",
                      entry.n, entry.k, weight.n, weight.k)
            .str());
  if (entry.keep)
    return llvm::Error::success();
  if (llvm::Error error = entry.scheme.check())
    return fail("has an impossible scheme: " +
                llvm::toString(std::move(error)));
  if (llvm::Error error = entry.wide.check(entry.n, entry.scheme))
    return fail("has impossible wide rows: " +
                llvm::toString(std::move(error)));
  if (entry.wide && weight.feedsGather)
    return fail("has wide rows, but its rows are looked up (an embedding), and "
                "a lookup needs them in order; remove 'wide_rows'");
  if (llvm::Error error = entry.codeLayout().check(entry.n, entry.k))
    return fail("has an impossible layout: " +
                llvm::toString(std::move(error)));
  if (llvm::Error error = entry.cherries.check(entry.n, entry.k))
    return fail("has impossible cherries: " + llvm::toString(std::move(error)));
  if (int64_t counted = countBytes(entry); counted != entry.bytes())
    return fail(
        llvm::formatv("takes {0} bytes by one count and {1} by another; "
                      "please report this",
                      entry.bytes(), counted)
            .str());
  return llvm::Error::success();
}

/// A solved plan states its budget; edits by hand may not pass it unnoticed.
static llvm::Error verifyBudget(const Plan &plan) {
  if (!plan.decision)
    return llvm::Error::success();
  int64_t bytes = plan.decision->otherBytes;
  for (const PlanEntry &entry : plan.entries)
    if (!entry.keep && !entry.candidates.empty())
      bytes += countBytes(entry);
    else if (llvm::any_of(entry.candidates, [](const PlanCandidate &candidate) {
               return candidate.choice == "keep";
             }))
      bytes += 4 * entry.n * entry.k; // kept by decision, not beside it
  if (bytes <= plan.decision->budget)
    return llvm::Error::success();
  return llvm::createStringError(llvm::formatv(
      "the plan takes {0} bytes and its own decision allows {1}; give weights "
      "fewer bits, raise 'budget' in its 'decision', or remove the decision",
      bytes, plan.decision->budget));
}

llvm::Error mlir::cq::verifyPlan(const Plan &plan,
                                 llvm::ArrayRef<WeightFacts> facts) {
  llvm::StringMap<const PlanEntry *> entries;
  for (const PlanEntry &entry : plan.entries)
    if (!entries.try_emplace(entry.weight, &entry).second)
      return llvm::createStringError("the plan has weight '" + entry.weight +
                                     "' twice");
  for (const WeightFacts &weight : facts) {
    const PlanEntry *entry = entries.lookup(weight.name);
    if (!entry)
      return llvm::createStringError(
          "the plan does not mention weight '" + weight.name +
          "'; add an entry, or one with \"keep\": true");
    if (llvm::Error error = verifyEntry(*entry, weight))
      return error;
    entries.erase(weight.name);
  }
  if (llvm::Error error = verifyBudget(plan))
    return error;
  if (!entries.empty())
    for (const PlanEntry &entry : plan.entries)
      if (entries.contains(entry.weight))
        return llvm::createStringError(
            "the plan mentions weight '" + entry.weight +
            "', which the model does not have; remove the entry");
  return llvm::Error::success();
}
