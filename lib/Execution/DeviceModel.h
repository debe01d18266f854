//===- DeviceModel.h - A model on a device ----------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_EXECUTION_DEVICEMODEL_H
#define CQ_LIB_EXECUTION_DEVICEMODEL_H

#include "DeviceSession.h"
#include "ModelFiles.h"

namespace mlir::cq {

struct LanguageModelOptions;

struct DeviceModel {
  struct Module; ///< kernels that the interpreter runs
  std::shared_ptr<Module> module;
  std::optional<ModelFiles> files;
  std::unique_ptr<DeviceSession> session;
  bool fromCache = false; ///< nothing had to be compiled

  /// Compiles the module at `path` for the device of `options`.
  static llvm::Expected<DeviceModel> load(llvm::StringRef path,
                                          const LanguageModelOptions &options);
};

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_DEVICEMODEL_H
