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
#include "cq/Runtime/Session.h"

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

/// @forward_N and @logits_N, which `cq import` writes for chunks of N tokens.
struct ChunkFunctions {
  int64_t tokens = 0;
  const FunctionInfo *forward = nullptr, *logits = nullptr;
};
struct LanguageFunctions {
  std::vector<ChunkFunctions> chunks; ///< at least one
  SessionShape shape;
};
/// Those of a language model. Errors: there is none, other signatures.
llvm::Expected<LanguageFunctions>
findChunkFunctions(const ModuleInterface &interface, llvm::StringRef path);

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_MODELFILES_H
