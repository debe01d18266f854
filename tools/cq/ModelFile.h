//===- ModelFile.h - A model's weights, however it is named -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_MODELFILE_H
#define CQ_TOOLS_CQ_MODELFILE_H

#include "cq/Model/Parameters.h"
#include "llvm/Support/JSON.h"

namespace mlir::cq::tool {

/// The archive behind a module, a folder made by `cq quantize`, or a
/// checkpoint, and what the module says of the model (`cq.model`; empty for a
/// checkpoint).
struct ModelFile {
  std::string archivePath;
  std::unique_ptr<ParameterArchive> archive;
  llvm::json::Object model;

  static llvm::Expected<ModelFile> open(llvm::StringRef path);
};

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_MODELFILE_H
