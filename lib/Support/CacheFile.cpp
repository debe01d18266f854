//===- CacheFile.cpp - Files kept between runs ---------------* -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/CacheFile.h"
#include "cq/Support/AtomicFile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::cq;

/// Ends every cache file: the hash of what stands before it, so that a damaged
/// or truncated file is made again instead of believed.
static constexpr size_t checkBytes = 32;

std::string mlir::cq::cacheFolder() {
  if (auto folder = llvm::sys::Process::GetEnv("CQ_CACHE_DIR");
      folder && !folder->empty())
    return *folder;
  llvm::SmallString<128> path;
  if (auto folder = llvm::sys::Process::GetEnv("XDG_CACHE_HOME");
      folder && !folder->empty())
    path = *folder;
  else if (llvm::sys::path::home_directory(path))
    llvm::sys::path::append(path, ".cache");
  else
    llvm::sys::path::system_temp_directory(/*erasedOnReboot=*/false, path);
  llvm::sys::path::append(path, "cq");
  return path.str().str();
}

std::string mlir::cq::hashKey(llvm::ArrayRef<llvm::StringRef> parts) {
  llvm::SHA256 hash;
  for (llvm::StringRef part : parts) {
    hash.update(std::to_string(part.size()) + ":");
    hash.update(part);
  }
  return llvm::toHex(hash.final(), /*LowerCase=*/true);
}

std::string mlir::cq::fileIdentity(llvm::StringRef path) {
  if (path.empty())
    return "";
  llvm::SmallString<128> absolute(path);
  (void)llvm::sys::fs::make_absolute(absolute);
  llvm::sys::fs::file_status status;
  if (llvm::sys::fs::status(path, status))
    return absolute.str().str();
  return llvm::formatv(
      "{0} {1} {2}", absolute, status.getSize(),
      status.getLastModificationTime().time_since_epoch().count());
}

static llvm::SmallString<128> pathOf(llvm::StringRef kind,
                                     llvm::StringRef key) {
  llvm::SmallString<128> path(cacheFolder());
  llvm::sys::path::append(path, kind, key);
  return path;
}

static std::string checkOf(llvm::StringRef bytes) {
  auto digest = llvm::SHA256::hash(llvm::arrayRefFromStringRef(bytes));
  return std::string(reinterpret_cast<const char *>(digest.data()),
                     digest.size());
}

std::optional<std::string> mlir::cq::loadCachedBytes(llvm::StringRef kind,
                                                     llvm::StringRef key) {
  auto file = llvm::MemoryBuffer::getFile(pathOf(kind, key), /*IsText=*/false,
                                          /*RequiresNullTerminator=*/false);
  if (!file || (*file)->getBufferSize() < checkBytes)
    return std::nullopt;
  llvm::StringRef whole = (*file)->getBuffer();
  llvm::StringRef bytes = whole.drop_back(checkBytes);
  if (checkOf(bytes) != whole.take_back(checkBytes))
    return std::nullopt;
  return bytes.str();
}

llvm::Error mlir::cq::storeCachedBytes(llvm::StringRef kind,
                                       llvm::StringRef key,
                                       llvm::StringRef bytes) {
  llvm::SmallString<128> path = pathOf(kind, key);
  if (std::error_code code =
          llvm::sys::fs::create_directories(llvm::sys::path::parent_path(path)))
    return llvm::createStringError(
        code, "cannot create the cache folder of " + path.str() + ": " +
                  code.message() + "; set CQ_CACHE_DIR");
  return writeFileAtomically(path, (bytes + checkOf(bytes)).str());
}
