//===- SharedFunctions.h - One function of each text ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_TRANSFORMS_SHAREDFUNCTIONS_H
#define CQ_LIB_TRANSFORMS_SHAREDFUNCTIONS_H

#include "FunctionText.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::cq {

/// The functions that a pass makes, and the module's symbols with them.
class SharedFunctions {
public:
  explicit SharedFunctions(ModuleOp module) : symbols(module) {}

  /// `function`, just made in the module under a name that others may have:
  /// now under a name of its own. Erased where one with the same text was
  /// shared before, which is then returned; `isNew` tells which.
  func::FuncOp share(func::FuncOp function, bool *isNew = nullptr) {
    auto [entry, fresh] =
        known.try_emplace(getFunctionText(function), function);
    if (fresh) {
      function->remove();
      symbols.insert(function);
    } else {
      function.erase();
    }
    if (isNew)
      *isNew = fresh;
    return entry->second;
  }

  func::FuncOp lookup(StringRef name) const {
    return symbols.lookup<func::FuncOp>(name);
  }

private:
  SymbolTable symbols;
  llvm::StringMap<func::FuncOp> known;
};

} // namespace mlir::cq

#endif // CQ_LIB_TRANSFORMS_SHAREDFUNCTIONS_H
