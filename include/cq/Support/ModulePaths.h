//===- ModulePaths.h - Files that a module refers to ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// `cq.parameters` and `cq.tokenizer` name files as seen from the folder of the
// module that holds them, so that a folder can be moved as a whole.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_MODULEPATHS_H
#define CQ_SUPPORT_MODULEPATHS_H

#include "llvm/ADT/StringRef.h"
#include <string>

namespace mlir::cq {

/// The path of `file` as the module at `modulePath` refers to it.
std::string resolveBeside(llvm::StringRef modulePath, llvm::StringRef file);

/// `folder`/`file`.
std::string inFolder(llvm::StringRef folder, llvm::StringRef file);

} // namespace mlir::cq

#endif // CQ_SUPPORT_MODULEPATHS_H
