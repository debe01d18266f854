//===- ModelFiles.h - Files that a module names -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_EXECUTION_MODELFILES_H
#define CQ_LIB_EXECUTION_MODELFILES_H

#include "cq/Execution/ModuleInterface.h"
#include "cq/Execution/ParameterTable.h"
#include "cq/Model/Parameters.h"
#include "cq/Model/Tokenizer.h"

namespace mlir::cq {

/// The module in `path`: itself, or model.mlir of a folder. Errors: no file.
llvm::Expected<std::string> findModule(llvm::StringRef path);

/// What compiled code runs on.
struct ModelFiles {
  std::unique_ptr<ParameterArchive> archive; ///< `cq.parameters`
  /// `cq.tokenizer`, else the one in the archive; null where neither has any.
  std::shared_ptr<Tokenizer> tokenizer;
  ParameterTable table;

  /// Of the module at `modulePath`, which `interface` describes.
  static llvm::Expected<ModelFiles> open(const ModuleInterface &interface,
                                         llvm::StringRef modulePath,
                                         unsigned threads);
};

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_MODELFILES_H
