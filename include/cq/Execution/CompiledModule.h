//===- CompiledModule.h - Machine code of a module ------------ -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_COMPILEDMODULE_H
#define CQ_EXECUTION_COMPILEDMODULE_H

#include "cq/Execution/ModuleInterface.h"
#include <functional>
#include <memory>

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace mlir::cq {

struct ExecutionOptions {
  std::string targetCPU = "host"; ///< as clang's -march
  unsigned optLevel = 3;
  bool parallel = true;   ///< kernels on the thread pool of the runtime
  bool fuse = true;       ///< launches put together (cq-fuse-launches)
  std::string activation; ///< of packed products: int8, f32; empty: as written
  bool useCache = true;
  std::string cacheDir; ///< empty: `objects` in cacheFolder() (CacheFile.h)
  /// How much the cache may hold and how long (ObjectCache::parsePolicy);
  /// empty: $CQ_CACHE_POLICY, or 512 MiB for 30 days.
  std::string cachePolicy;
  /// Public functions to compile, as in cq-keep-functions; empty: all.
  std::vector<std::string> functions;
  /// Passes that run before anything else (cq-observe …), the interface is that
  /// of their result; `preparation` names them in the cache's key.
  std::function<void(OpPassManager &)> prepare;
  std::string preparation;
};

/// A module compiled by `cq-lower-to-llvm` and loaded into this process. The
/// code lives as long as this object; it may be called from one thread at a
/// time.
class CompiledModule {
public:
  ~CompiledModule();

  /// Compiles a module (or fetches it from the cache); `module` is not changed.
  /// Diagnostics go to the context's handler.
  static llvm::Expected<std::unique_ptr<CompiledModule>>
  compile(ModuleOp module, const ExecutionOptions &options = {});

  /// Compiles the module in a file (text or bytecode). On a cache hit the file
  /// is only hashed, not parsed.
  static llvm::Expected<std::unique_ptr<CompiledModule>>
  compileFile(llvm::StringRef path, const ExecutionOptions &options = {});

  /// The same for text or bytecode in memory; `name` is for messages.
  static llvm::Expected<std::unique_ptr<CompiledModule>>
  compileSource(llvm::StringRef source, llvm::StringRef name,
                const ExecutionOptions &options = {});

  const ModuleInterface &getInterface() const;
  /// Address of the C function of the public function @name.
  llvm::Expected<void *> lookup(llvm::StringRef name) const;
  /// The same as a typed pointer: `get<void(void **, int32_t *, int64_t, …)>`.
  template <typename Signature>
  llvm::Expected<Signature *> get(llvm::StringRef name) const {
    llvm::Expected<void *> address = lookup(name);
    if (!address)
      return address.takeError();
    return reinterpret_cast<Signature *>(*address);
  }
  /// Whether the code came from the cache.
  bool isFromCache() const;

private:
  struct Impl;
  explicit CompiledModule(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

} // namespace mlir::cq

#endif // CQ_EXECUTION_COMPILEDMODULE_H
