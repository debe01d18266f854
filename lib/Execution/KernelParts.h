//===- KernelParts.h - A module of code in parts ----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel's code depends on nothing around it, so each large one is a module
// of its own: compiled beside the others, and found again in the cache when
// another model has a layer of the same kind. What calls them stays together.
// The parts depend on the module alone, never on the machine's threads.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_EXECUTION_KERNELPARTS_H
#define CQ_LIB_EXECUTION_KERNELPARTS_H

#include "llvm/ADT/SmallVector.h"
#include <memory>

namespace llvm {
class Function;
class Module;
} // namespace llvm

namespace mlir::cq {

/// Whether `function` only prepares calls: one block without arithmetic worth
/// the word. Code for it may be quick to make rather than quick to run.
bool isGlue(const llvm::Function &function);

/// Moves large kernels of local linkage out of `module`, which keeps
/// declarations of them.
llvm::SmallVector<std::unique_ptr<llvm::Module>>
moveKernelsOut(llvm::Module &module);

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_KERNELPARTS_H
