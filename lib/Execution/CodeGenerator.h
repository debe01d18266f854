//===- CodeGenerator.h - LLVM dialect to object code ---------- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_EXECUTION_CODEGENERATOR_H
#define CQ_LIB_EXECUTION_CODEGENERATOR_H

#include "cq/Execution/CompiledModule.h"
#include "llvm/ADT/SmallString.h"

namespace llvm {
class Module;
class TargetMachine;
struct CachePruningPolicy;
} // namespace llvm

namespace mlir::cq {

class ObjectCache;

/// The machine that `options` names; position-independent, no contraction.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(const ExecutionOptions &options);

/// The same for a CPU and features in LLVM's notation.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(llvm::StringRef cpu, llvm::StringRef features,
                    unsigned optLevel);

/// Leaves of `module` what is to be compiled.
llvm::Error prepareModule(ModuleOp module, const ExecutionOptions &options);

/// Changes LLVM IR before it is optimized, in any thread.
using CodeEdit = llvm::function_ref<void(llvm::Module &)>;

/// Object code of `module`, which the pipeline turns into the LLVM dialect
/// first; `addInterface`, then `finish` change it.
llvm::Expected<llvm::SmallString<0>>
generateObject(ModuleOp module, llvm::TargetMachine &machine,
               const ExecutionOptions &options, CodeEdit addInterface = nullptr,
               CodeEdit finish = nullptr);

/// The compiler and the CPU that it compiles for: part of the keys of a cache.
std::string describeCompiler(const llvm::TargetMachine &machine,
                             const ExecutionOptions &options);

/// Of `options`, or the environment.
llvm::Expected<llvm::CachePruningPolicy>
cachePolicy(const ExecutionOptions &options);

/// Where kernels are kept. `compiler` says which compiler for which CPU they
/// are from; without a cache all are made anew.
struct PartCache {
  const ObjectCache *cache = nullptr;
  std::string compiler;
};

/// Objects to be linked with others: entry points are hidden from whoever uses
/// the library, and all names end in `suffix`. `finish` changes all code but
/// kernels that the cache has.
struct LibraryPart {
  std::string suffix;
  CodeEdit finish;
};

/// The same as several object files, on all threads: each component of the
/// module (Components.h) without its large kernels, and each of those
/// (KernelParts.h).
llvm::Expected<llvm::SmallVector<llvm::SmallString<0>>>
generateObjects(ModuleOp module, llvm::TargetMachine &machine,
                const ExecutionOptions &options, const PartCache &cache,
                const LibraryPart *library = nullptr);

/// The object file of the functions that `add` writes, for any x86.
llvm::Expected<llvm::SmallString<0>> generateInterface(CodeEdit add);

/// One file of several objects.
llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
makeArchive(llvm::ArrayRef<llvm::SmallString<0>> objects);

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_CODEGENERATOR_H
