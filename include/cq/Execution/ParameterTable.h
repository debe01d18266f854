//===- ParameterTable.h - Addresses of a module's parameters -- -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_PARAMETERTABLE_H
#define CQ_EXECUTION_PARAMETERTABLE_H

#include "cq/Execution/ModuleInterface.h"
#include "cq/Model/Parameters.h"

namespace mlir::cq {

/// The pointer table that compiled functions take as their first argument.
/// A tensor that lies in the archive in the module's element type, aligned for
/// it, is used where it is mapped; an f32 parameter of any other stored type is
/// decoded; everything else must match in type and shape.
class ParameterTable {
public:
  /// `archive` must outlive the table: most pointers are into its map.
  static llvm::Expected<ParameterTable> bind(const ModuleInterface &interface,
                                             const ParameterArchive &archive,
                                             unsigned threads = 0);
  void **data() { return pointers.data(); }
  /// Bytes decoded to memory of our own (the rest is mapped).
  int64_t getDecodedBytes() const { return decodedBytes; }

private:
  struct Free {
    void operator()(void *memory) const;
  };
  std::vector<void *> pointers;
  std::vector<std::unique_ptr<void, Free>> decoded;
  int64_t decodedBytes = 0;
};

} // namespace mlir::cq

#endif // CQ_EXECUTION_PARAMETERTABLE_H
