//===- FileFormat.h - Telling model files apart by content ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_MODEL_FILEFORMAT_H
#define CQ_LIB_MODEL_FILEFORMAT_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace mlir::cq {

enum class FileFormat { GGUF, Safetensors, SafetensorsIndex, IRPA, Llama2C };

/// A model file and what it is.
struct LocatedFile {
  FileFormat format;
  std::string path;
};

/// Finds the weights: `path` itself, or the one model file of the folder `path`
/// (model.safetensors.index.json, model.safetensors, else the only
/// *.safetensors,
/// *.safetensors.index.json or *.gguf). Files are told apart by content.
llvm::Expected<LocatedFile> locateModelFile(llvm::StringRef path);

} // namespace mlir::cq

#endif // CQ_LIB_MODEL_FILEFORMAT_H
