//===- KernelRecorder.h - Kernels and operands for another CPU --*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With CQ_RECORD_KERNELS=<folder> and CQ_RECORD_CPU=<name> the tests of kernels
// run nothing: they write object code for that CPU, operands and what the codec
// expects, for scripts/test-emulated-cpu, which runs them in an emulator.
//
//   m<i>.o       one module's kernels, symbols prefixed with m<i>_
//   symbols.txt  a kernel a line, in the order that cases.bin counts them
//   cases.bin    cases, one after the other, int64 throughout but for data:
//                symbol, #memrefs, #ranges, (begin, end) a range, and for each
//                memref: rank, dims, bytes, 0 or bytes of what is expected, the
//                data, what is expected
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TEST_CONVERSION_KERNELRECORDER_H
#define CQ_TEST_CONVERSION_KERNELRECORDER_H

#include "KernelHarness.h"
#include "llvm/ADT/StringMap.h"
#include <string>
#include <vector>

namespace mlir::cq::x86::test {

class KernelRecorder {
public:
  using Argument = KernelHarness::Argument;
  /// Null unless the environment asks for recording.
  static KernelRecorder *get();

  /// Sizes of the elements of every kernel's memrefs, before they are lowered.
  void describe(ModuleOp module);
  /// Object code of a lowered module.
  bool compile(ModuleOp module);
  /// Further calls of the same kernel on the same memrefs are ranges of one
  /// case, until something is expected.
  void call(llvm::StringRef kernel, llvm::ArrayRef<Argument> memrefs,
            int64_t begin, int64_t end);
  void expect(size_t memref, const void *bytes, int64_t size);
  /// Writes the last case.
  void finish();

private:
  KernelRecorder(std::string folder, std::string cpu);
  bool fail(const llvm::Twine &what);

  struct Operand {
    llvm::SmallVector<int64_t, 2> shape;
    void *address;
    std::string data, expected;
  };
  std::string folder, cpu;
  int64_t modules = 0, symbols = 0;
  bool closed = true;
  llvm::StringMap<std::vector<int64_t>> elementBytes;
  llvm::StringMap<int64_t> symbolOf;
  int64_t symbol = -1;
  std::vector<Operand> operands;
  std::vector<std::pair<int64_t, int64_t>> ranges;
};

} // namespace mlir::cq::x86::test

#endif // CQ_TEST_CONVERSION_KERNELRECORDER_H
