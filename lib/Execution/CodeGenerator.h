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
class TargetMachine;
} // namespace llvm

namespace mlir::cq {

/// The machine that `options` names; position-independent, no contraction.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(const ExecutionOptions &options);

/// Object code of `module`, which the pipeline turns into the LLVM dialect
/// first.
llvm::Expected<llvm::SmallString<0>>
generateObject(ModuleOp module, llvm::TargetMachine &machine,
               const ExecutionOptions &options);

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_CODEGENERATOR_H
