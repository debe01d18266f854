//===- ModelFiles.cpp - Files that a module names -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelFiles.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/ModulePaths.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace mlir::cq;

llvm::Expected<std::string> mlir::cq::findModule(llvm::StringRef path) {
  llvm::SmallString<128> module(path);
  if (llvm::sys::fs::is_directory(path))
    llvm::sys::path::append(module, "model.mlir");
  if (!llvm::sys::fs::exists(module))
    return fail(module.str() +
                " does not exist; give a module made by `cq import` or a "
                "folder made by `cq quantize`");
  return module.str().str();
}

static llvm::Expected<std::unique_ptr<ParameterArchive>>
openParameters(const ModuleInterface &interface, llvm::StringRef modulePath) {
  auto file = interface.attributes.getString("parameters");
  if (!file || file->empty())
    return fail(modulePath + " does not say where its weights are (attribute "
                             "cq.parameters)");
  return ParameterArchive::open(resolveBeside(modulePath, *file));
}

static llvm::Expected<std::shared_ptr<Tokenizer>>
openTokenizer(const ModuleInterface &interface, llvm::StringRef modulePath,
              const ParameterArchive &archive) {
  auto file = interface.attributes.getString("tokenizer");
  if (file && !file->empty())
    return Tokenizer::open(resolveBeside(modulePath, *file));
  auto opened = Tokenizer::open(archive.path());
  if (opened)
    return opened;
  llvm::consumeError(opened.takeError());
  return std::shared_ptr<Tokenizer>();
}

llvm::Expected<ModelFiles> ModelFiles::open(const ModuleInterface &interface,
                                            llvm::StringRef modulePath,
                                            unsigned threads) {
  auto archive = openParameters(interface, modulePath);
  if (!archive)
    return archive.takeError();
  auto tokenizer = openTokenizer(interface, modulePath, **archive);
  if (!tokenizer)
    return tokenizer.takeError();
  auto table = ParameterTable::bind(interface, **archive, threads);
  if (!table)
    return table.takeError();
  return ModelFiles{std::move(*archive), std::move(*tokenizer),
                    std::move(*table)};
}

llvm::Expected<LanguageFunctions>
mlir::cq::findChunkFunctions(const ModuleInterface &interface,
                             llvm::StringRef path) {
  LanguageFunctions found;
  SessionShape &shape = found.shape;
  for (const FunctionInfo &function : interface.functions) {
    llvm::StringRef name = function.name;
    ChunkFunctions chunk{0, &function, nullptr};
    if (!name.consume_front("forward_") ||
        name.getAsInteger(10, chunk.tokens) || chunk.tokens < 1)
      continue;
    if (function.arguments.size() != 4 || function.results.empty() ||
        function.arguments[2].shape.size() < 2 ||
        function.results[0].shape.size() != 2)
      return fail(path + ": @" + function.name +
                  " does not have the signature that `cq import` writes");
    chunk.logits = interface.find("logits_" + std::to_string(chunk.tokens));
    if (!chunk.logits || chunk.logits->results.size() != 1 ||
        chunk.logits->results[0].shape.size() != 2)
      return fail(path + ": @" + function.name + " has no @logits_" +
                  llvm::Twine(chunk.tokens) +
                  " beside it; import the model again");
    shape.width = function.results[0].shape[1];
    shape.vocabulary = chunk.logits->results[0].shape[1];
    shape.context = function.arguments[2].shape[1];
    shape.keys = function.arguments[2].numElements();
    shape.values = function.arguments[3].numElements();
    found.chunks.push_back(chunk);
  }
  if (found.chunks.empty())
    return fail(path + " has no @forward_<tokens> function, so it is not a "
                       "language model made by `cq import`");
  return found;
}
