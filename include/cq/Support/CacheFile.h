//===- CacheFile.h - Files kept between runs -----------------* -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// Things that are slow to make and a function of their key: stored under a hash
// of the key, written to a temporary name and renamed, length-checked on load.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_CACHEFILE_H
#define CQ_SUPPORT_CACHEFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <optional>
#include <string>
#include <vector>

namespace mlir::cq {

/// $CQ_CACHE_DIR, else $XDG_CACHE_HOME/cq, else ~/.cache/cq.
std::string cacheFolder();

/// SHA-256 of the parts (each with its length, so that no two lists collide),
/// hexadecimal.
std::string hashKey(llvm::ArrayRef<llvm::StringRef> parts);

/// Path, size and time of a file, so that a changed file is another one; for
/// keys. Empty for an empty path.
std::string fileIdentity(llvm::StringRef path);

/// The values stored for `key` in the folder `kind`, if there are exactly
/// `count` of them. Never an error: what cannot be read is made again.
template <typename T>
std::optional<std::vector<T>> loadCached(llvm::StringRef kind,
                                         llvm::StringRef key, size_t count);

/// Stores; a failure (disk full, folder read-only) leaves nothing behind and is
/// returned for the caller to mention or ignore.
template <typename T>
llvm::Error storeCached(llvm::StringRef kind, llvm::StringRef key,
                        llvm::ArrayRef<T> values);

/// Bytes of any length, behind both of the above.
std::optional<std::string> loadCachedBytes(llvm::StringRef kind,
                                           llvm::StringRef key);
llvm::Error storeCachedBytes(llvm::StringRef kind, llvm::StringRef key,
                             llvm::StringRef bytes);

template <typename T>
std::optional<std::vector<T>> loadCached(llvm::StringRef kind,
                                         llvm::StringRef key, size_t count) {
  std::optional<std::string> bytes = loadCachedBytes(kind, key);
  if (!bytes || bytes->size() != count * sizeof(T))
    return std::nullopt;
  std::vector<T> values(count);
  std::copy(bytes->begin(), bytes->end(),
            reinterpret_cast<char *>(values.data()));
  return values;
}

template <typename T>
llvm::Error storeCached(llvm::StringRef kind, llvm::StringRef key,
                        llvm::ArrayRef<T> values) {
  return storeCachedBytes(
      kind, key,
      llvm::StringRef(reinterpret_cast<const char *>(values.data()),
                      values.size() * sizeof(T)));
}

} // namespace mlir::cq

#endif // CQ_SUPPORT_CACHEFILE_H
