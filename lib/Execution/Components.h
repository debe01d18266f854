//===- Components.h - A module as modules that share no code -- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_EXECUTION_COMPONENTS_H
#define CQ_LIB_EXECUTION_COMPONENTS_H

#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {

/// Moves what `module` holds into modules inside it that share no function, so
/// that each can be compiled by a thread of its own: a model's code for one
/// token and for many. What uses one symbol stays together, but for parameters:
/// each module gets a copy of all of them, in order, and so their table. Parts
/// below `smallest` operations join others; with fewer than two left nothing
/// changes and none are returned. In the order of the module.
SmallVector<ModuleOp> splitIntoComponents(ModuleOp module,
                                          unsigned smallest = 256);

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_COMPONENTS_H
