//===- OutputFolder.cpp - Folders written whole or not at all -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/OutputFolder.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include <utility>

using namespace mlir::cq;

llvm::Expected<OutputFolder> OutputFolder::create(llvm::StringRef path,
                                                  bool replace) {
  if (!path.empty() && llvm::sys::fs::exists(path) && !replace)
    return llvm::createStringError(
        path + " exists already; choose another name or pass --force");
  OutputFolder folder;
  llvm::StringRef base = path.empty() ? "cq" : path;
  while (base.size() > 1 && base.back() == '/')
    base = base.drop_back();
  folder.destination = base.str();
  // Beside the final name, so that the rename stays within one file system.
  llvm::SmallString<128> temporary;
  llvm::sys::fs::createUniquePath(base + ".%%%%%%.tmp", temporary,
                                  /*MakeAbsolute=*/path.empty());
  if (std::error_code code = llvm::sys::fs::create_directories(temporary))
    return llvm::createStringError("cannot create " + temporary.str() + ": " +
                                   code.message());
  folder.temporary = temporary.str().str();
  return folder;
}

OutputFolder::OutputFolder(OutputFolder &&other)
    : destination(std::move(other.destination)),
      temporary(std::exchange(other.temporary, std::string())) {}

OutputFolder::~OutputFolder() {
  if (!temporary.empty())
    llvm::sys::fs::remove_directories(temporary);
}

llvm::Error OutputFolder::commit() {
  if (llvm::sys::fs::exists(destination))
    llvm::sys::fs::remove_directories(destination);
  if (std::error_code code = llvm::sys::fs::rename(temporary, destination))
    return llvm::createStringError("cannot rename the result to " +
                                   destination + ": " + code.message());
  temporary.clear();
  return llvm::Error::success();
}
