//===- ImportedModule.cpp - A module and passes over it -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImportedModule.h"
#include "cq/Pipelines/InitAll.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/ModulePaths.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::cq;
using tool::ImportedModule;

void tool::PipelineOptions::add(StringRef name, StringRef value) {
  if (!value.empty())
    text += (text.empty() ? "" : " ") + name.str() + "=" + value.str();
}

std::string tool::PipelineOptions::of(StringRef pipeline) const {
  return pipeline.str() + "{" + text + "}";
}

static DialectRegistry allDialects() {
  DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::cq::registerAllDialects(registry);
  return registry;
}

struct ImportedModule::Implementation {
  std::string path;
  MLIRContext context{allDialects()};
  OwningOpRef<ModuleOp> module;
};

ImportedModule::ImportedModule(std::unique_ptr<Implementation> implementation)
    : implementation(std::move(implementation)) {}
ImportedModule::ImportedModule(ImportedModule &&) = default;
ImportedModule::~ImportedModule() = default;

llvm::Expected<ImportedModule> ImportedModule::open(StringRef path) {
  auto implementation = std::make_unique<Implementation>();
  implementation->path = path.str();
  implementation->module =
      parseSourceFile<ModuleOp>(path, ParserConfig(&implementation->context));
  if (!implementation->module)
    return fail(quoted(path) + " is not an MLIR module");
  return ImportedModule(std::move(implementation));
}

ModuleOp ImportedModule::get() const { return *implementation->module; }

std::string ImportedModule::archivePath() const {
  auto attribute = get()->getAttrOfType<StringAttr>("cq.parameters");
  return attribute ? resolveBeside(implementation->path, attribute.getValue())
                   : "";
}

llvm::Error ImportedModule::run(StringRef pipeline,
                                const llvm::Twine &failure) {
  mlir::registerAllPasses();
  mlir::cq::registerAllPasses();
  PassManager manager(&implementation->context);
  std::string message;
  llvm::raw_string_ostream os(message);
  if (failed(parsePassPipeline(pipeline, manager, os)))
    return llvm::createStringError("the pipeline does not parse: " + message);
  if (failed(manager.run(get())))
    return llvm::createStringError(failure);
  return llvm::Error::success();
}
