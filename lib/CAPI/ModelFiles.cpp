//===- ModelFiles.cpp - C API: import, quantize, compile models -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Guard.h"
#include "ModuleHandle.h"
#include "cq-c/Model.h"
#include "cq/Execution/AheadOfTime.h"
#include "cq/Import/ModelFolder.h"
#include "cq/Support/ModulePaths.h"
#include "cq/Support/OutputFolder.h"

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::capi;

int cqImportModel(const char *checkpoint, const char *tokenizer,
                  int64_t context, const char *output) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(checkpoint, "checkpoint"))
      return error;
    if (llvm::Error error = needs(output, "output"))
      return error;
    if (context < 0 || context > (int64_t(1) << 24))
      return fail("a context has 0 (as trained) to 2^24 positions, not " +
                  llvm::Twine(context));
    ImportFileOptions options;
    options.tokenizer = textOf(tokenizer).str();
    options.import.context = context;
    return importToFile(checkpoint, output, options).takeError();
  });
}

/// NAME=VALUE for a pipeline, whatever the value; braces cannot be quoted.
static llvm::Expected<std::string> optionOf(llvm::StringRef name,
                                            llvm::StringRef path) {
  if (path.find_first_of("{}'\"") != llvm::StringRef::npos)
    return fail("the path " + quoted(path) +
                " has braces or quotation marks, which pipelines cannot take");
  return (" " + name + "='" + path + "'").str();
}

static llvm::Error quantizeInto(CqModule module, llvm::StringRef path,
                                llvm::StringRef options,
                                llvm::StringRef folder) {
  auto attribute =
      (*module->module)->getAttrOfType<StringAttr>("cq.parameters");
  if (!attribute)
    return fail(quoted(path) +
                " does not say where its weights are (attribute "
                "cq.parameters); was it made by cqImportModel or cq import?");
  std::string archive = resolveBeside(path, attribute.getValue());
  std::string pipeline = "cq-quantize{activations=int8 " + options.str();
  for (auto [name, value] :
       {std::pair<llvm::StringRef, std::string>("parameters", archive),
        {"parameters-out", inFolder(folder, "model.safetensors")},
        {"plan-out", inFolder(folder, "plan.json")}}) {
    auto option = optionOf(name, value);
    if (!option)
      return option.takeError();
    pipeline += *option;
  }
  if (llvm::Error error = runPipeline(module, pipeline + "}"))
    return error;
  return writeModelFolder(*module->module, path, archive, folder);
}

int cqQuantizeModel(const char *module, const char *options, const char *output,
                    int force) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(module, "module"))
      return error;
    if (llvm::Error error = needs(output, "output"))
      return error;
    if (!*output)
      return fail("the name of the output folder is empty");
    if (textOf(options).find_first_of("{}") != llvm::StringRef::npos)
      return fail("options of cq-quantize have no braces");
    std::unique_ptr<CqModule_, void (*)(CqModule)> read(
        cqModuleRead(nullptr, module), cqModuleFree);
    if (!read)
      return fail(cqLastError());
    auto folder = OutputFolder::create(output, force != 0);
    if (!folder)
      return folder.takeError();
    if (llvm::Error error =
            quantizeInto(read.get(), module, textOf(options), folder->path()))
      return error;
    return folder->commit();
  });
}

int cqCompileModel(const char *path, const char *output, const char *name,
                   const char *target_cpu, const char *activation) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(path, "path"))
      return error;
    if (llvm::Error error = needs(output, "output"))
      return error;
    LibraryOptions options;
    options.output = output;
    options.name = textOf(name).str();
    options.targetCPU = textOf(target_cpu).str();
    options.activation = textOf(activation).str();
    return compileLibrary(path, options).takeError();
  });
}
