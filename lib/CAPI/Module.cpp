//===- Module.cpp - C API: modules and pipelines --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq-c/Module.h"
#include "Guard.h"
#include "ModuleHandle.h"
#include "cq/Pipelines/InitAll.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"
#include <mutex>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::capi;

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

capi::Context::Context() : mlir(std::make_unique<MLIRContext>(registry())) {}
capi::Context::~Context() = default;

namespace {
/// Passes the diagnostics of one call to the caller's handler, and collects the
/// errors among them for cqLastError(), one a line.
class Diagnostics {
public:
  explicit Diagnostics(Context &context)
      : handler(context.mlir.get(), [this, &context](Diagnostic &diagnostic) {
          report(context, diagnostic);
        }) {}

  llvm::Error error(const char *otherwise) {
    return fail(errors.empty() ? otherwise : errors);
  }

private:
  void report(Context &context, Diagnostic &diagnostic) {
    std::string location, message;
    llvm::raw_string_ostream(location) << diagnostic.getLocation();
    llvm::raw_string_ostream(message) << diagnostic;
    // What a hostile file makes passes repeat need not fill memory.
    constexpr size_t most = 1 << 16;
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error &&
        errors.size() < most)
      errors += (errors.empty() ? "" : "\n") + location + ": " + message;
    if (!context.handler)
      return;
    context.handler(severityOf(diagnostic), location.c_str(), message.c_str(),
                    context.user);
    for (Diagnostic &note : diagnostic.getNotes())
      report(context, note);
  }

  static CqSeverity severityOf(const Diagnostic &diagnostic) {
    switch (diagnostic.getSeverity()) {
    case DiagnosticSeverity::Note:
      return CQ_SEVERITY_NOTE;
    case DiagnosticSeverity::Warning:
      return CQ_SEVERITY_WARNING;
    case DiagnosticSeverity::Error:
      return CQ_SEVERITY_ERROR;
    case DiagnosticSeverity::Remark:
      return CQ_SEVERITY_REMARK;
    }
    return CQ_SEVERITY_ERROR;
  }

  std::string errors;
  ScopedDiagnosticHandler handler;
};
} // namespace

//===----------------------------------------------------------------------===//
// Contexts
//===----------------------------------------------------------------------===//

CqContext cqContextCreate(void) {
  return guard<CqContext>(nullptr, []() -> llvm::Expected<CqContext> {
    return new CqContext_{std::make_shared<Context>()};
  });
}

int cqContextSetDiagnosticHandler(CqContext context,
                                  CqDiagnosticHandler handler, void *user) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(context, "context"))
      return error;
    context->shared->handler = handler;
    context->shared->user = user;
    return llvm::Error::success();
  });
}

int cqContextAllowUnregisteredDialects(CqContext context, int allow) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(context, "context"))
      return error;
    context->shared->mlir->allowUnregisteredDialects(allow != 0);
    return llvm::Error::success();
  });
}

int cqContextEnableMultithreading(CqContext context, int enable) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(context, "context"))
      return error;
    context->shared->mlir->disableMultithreading(enable == 0);
    return llvm::Error::success();
  });
}

void cqContextFree(CqContext context) { delete context; }

//===----------------------------------------------------------------------===//
// Modules
//===----------------------------------------------------------------------===//

/// Bytecode asks for as much as its largest section.
static constexpr llvm::Align kAlignment = llvm::Align::Constant<4096>();

static llvm::Expected<CqModule>
parse(CqContext context, std::unique_ptr<llvm::MemoryBuffer> buffer) {
  auto module = std::make_unique<CqModule_>();
  module->context = context ? context->shared : std::make_shared<Context>();
  Diagnostics diagnostics(*module->context);
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  module->module = parseSourceFile<ModuleOp>(
      sources, ParserConfig(module->context->mlir.get()));
  if (!module->module)
    return diagnostics.error("the text is not an MLIR module");
  return module.release();
}

CqModule cqModuleParse(CqContext context, const char *text, size_t length) {
  return guard<CqModule>(nullptr, [&]() -> llvm::Expected<CqModule> {
    if (llvm::Error error = needs(text, "text"))
      return std::move(error);
    // A copy: bytecode wants alignment, and text a zero byte at its end.
    auto buffer = llvm::WritableMemoryBuffer::getNewUninitMemBuffer(length, "-",
                                                                    kAlignment);
    if (!buffer)
      return fail("there is not enough memory");
    std::copy(text, text + length, buffer->getBufferStart());
    return parse(context, std::move(buffer));
  });
}

CqModule cqModuleRead(CqContext context, const char *path) {
  return guard<CqModule>(nullptr, [&]() -> llvm::Expected<CqModule> {
    if (llvm::Error error = needs(path, "path"))
      return std::move(error);
    auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                              /*RequiresNullTerminator=*/true,
                                              /*IsVolatile=*/false, kAlignment);
    if (!buffer)
      return fail("cannot read " + quoted(path) + ": " +
                  buffer.getError().message());
    return parse(context, std::move(*buffer));
  });
}

llvm::Error capi::runPipeline(CqModule module, llvm::StringRef pipeline) {
  MLIRContext *context = module->context->mlir.get();
  Diagnostics diagnostics(*module->context);
  std::string message;
  llvm::raw_string_ostream os(message);
  PassManager manager(context);
  bool parses;
  if (pipeline.starts_with("builtin.module(") || pipeline.starts_with("any(")) {
    FailureOr<OpPassManager> parsed = parsePassPipeline(pipeline, os);
    parses = succeeded(parsed);
    if (parses)
      static_cast<OpPassManager &>(manager) = std::move(*parsed);
  } else {
    parses = succeeded(parsePassPipeline(pipeline, manager, os));
  }
  if (!parses)
    return message.empty() ? diagnostics.error("the pipeline does not parse")
                           : fail(llvm::StringRef(message).rtrim());
  if (failed(manager.run(*module->module)))
    return diagnostics.error("the pipeline failed");
  return llvm::Error::success();
}

int cqModuleRunPipeline(CqModule module, const char *pipeline) {
  return guardStatus([&]() -> llvm::Error {
    if (llvm::Error error = needs(module, "module"))
      return error;
    if (llvm::Error error = needs(pipeline, "pipeline"))
      return error;
    return runPipeline(module, llvm::StringRef(pipeline).trim());
  });
}

char *cqModulePrint(CqModule module, int generic) {
  return guard<char *>(nullptr, [&]() -> llvm::Expected<char *> {
    if (llvm::Error error = needs(module, "module"))
      return std::move(error);
    std::string text;
    llvm::raw_string_ostream os(text);
    OpPrintingFlags flags;
    if (generic)
      flags.printGenericOpForm();
    module->module->print(os, flags);
    return copyText(text);
  });
}

char *cqModuleWriteBytecode(CqModule module, size_t *length) {
  return guard<char *>(nullptr, [&]() -> llvm::Expected<char *> {
    if (llvm::Error error = needs(module, "module"))
      return std::move(error);
    if (llvm::Error error = needs(length, "length"))
      return std::move(error);
    Diagnostics diagnostics(*module->context);
    std::string bytes;
    llvm::raw_string_ostream os(bytes);
    if (failed(writeBytecodeToFile(*module->module, os)))
      return diagnostics.error("the module cannot be written as bytecode");
    char *copy = copyText(bytes);
    *length = bytes.size();
    return copy;
  });
}

void cqModuleFree(CqModule module) { delete module; }
