//===- ArchiveBytes.h - The size of a planned archive ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_DIALECT_CQ_TRANSFORMS_ARCHIVEBYTES_H
#define CQ_LIB_DIALECT_CQ_TRANSFORMS_ARCHIVEBYTES_H

#include "cq/Dialect/CQ/IR/ArchiveTypes.h"
#include "cq/Solver/RatioPlan.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::cq {

/// Counts the archive that cq-materialize-parameters would write: planes,
/// tensors that stay, header. In small models the header is a good part.
class ArchiveBytes {
public:
  explicit ArchiveBytes(ModuleOp module) : module(module) {}

  /// The whole file.
  llvm::Expected<int64_t> of(const Plan &plan) const;

  /// What a plan from these options takes at most beside the weights' bytes.
  llvm::Expected<int64_t> beside(ArrayRef<WeightFacts> facts,
                                 const RatioPlanOptions &options) const;

private:
  llvm::Expected<int64_t> fileBytes(ArrayRef<PlanEntry> entries) const;
  mutable ModuleOp module; ///< ops have no const
};

/// Tells an archive the types of the module's globals by reference.
void declareParameters(ModuleOp module, ParameterArchive &archive);

} // namespace mlir::cq

#endif // CQ_LIB_DIALECT_CQ_TRANSFORMS_ARCHIVEBYTES_H
