//===- LlamaImporter.h - A Llama-family model as MLIR -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Turns the hyperparameters and tensor names of a checkpoint into a module in
// func, linalg, arith, math, tensor and ml_program. Weights stay in the
// archive: each is an `ml_program.global` with `#ml_program.extern`. The
// module's functions and their signatures: docs/Import.md.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_IMPORT_LLAMAIMPORTER_H
#define CQ_IMPORT_LLAMAIMPORTER_H

#include "cq/Model/ModelSource.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace mlir::cq {

struct ImportOptions {
  /// Positions the key/value caches are made for; 0 = min(trained context,
  /// 2048).
  int64_t context = 0;
  /// Tokens a call of `@forward_<M>` takes, one set of functions for each;
  /// sizes above the context are dropped.
  SmallVector<int64_t> chunks = {1, 8, 64};
  /// Tokens of `@loss` and `@divergence`; 0 = no such functions.
  int64_t lossTokens = 0;
  /// What the attribute `cq.parameters` says; empty = the archive's path.
  std::string parameters;
};

/// Angle per position of each rope pair, [head_dim / 2]: base^(−2i/d) over the
/// config's rope factor, computed in double and rounded to float.
SmallVector<float> ropeFrequencies(const ModelConfig &config);

/// Builds and verifies the module. What cannot be built (inconsistent config,
/// missing role, impossible option) is one sentence to the context's diagnostic
/// engine and a null module. The tensors' bytes are not read.
OwningOpRef<ModuleOp> importLlama(MLIRContext &context,
                                  const ModelSource &source,
                                  const ImportOptions &options = {});

/// Prints with the importer's names for values (`%scores`, not `%17`).
void printModel(ModuleOp module, raw_ostream &os);

} // namespace mlir::cq

#endif // CQ_IMPORT_LLAMAIMPORTER_H
