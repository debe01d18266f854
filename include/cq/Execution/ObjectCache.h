//===- ObjectCache.h - Compiled code on disk ------------------ -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// One entry is two files, <key>.o and <key>.json, written under temporary names
// and renamed, the JSON last: an entry without it does not exist. The JSON
// holds length and SHA-256 of the object; an entry that does not match is
// ignored. Names begin with `llvmcache-`, as LLVM's pruneCache wants them: it
// removes what was not used for long, and keeps the folder below a size.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_OBJECTCACHE_H
#define CQ_EXECUTION_OBJECTCACHE_H

#include "cq/Execution/ModuleInterface.h"
#include "llvm/Support/CachePruning.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>

namespace mlir::cq {

struct CachedObject {
  ModuleInterface interface;
  std::unique_ptr<llvm::MemoryBuffer> object;
};

/// Identifies the compiler by its executable and, in a program of somebody else
/// (Python), by the shared library that holds it: two builds of one version may
/// generate different code.
std::string describeCompiler();

class ObjectCache {
public:
  /// `directory` as in ExecutionOptions::cacheDir.
  explicit ObjectCache(llvm::StringRef directory,
                       llvm::CachePruningPolicy policy = defaultPolicy());
  /// 512 MiB, 30 days.
  static llvm::CachePruningPolicy defaultPolicy();
  /// In LLVM's words (`cache_size_bytes=1g:prune_after=720h`); what `text` does
  /// not name is as above.
  static llvm::Expected<llvm::CachePruningPolicy>
  parsePolicy(llvm::StringRef text);

  llvm::StringRef getDirectory() const { return directory; }
  /// Hex SHA-256 over everything that code depends on: `source`, `options` and
  /// the identity of compiler and target, already in `options`.
  static std::string getKey(llvm::StringRef source, llvm::StringRef options);
  /// Nothing when absent or damaged.
  std::optional<CachedObject> load(llvm::StringRef key) const;
  /// A cache that cannot be written (full disk, read-only home) is no error:
  /// false.
  bool store(llvm::StringRef key, const ModuleInterface &interface,
             llvm::StringRef object) const;

private:
  std::string directory;
  llvm::CachePruningPolicy policy;
};

} // namespace mlir::cq

#endif // CQ_EXECUTION_OBJECTCACHE_H
