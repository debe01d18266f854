//===- Gradients.h - Gradients against central differences ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TEST_AUTODIFF_GRADIENTS_H
#define CQ_TEST_AUTODIFF_GRADIENTS_H

#include "cq/Execution/CompiledModule.h"
#include <string>
#include <vector>

namespace mlir::cq::test {

/// A function on f64 tensors (and i64 tensors of indices) in MLIR text.
struct Function {
  std::string name; ///< of the function in `text`
  std::string text;
  /// What the numbers of its arguments are drawn from.
  double low = -1.5, high = 1.5;
  /// Exclusive bound of drawn i64 numbers.
  int64_t indices = 1;
};

/// Differentiates all functions by all floating-point arguments, compiles them
/// as one module, and compares each gradient with central differences in f64.
/// Adds test failures that name the function.
void checkGradients(const std::vector<Function> &functions);

/// Runs `passes` (on the module) over `source` and compiles the result; null
/// after a failure.
std::unique_ptr<CompiledModule> compileWith(llvm::StringRef source,
                                            llvm::StringRef passes);

/// Calls a function of the module, all of whose values are tensors: arguments,
/// then results that are no updated argument.
void callFunction(const CompiledModule &module, llvm::StringRef name,
                  llvm::ArrayRef<void *> values, void **table = nullptr);

} // namespace mlir::cq::test

#endif // CQ_TEST_AUTODIFF_GRADIENTS_H
