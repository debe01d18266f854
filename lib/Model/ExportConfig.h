//===- ExportConfig.h - config.json of an exported model --------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_EXPORTCONFIG_H
#define CQ_LIB_MODEL_EXPORTCONFIG_H

#include "ExportTensors.h"
#include "llvm/Support/JSON.h"

namespace mlir::cq {

/// config.json, `quantization_config` included. Error: rope scaling that it has
/// no words for; affine and symmetric weights in one GPTQ checkpoint.
llvm::Expected<llvm::json::Object>
checkpointConfig(const ExportInput &input, llvm::ArrayRef<ModelTensor> tensors,
                 CheckpointForm form);

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_EXPORTCONFIG_H
