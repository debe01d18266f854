//===- FunctionText.h - Equal functions have equal text ---------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_TRANSFORMS_FUNCTIONTEXT_H
#define CQ_LIB_TRANSFORMS_FUNCTIONTEXT_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <string>

namespace mlir::cq {

/// The text of a function under a fixed name: equal text is equal meaning, and
/// names of values do not matter since the generic form numbers them.
inline std::string getFunctionText(func::FuncOp function) {
  std::string name = function.getSymName().str(), text;
  function.setSymName("f");
  llvm::raw_string_ostream os(text);
  function->print(os, OpPrintingFlags().useLocalScope().printGenericOpForm());
  function.setSymName(name);
  return text;
}

} // namespace mlir::cq

#endif // CQ_LIB_TRANSFORMS_FUNCTIONTEXT_H
