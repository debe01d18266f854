//===- ModelFile.cpp - A model's weights, however it is named -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelFile.h"
#include "ImportedModule.h"
#include "cq/Support/Diagnostics.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace mlir::cq;

static llvm::json::Object toJSON(DictionaryAttr dictionary) {
  llvm::json::Object object;
  for (NamedAttribute entry : dictionary) {
    // json::Object keeps a StringRef as it is: the context owns this one.
    std::string name = entry.getName().getValue().str();
    if (auto text = dyn_cast<StringAttr>(entry.getValue()))
      object[name] = llvm::json::fixUTF8(text.getValue());
    else if (auto flag = dyn_cast<BoolAttr>(entry.getValue()))
      object[name] = flag.getValue();
    else if (auto number = dyn_cast<IntegerAttr>(entry.getValue()))
      object[name] = number.getValue().getSExtValue();
    else if (auto number = dyn_cast<FloatAttr>(entry.getValue()))
      object[name] = number.getValueAsDouble();
    else if (auto numbers = dyn_cast<DenseF32ArrayAttr>(entry.getValue()))
      object[name] = llvm::json::Array(numbers.asArrayRef());
  }
  return object;
}

llvm::Expected<tool::ModelFile> tool::ModelFile::open(llvm::StringRef path) {
  ModelFile file;
  file.archivePath = path.str();
  llvm::SmallString<128> module(path);
  if (llvm::sys::fs::is_directory(module))
    llvm::sys::path::append(module, "model.mlir");
  if (llvm::sys::path::extension(module) == ".mlir" &&
      llvm::sys::fs::exists(module)) {
    auto imported = ImportedModule::open(module);
    if (!imported)
      return imported.takeError();
    file.archivePath = imported->archivePath();
    if (file.archivePath.empty())
      return fail(quoted(module) + " does not say where its weights are "
                                   "(attribute cq.parameters); was it made by "
                                   "`cq import`?");
    if (auto model = imported->get()->getAttrOfType<DictionaryAttr>("cq.model"))
      file.model = toJSON(model);
  }
  auto archive = ParameterArchive::open(file.archivePath);
  if (!archive)
    return archive.takeError();
  file.archive = std::move(*archive);
  return file;
}
