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
#include "cq/Model/Parameters.h"
#include "cq/Model/Tokenizer.h"

namespace mlir::cq {

/// The module in `path`: itself, or model.mlir of a folder. Errors: no file.
llvm::Expected<std::string> findModule(llvm::StringRef path);

/// What `cq.parameters` of the module at `modulePath` names.
llvm::Expected<std::unique_ptr<ParameterArchive>>
openParameters(const ModuleInterface &interface, llvm::StringRef modulePath);

/// What `cq.tokenizer` names, else the one in the archive; null where neither
/// has any.
llvm::Expected<std::shared_ptr<Tokenizer>>
openTokenizer(const ModuleInterface &interface, llvm::StringRef modulePath,
              const ParameterArchive &archive);

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_MODELFILES_H
