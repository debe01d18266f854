//===- ModelFolder.h - Files of imported models -----------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_IMPORT_MODELFOLDER_H
#define CQ_IMPORT_MODELFOLDER_H

#include "cq/Import/LlamaImporter.h"

namespace mlir::cq {

struct ImportFileOptions {
  std::string tokenizer; ///< where the checkpoint holds none
  /// Tokens of @loss; negative: 512, or the context where that is smaller.
  int64_t lossTokens = -1;
  ImportOptions import; ///< but `parameters` and `lossTokens`
};

/// Reads the checkpoint and writes MLIR that refers to its weights, and to the
/// tokenizer, as seen from the folder of `output`. Errors: what the readers and
/// the importer refuse.
llvm::Expected<ModelSource> importToFile(StringRef checkpoint, StringRef output,
                                         const ImportFileOptions &options);

/// Writes model.mlir and tokenizer.gguf beside the model.safetensors and
/// plan.json that `cq-quantize` wrote into `folder`. The module was read from
/// `modulePath` and its weights from `archive`.
llvm::Error writeModelFolder(ModuleOp module, StringRef modulePath,
                             StringRef archive, StringRef folder);

} // namespace mlir::cq

#endif // CQ_IMPORT_MODELFOLDER_H
