//===- ModelConfigReaders.h - Hyperparameters of each format ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_MODELCONFIGREADERS_H
#define CQ_LIB_MODEL_MODELCONFIGREADERS_H

#include "cq/Model/GGUF.h"
#include "cq/Model/Llama2C.h"
#include "cq/Model/ModelSource.h"

namespace mlir::cq {

/// Hyperparameters as the source states them; ModelConfig::check comes later.
llvm::Expected<ModelConfig> readGGUFConfig(const GGUFFile &file);
ModelConfig readLlama2CConfig(const Llama2CFile &file);
/// `archive` says whether there is a head of its own.
llvm::Expected<ModelConfig>
readHuggingFaceConfig(llvm::StringRef path, const ParameterArchive &archive);

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_MODELCONFIGREADERS_H
