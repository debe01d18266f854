//===- Export.h - Quantized models as other programs' files -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Writes a model that `cq quantize` made as a checkpoint of another form
// (docs/Export.md). Codes and scales are kept wherever the form can hold them;
// what it cannot hold is an error that says what would be lost.
//

#ifndef CQ_MODEL_EXPORT_H
#define CQ_MODEL_EXPORT_H

#include "cq/Model/ModelSource.h"
#include "cq/Solver/Plan.h"

namespace mlir::cq {

struct ExportInput {
  ModelConfig config;
  const ParameterArchive &archive; ///< planes and what is kept
  const Plan &plan;
  std::string tokenizer; ///< a GGUF file that holds it; empty: none
};

struct ExportOptions {
  bool dropCherries = false;
  /// GGUF: largest RMS error of a tensor, relative to its RMS, for which a
  /// smaller type is taken.
  double tolerance = 0.03;
  unsigned threads = 0;
};

/// What became of a tensor.
struct ExportedTensor {
  std::string name, from, to; ///< "b3-g64-symmetric-f16" -> "Q3_K"
  double error = 0;           ///< RMS of the difference / RMS
  int64_t weights = 0, bytes = 0;
};

/// Safetensors folders beside a config.json with a quantization_config.
enum class CheckpointForm : uint8_t { CQ, CompressedTensors, GPTQ };

/// One .gguf file; nothing at `path` after an error.
llvm::Expected<std::vector<ExportedTensor>>
exportGGUF(const ExportInput &input, llvm::StringRef path,
           const ExportOptions &options = {});

/// model.safetensors, config.json, tokenizer.gguf and, where that form has
/// words for it, tokenizer.json in `folder`, which exists.
llvm::Expected<std::vector<ExportedTensor>>
exportCheckpoint(const ExportInput &input, llvm::StringRef folder,
                 CheckpointForm form, const ExportOptions &options = {});

} // namespace mlir::cq

#endif // CQ_MODEL_EXPORT_H
