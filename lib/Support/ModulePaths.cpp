//===- ModulePaths.cpp - Files that a module refers to --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/ModulePaths.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/Path.h"

std::string mlir::cq::resolveBeside(llvm::StringRef modulePath,
                                    llvm::StringRef file) {
  if (llvm::sys::path::is_absolute(file))
    return file.str();
  llvm::SmallString<128> path = llvm::sys::path::parent_path(modulePath);
  llvm::sys::path::append(path, file);
  return path.str().str();
}

std::string mlir::cq::inFolder(llvm::StringRef folder, llvm::StringRef file) {
  llvm::SmallString<128> path(folder);
  llvm::sys::path::append(path, file);
  return path.str().str();
}
