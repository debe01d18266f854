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
#include "llvm/Support/Process.h"
#include <utility>

using namespace mlir::cq;

/// What a killed run may have left for the next one (ResumableFile).
static bool isResumable(llvm::StringRef name) {
  return name.ends_with(".partial") || name.ends_with(".journal");
}

bool OutputFolder::takeOver(llvm::StringRef path) {
  if (llvm::sys::fs::create_directories(path))
    return false;
  llvm::SmallString<128> lock(path);
  lock += ".lock";
  if (llvm::sys::fs::openFileForWrite(lock, lockFile,
                                      llvm::sys::fs::CD_OpenAlways))
    return false;
  if (llvm::sys::fs::tryLockFile(lockFile)) { // another process is at it
    llvm::sys::Process::SafelyCloseFileDescriptor(lockFile);
    lockFile = -1;
    return false;
  }
  lockPath = lock.str().str();
  std::error_code error;
  llvm::SmallVector<std::string> stale;
  for (llvm::sys::fs::directory_iterator it(path, error), end;
       it != end && !error; it.increment(error))
    if (!isResumable(it->path()))
      stale.push_back(it->path());
  for (const std::string &file : stale)
    llvm::sys::fs::remove(file);
  return true;
}

void OutputFolder::unlock() {
  if (lockFile < 0)
    return;
  llvm::sys::fs::remove(lockPath);
  llvm::sys::Process::SafelyCloseFileDescriptor(lockFile);
  lockFile = -1;
}

llvm::Expected<OutputFolder>
OutputFolder::create(llvm::StringRef path, bool replace, bool resumable) {
  if (!path.empty() && llvm::sys::fs::exists(path) && !replace)
    return llvm::createStringError(
        path + " exists already; choose another name or pass --force");
  OutputFolder folder;
  llvm::StringRef base = path.empty() ? "cq" : path;
  while (base.size() > 1 && base.back() == '/')
    base = base.drop_back();
  folder.destination = base.str();
  if (resumable && !path.empty())
    if (std::string partial = base.str() + ".partial";
        folder.takeOver(partial)) {
      folder.temporary = std::move(partial);
      return folder;
    }
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
      temporary(std::exchange(other.temporary, std::string())),
      lockPath(std::move(other.lockPath)),
      lockFile(std::exchange(other.lockFile, -1)) {}

OutputFolder::~OutputFolder() {
  if (!temporary.empty())
    llvm::sys::fs::remove_directories(temporary);
  unlock();
}

llvm::Error OutputFolder::commit() {
  if (llvm::sys::fs::exists(destination))
    llvm::sys::fs::remove_directories(destination);
  if (std::error_code code = llvm::sys::fs::rename(temporary, destination))
    return llvm::createStringError("cannot rename the result to " +
                                   destination + ": " + code.message());
  temporary.clear();
  unlock();
  return llvm::Error::success();
}
