//===- Jit.h - Tensor programs run on buffers of the test -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TEST_CONVERSION_JIT_H
#define CQ_TEST_CONVERSION_JIT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/Twine.h"
#include <string>
#include <vector>

namespace mlir::cq::test {

/// A function on tensors whose inputs and results are arrays of the test.
/// Lowered by convert-cq-to-linalg, bufferization and loops, then compiled and
/// run.
class Program {
public:
  /// Lines of MLIR before the function (attribute aliases).
  std::string prologue;
  /// Lines of its body.
  std::string body;

  /// "4x8xf32" for f32 and {4, 8}.
  static std::string shape(llvm::ArrayRef<int64_t> dims,
                           const std::string &element);
  /// Makes `data` readable as the tensor %name.
  void input(const std::string &name, const std::string &shape,
             const void *data);
  /// The value %name goes to `data`.
  void output(const std::string &name, const std::string &shape, void *data);

  /// "", or what went wrong.
  std::string run();

private:
  std::string arguments, inputs, outputs;
  std::vector<void *> pointers;
  std::string argument(const std::string &shape, const void *data);
};

} // namespace mlir::cq::test

#endif // CQ_TEST_CONVERSION_JIT_H
