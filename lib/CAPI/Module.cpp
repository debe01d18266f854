//===- Module.cpp - C API: modules and pipelines --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LastError.h"
#include "cq-c/CQ.h"
#include "cq/Pipelines/InitAll.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/raw_ostream.h"
#include <cstring>
#include <mutex>

using namespace mlir;
using namespace mlir::cq;

struct CqModule_ {
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
};

static const DialectRegistry &registry() {
  static DialectRegistry instance;
  static std::once_flag once;
  std::call_once(once, [] {
    mlir::registerAllDialects(instance);
    mlir::registerAllExtensions(instance);
    mlir::registerAllPasses();
    mlir::cq::registerAllDialects(instance);
    mlir::cq::registerAllPasses();
  });
  return instance;
}

/// Collects the errors of one call, one a line, for cqLastError().
class DiagnosticText {
public:
  explicit DiagnosticText(MLIRContext &context)
      : handler(&context, [this](Diagnostic &diagnostic) {
          if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
            return;
          llvm::raw_string_ostream os(text);
          if (!text.empty())
            os << '\n';
          os << diagnostic.getLocation() << ": " << diagnostic;
        }) {}
  std::string take(const char *otherwise) {
    return text.empty() ? otherwise : std::move(text);
  }

private:
  std::string text;
  ScopedDiagnosticHandler handler;
};

CqModule cqModuleParse(const char *text, size_t length) {
  auto module = std::make_unique<CqModule_>();
  module->context = std::make_unique<MLIRContext>(registry());
  DiagnosticText diagnostics(*module->context);
  module->module = parseSourceString<ModuleOp>(
      llvm::StringRef(text, length), ParserConfig(module->context.get()));
  if (module->module)
    return module.release();
  setLastError(diagnostics.take("the text is not an MLIR module"));
  return nullptr;
}

int cqModuleRunPipeline(CqModule module, const char *pipeline) {
  DiagnosticText diagnostics(*module->context);
  std::string message;
  llvm::raw_string_ostream os(message);
  FailureOr<OpPassManager> parsed = parsePassPipeline(pipeline, os);
  if (failed(parsed)) {
    setLastError(message.empty() ? "the pipeline does not parse" : message);
    return 1;
  }
  PassManager manager(module->context.get(), parsed->getOpAnchorName());
  static_cast<OpPassManager &>(manager) = std::move(*parsed);
  if (succeeded(manager.run(*module->module)))
    return 0;
  setLastError(diagnostics.take("the pipeline failed"));
  return 1;
}

char *cqModulePrint(CqModule module, int generic) {
  std::string text;
  llvm::raw_string_ostream os(text);
  OpPrintingFlags flags;
  if (generic)
    flags.printGenericOpForm();
  module->module->print(os, flags);
  return strdup(text.c_str());
}

void cqModuleFree(CqModule module) { delete module; }
