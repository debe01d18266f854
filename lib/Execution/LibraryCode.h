//===- LibraryCode.h - The C interface of a compiled library ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_EXECUTION_LIBRARYCODE_H
#define CQ_LIB_EXECUTION_LIBRARYCODE_H

#include "ModelFiles.h"
#include "cq/Execution/AheadOfTime.h"

namespace llvm {
class Module;
} // namespace llvm

namespace mlir::cq {

/// Where parameters lie in a weights file, and how to know the file again.
struct WeightsMap {
  std::string path;
  std::vector<int64_t> offsets; ///< in the order of the parameter table
  int64_t fileBytes = 0, headBytes = 0;
  uint64_t headHash = 0;
};

/// Adds the table that cq_model_open reads and the functions `<name>_open` …
/// that forward to the runtime; makes everything else internal.
void addLibraryInterface(llvm::Module &module, const CompiledLibrary &library,
                         const LanguageFunctions &functions,
                         const WeightsMap &weights);

/// The header that declares them.
std::string printLibraryHeader(const CompiledLibrary &library,
                               const LanguageFunctions &functions,
                               const WeightsMap &weights);

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_LIBRARYCODE_H
