//===- KernelObject.h - Our kernels as object code for IREE -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// IREE calls foreign code in its dispatches as
//
//   void name(void *buffer, size_t offset, …, size_t scalar, …)
//
// with an offset in elements for each buffer. An entry here wraps a product
// kernel of convert-cq-to-x86: buffers are the kernel's inputs in its order and
// y from row `first` of the weight on; scalars are that row and the panels of
// 16 rows to do. The code is freestanding: it calls nothing.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOIREE_KERNELOBJECT_H
#define CQ_LIB_CONVERSION_CQTOIREE_KERNELOBJECT_H

#include "cq/Conversion/CQToX86/Kernels.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringMap.h"

namespace mlir::cq::toiree {

class KernelObject {
public:
  /// `cpu`: LLVM's name, or host.
  static llvm::Expected<KernelObject> create(MLIRContext *context,
                                             StringRef cpu);

  const x86::ISA &isa() const { return level; }
  /// Name of the entry for `spec`, of static m; rows of y are `stride` apart.
  std::string entry(const x86::MatmulSpec &spec, int64_t stride);
  bool empty() const { return entries.empty(); }
  /// The object file.
  llvm::Expected<llvm::SmallString<0>> compile();

private:
  KernelObject() = default;
  OwningOpRef<ModuleOp> module;
  llvm::StringMap<bool> entries;
  x86::ISA level;
  std::string cpu, features;
};

} // namespace mlir::cq::toiree

#endif // CQ_LIB_CONVERSION_CQTOIREE_KERNELOBJECT_H
