//===- AsStored.cpp - Folders from quantized checkpoints ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AsStored.h"
#include "ImportedModule.h"
#include "cq/Import/ModelFolder.h"
#include "cq/Model/PackedCheckpoint.h"
#include "cq/Support/ModulePaths.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/FileSystem.h"

using namespace mlir;
using namespace mlir::cq;

bool tool::isQuantizedCheckpoint(llvm::StringRef path) {
  auto archive = ParameterArchive::open(path);
  if (!archive) {
    llvm::consumeError(archive.takeError());
    return false;
  }
  return llvm::any_of((*archive)->parameters(), [](const ParameterInfo &info) {
    return info.packed != nullptr;
  });
}

llvm::Error tool::packAsStored(llvm::StringRef folder,
                               llvm::StringRef modulePath,
                               llvm::StringRef checkpoint) {
  auto archive = ParameterArchive::open(checkpoint);
  if (!archive)
    return archive.takeError();
  auto plan = planAsStored(**archive);
  if (!plan)
    return plan.takeError();
  std::string stored = inFolder(folder, "stored.json");
  if (llvm::Error error = plan->write(stored))
    return error;
  auto module = ImportedModule::open(modulePath);
  if (!module)
    return module.takeError();
  PipelineOptions options;
  options.add("plan", stored);
  options.add("plan-out", inFolder(folder, "plan.json"));
  options.add("activations", "int8");
  options.add("parameters", checkpoint);
  options.add("parameters-out", inFolder(folder, "model.safetensors"));
  options.add("progress", "true");
  if (llvm::Error error =
          module->run(options.of("cq-quantize"),
                      checkpoint + " could not be packed as it is stored"))
    return error;
  if (llvm::Error error =
          writeModelFolder(module->get(), modulePath, checkpoint, folder))
    return error;
  llvm::sys::fs::remove(stored);
  llvm::sys::fs::remove(modulePath);
  return llvm::Error::success();
}
