//===- DeviceCache.h - Compiled device models on disk -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_EXECUTION_DEVICECACHE_H
#define CQ_LIB_EXECUTION_DEVICECACHE_H

#include "cq/Execution/ModuleInterface.h"
#include "cq/Runtime/DeviceProgram.h"
#include "llvm/Support/JSON.h"
#include <optional>

namespace mlir::cq {

/// All that lowering a model for a device makes: with it a second start needs
/// no compiler. The driver keeps what it makes of the PTX itself.
struct CompiledDeviceModel {
  ModuleInterface interface; ///< with the functions of a step
  DeviceProgram program;
  std::string ptx;
};

/// `source`: text of the module; `chip`: what it is compiled for.
std::string deviceCacheKey(llvm::StringRef source, llvm::StringRef chip);
/// Nothing when absent or damaged.
std::optional<CompiledDeviceModel> loadDeviceModel(llvm::StringRef key);
/// A cache that cannot be written is no error.
void storeDeviceModel(llvm::StringRef key, const CompiledDeviceModel &model);

llvm::json::Value toJSON(const DeviceProgram &program);
/// Buffers, weights and arguments that a launch names exist.
std::optional<DeviceProgram> parseDeviceProgram(const llvm::json::Value &value);

} // namespace mlir::cq

#endif // CQ_LIB_EXECUTION_DEVICECACHE_H
