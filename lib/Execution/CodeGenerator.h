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

/// Object code of `module`, which the pipeline turns into the LLVM dialect
/// first. `finish` changes the LLVM IR before it is optimized.
llvm::Expected<llvm::SmallString<0>>
generateObject(ModuleOp module, llvm::TargetMachine &machine,
               const ExecutionOptions &options,
               llvm::function_ref<void(llvm::Module &)> finish = nullptr);

/// Where kernels are kept. `compiler` says which compiler for which CPU they
/// are from; without a cache all are made anew.
struct PartCache {
  const ObjectCache *cache = nullptr;
  std::string compiler;
};

/// The same as several object files: the module without its large kernels, and
/// each of those (KernelParts.h), on all threads.
llvm::Expected<llvm::SmallVector<llvm::SmallString<0>>>
generateObjects(ModuleOp module, llvm::TargetMachine &machine,
                const ExecutionOptions &options, const PartCache &cache,
                llvm::function_ref<void(llvm::Module &)> finish = nullptr);

/// One file of several objects.
llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
makeArchive(llvm::ArrayRef<llvm::SmallString<0>> objects);

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_CODEGENERATOR_H
