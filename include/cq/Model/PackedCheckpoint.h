//===- PackedCheckpoint.h - Checkpoints quantized by others -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A Hugging Face folder whose config.json has a `quantization_config`: GPTQ,
// AWQ, compressed-tensors `pack-quantized`, and our own layout. The archive
// shows each weight under its plain name ("X.weight", [N, K]); its
// ParameterInfo has a PackedReader, readAsF32 gives its values, `readStored`
// codes and scales as they are stored.
//

#ifndef CQ_MODEL_PACKEDCHECKPOINT_H
#define CQ_MODEL_PACKEDCHECKPOINT_H

#include "cq/Codec/MixedRows.h"
#include "cq/Codec/Quantizer.h"
#include "cq/Model/Parameters.h"
#include "cq/Solver/Plan.h"
#include "llvm/Support/JSON.h"

namespace mlir::cq {

struct CheckpointWeight {
  QuantizedWeight weight;
  CherryPositions cherries;
  WideRows wide;
};

/// Whether a quantization_config describes one of these.
bool isPackedCheckpoint(const llvm::json::Object &config);

/// `config`: the quantization_config; `path`: of config.json, for messages.
/// Every weight is checked for its parts and their shapes.
llvm::Expected<std::unique_ptr<ParameterArchive>>
openPackedCheckpoint(std::unique_ptr<ParameterArchive> files,
                     const llvm::json::Object &config, llvm::StringRef path);

/// How the packed weights of an archive are stored, as a plan; the others are
/// kept. Empty entries: there is no packed weight.
llvm::Expected<Plan> planAsStored(const ParameterArchive &archive);

} // namespace mlir::cq

#endif // CQ_MODEL_PACKEDCHECKPOINT_H
