//===- Budget.h - Options of verbs that spend a budget -- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_BUDGET_H
#define CQ_TOOLS_CQ_BUDGET_H

#include "ImportedModule.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Error.h"

namespace mlir::cq::tool {

/// What `cq quantize` and `cq plan` share: a budget, and how to spend it.
struct BudgetOptions {
  BudgetOptions(llvm::cl::SubCommand &command,
                llvm::cl::OptionCategory &category);

  /// Says that a budget is spent better by what is known of the model.
  static void adviseStatistics();

  bool given() const { return !bpw.empty() || !size.empty(); }
  /// Options of cq-quantize: bpw, losses, … Where no measurement file is named,
  /// one in the cache folder belongs to this archive and these statistics, so
  /// that the next budget is solved at once. `keep` and `overrides`: the verb's
  /// own options, joined by the override file.
  llvm::Expected<PipelineOptions>
  pipelineOptions(llvm::StringRef archive, llvm::StringRef stats,
                  llvm::StringRef overrides) const;
  std::string lossesPath(llvm::StringRef archive, llvm::StringRef stats) const;

  llvm::cl::opt<std::string> bpw, size, losses, loss, choices, rowRatios,
      method, seed, low, high, tie, floors, ceilings, overrideFile;
  llvm::cl::opt<bool> noInteractions;
};

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_BUDGET_H
