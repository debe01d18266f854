//===- CallInterface.h - The C interface of a model module ---- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// What cq-bind-parameters will make of a module, answered on the module before
// any lowering, so that signatures can be stored beside compiled code.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TRANSFORMS_CALLINTERFACE_H
#define CQ_TRANSFORMS_CALLINTERFACE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {

/// The globals behind the pointer table, in its order: those with
/// `#ml_program.extern`, in the order of the module.
SmallVector<ml_program::GlobalOp> getParameterGlobals(ModuleOp module);

/// The name of the C function made of a public function: "cq_" + name.
std::string getEntryPointName(StringRef functionName);

/// The argument that holds result `index` when the function returns, because
/// the result is that argument with some elements overwritten
/// (tensor.insert_slice, destination-style operands, calls that return such an
/// argument, scf.for carrying it). Nothing when the result is a value of its
/// own.
std::optional<unsigned> getUpdatedArgument(func::FuncOp function,
                                           unsigned index);

/// The same for every result; an argument is given to its first result only.
/// What `recordUpdatedArguments` wrote down comes first.
SmallVector<std::optional<unsigned>> getUpdatedArguments(func::FuncOp function);

/// Writes the updated arguments of public functions down as `cq.updates`, so
/// that the C interface stays that of the source while passes rewrite the code
/// (fusion may give a result that was an argument a tensor of its own).
void recordUpdatedArguments(ModuleOp module);
/// Name of that attribute: for each result its argument, or −1.
inline constexpr llvm::StringLiteral kUpdatesAttrName = "cq.updates";

} // namespace mlir::cq

#endif // CQ_TRANSFORMS_CALLINTERFACE_H
