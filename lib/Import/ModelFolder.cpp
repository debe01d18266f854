//===- ModelFolder.cpp - Files of imported models -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Import/ModelFolder.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/ModulePaths.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::cq;

/// `path` as a file in `folder` would refer to it: relative when it lies below.
static std::string relativeTo(llvm::StringRef folder, llvm::StringRef path) {
  llvm::SmallString<128> base(folder), target(path);
  llvm::sys::fs::make_absolute(base);
  llvm::sys::fs::make_absolute(target);
  llvm::sys::path::remove_dots(base, true);
  llvm::sys::path::remove_dots(target, true);
  llvm::StringRef rest = target;
  if (rest.consume_front(base) && rest.consume_front("/"))
    return rest.str();
  return target.str().str();
}

llvm::Expected<ModelSource>
mlir::cq::importToFile(StringRef checkpoint, StringRef output,
                       const ImportFileOptions &options) {
  llvm::Expected<ModelSource> source =
      ModelSource::open(checkpoint, options.tokenizer);
  if (!source)
    return source.takeError();

  MLIRContext mlirContext;
  ImportOptions import = options.import;
  // Two tokens at least: the first predicts the second.
  int64_t room = import.context > 0 ? import.context : source->config.context;
  import.lossTokens = options.lossTokens >= 0 ? options.lossTokens
                      : room >= 2             ? std::min<int64_t>(512, room)
                                              : 0;
  StringRef folder = llvm::sys::path::parent_path(output);
  import.parameters = relativeTo(folder, checkpoint);
  std::string refusal;
  ScopedDiagnosticHandler handler(&mlirContext, [&](Diagnostic &diagnostic) {
    if (refusal.empty())
      refusal = diagnostic.str();
    return success();
  });
  OwningOpRef<ModuleOp> module = importLlama(mlirContext, *source, import);
  if (!module)
    return llvm::createStringError(checkpoint + ": " + refusal);
  if (!options.tokenizer.empty())
    (*module)->setAttr(
        "cq.tokenizer",
        StringAttr::get(&mlirContext, relativeTo(folder, options.tokenizer)));

  std::string text;
  llvm::raw_string_ostream os(text);
  printModel(*module, os);
  if (llvm::Error error = writeFileAtomically(output, text))
    return std::move(error);
  return source;
}

llvm::Error mlir::cq::writeModelFolder(ModuleOp module, StringRef modulePath,
                                       StringRef archive, StringRef folder) {
  std::string tokenizerSource = archive.str();
  if (auto attribute = module->getAttrOfType<StringAttr>("cq.tokenizer"))
    tokenizerSource = resolveBeside(modulePath, attribute.getValue());
  auto tokenizer = Tokenizer::open(tokenizerSource);
  if (tokenizer) {
    if (llvm::Error error =
            (*tokenizer)->save(inFolder(folder, "tokenizer.gguf")))
      return error;
    module->setAttr("cq.tokenizer",
                    StringAttr::get(module.getContext(), "tokenizer.gguf"));
  } else {
    llvm::consumeError(tokenizer.takeError());
    module->removeAttr("cq.tokenizer");
  }
  module->setAttr("cq.parameters",
                  StringAttr::get(module.getContext(), "model.safetensors"));
  std::string text;
  llvm::raw_string_ostream os(text);
  module->print(os);
  os << '\n';
  return writeFileAtomically(inFolder(folder, "model.mlir"), text);
}
