//===- CompiledModule.cpp - Machine code of a module ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/CompiledModule.h"
#include "CodeGenerator.h"
#include "cq/Execution/ObjectCache.h"
#include "cq/Pipelines/LowerToLLVM.h"
#include "cq/Runtime/Runtime.h"
#include "cq/Transforms/Passes.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/ExecutionUtils.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Object/Archive.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;
using namespace mlir::cq;

struct CompiledModule::Impl {
  ModuleInterface interface;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  bool fromCache = false;

  llvm::Error load(std::unique_ptr<llvm::MemoryBuffer> object);
};

llvm::Error
CompiledModule::Impl::load(std::unique_ptr<llvm::MemoryBuffer> object) {
  auto created = llvm::orc::LLJITBuilder().create();
  if (!created)
    return created.takeError();
  jit = std::move(*created);
  llvm::orc::JITDylib &library = jit->getMainJITDylib();

  // The runtime by address: a static executable need not export it.
  llvm::orc::SymbolMap runtime;
  auto add = [&](llvm::StringRef name, auto *function) {
    runtime[jit->mangleAndIntern(name)] = {
        llvm::orc::ExecutorAddr::fromPtr(function),
        llvm::JITSymbolFlags::Exported | llvm::JITSymbolFlags::Callable};
  };
  add("cq_parallel_for", &cq_parallel_for);
  add("cq_reads", &cq_reads);
  add("cq_allocate", &cq_allocate);
  add("cq_deallocate", &cq_deallocate);
  add("cq_scratch", &cq_scratch);
  add("cq_workspace", &cq_workspace);
  add("cq_threads", &cq_threads);
  add("cq_observe", &cq_observe);
  if (llvm::Error error = library.define(llvm::orc::absoluteSymbols(runtime)))
    return error;
  // memcpy and the functions of libm.
  auto process = llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
      jit->getDataLayout().getGlobalPrefix());
  if (!process)
    return process.takeError();
  library.addGenerator(std::move(*process));
  auto parts = llvm::object::Archive::create(object->getMemBufferRef());
  if (!parts)
    return parts.takeError();
  llvm::Error error = llvm::Error::success();
  for (const llvm::object::Archive::Child &part : (*parts)->children(error)) {
    auto bytes = part.getBuffer();
    if (!bytes)
      return llvm::joinErrors(std::move(error), bytes.takeError());
    // Members of an archive are not aligned.
    if (llvm::Error failed = jit->addObjectFile(
            llvm::MemoryBuffer::getMemBufferCopy(*bytes, "cq")))
      return llvm::joinErrors(std::move(error), std::move(failed));
  }
  return error;
}

CompiledModule::CompiledModule(std::unique_ptr<Impl> impl)
    : impl(std::move(impl)) {}
CompiledModule::~CompiledModule() = default;

const ModuleInterface &CompiledModule::getInterface() const {
  return impl->interface;
}
bool CompiledModule::isFromCache() const { return impl->fromCache; }

llvm::Expected<void *> CompiledModule::lookup(llvm::StringRef name) const {
  const FunctionInfo *function = impl->interface.find(name);
  if (!function)
    return llvm::createStringError(llvm::inconvertibleErrorCode(),
                                   "the module has no function '" + name + "'");
  auto address = impl->jit->lookup(function->entryPoint);
  if (!address)
    return address.takeError();
  return address->toPtr<void *>();
}

//===----------------------------------------------------------------------===//
// Compiling
//===----------------------------------------------------------------------===//

/// Everything but the source and the compiler that code depends on.
static std::string describeOptions(const ExecutionOptions &options) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << " parallel=" << options.parallel << " fuse=" << options.fuse
     << " activation=" << options.activation << ' '
     << llvm::join(options.functions, ",") << ' ' << options.preparation;
  return text;
}

llvm::Error mlir::cq::prepareModule(ModuleOp module,
                                    const ExecutionOptions &options) {
  PassManager pm(module.getContext());
  if (options.prepare)
    options.prepare(pm);
  else
    pm.enableVerifier(false); // parsed and verified; only functions go
  if (!options.functions.empty()) {
    KeepFunctionsOptions keep;
    keep.functions.assign(options.functions.begin(), options.functions.end());
    pm.addPass(createKeepFunctions(keep));
  }
  if (pm.empty())
    return llvm::Error::success();
  // The first error is the sentence to show; what follows follows from it.
  std::string refusal;
  ScopedDiagnosticHandler handler(
      module.getContext(), [&](Diagnostic &diagnostic) {
        if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
          return failure();
        if (refusal.empty()) {
          llvm::raw_string_ostream os(refusal);
          if (auto place = dyn_cast<FileLineColLoc>(diagnostic.getLocation()))
            os << place.getFilename().getValue() << ": ";
          os << diagnostic;
        }
        return success();
      });
  if (succeeded(pm.run(module)))
    return llvm::Error::success();
  return llvm::createStringError(
      llvm::inconvertibleErrorCode(),
      refusal.empty() ? "the module could not be prepared" : refusal);
}

/// `getModule` gives a module that may be changed; asked only on a cache miss.
static llvm::Error compileInto(
    llvm::StringRef source, const ExecutionOptions &options,
    llvm::function_ref<llvm::Expected<OwningOpRef<ModuleOp>>()> getModule,
    ModuleInterface &interface, std::unique_ptr<llvm::MemoryBuffer> &object,
    bool &fromCache) {
  auto machine = createTargetMachine(options);
  if (!machine)
    return machine.takeError();
  auto policy = cachePolicy(options);
  if (!policy)
    return policy.takeError();
  ObjectCache cache(options.cacheDir, *policy);
  PartCache parts;
  std::string key;
  if (options.useCache) {
    parts = {&cache, describeCompiler(**machine, options)};
    key =
        ObjectCache::getKey(source, parts.compiler + describeOptions(options));
    if (auto cached = cache.load(key)) {
      interface = std::move(cached->interface);
      object = std::move(cached->object);
      fromCache = true;
      return llvm::Error::success();
    }
  }
  auto module = getModule();
  if (!module)
    return module.takeError();
  if (llvm::Error error = prepareModule(**module, options))
    return error;
  auto described = ModuleInterface::of(**module);
  if (!described)
    return described.takeError();
  interface = std::move(*described);
  auto code = generateObjects(**module, **machine, options, parts);
  if (!code)
    return code.takeError();
  auto archive = makeArchive(*code);
  if (!archive)
    return archive.takeError();
  object = std::move(*archive);
  if (options.useCache)
    cache.store(key, interface, object->getBuffer());
  return llvm::Error::success();
}

llvm::Expected<std::unique_ptr<CompiledModule>>
CompiledModule::compile(ModuleOp module, const ExecutionOptions &options) {
  std::string source;
  if (options.useCache) {
    llvm::raw_string_ostream os(source);
    if (failed(writeBytecodeToFile(module, os)))
      return llvm::createStringError(
          llvm::inconvertibleErrorCode(),
          "the module cannot be written as bytecode");
  }
  auto impl = std::make_unique<Impl>();
  std::unique_ptr<llvm::MemoryBuffer> object;
  if (llvm::Error error = compileInto(
          source, options,
          [&]() -> llvm::Expected<OwningOpRef<ModuleOp>> {
            return module.clone();
          },
          impl->interface, object, impl->fromCache))
    return error;
  if (llvm::Error error = impl->load(std::move(object)))
    return error;
  return std::unique_ptr<CompiledModule>(new CompiledModule(std::move(impl)));
}

llvm::Expected<std::unique_ptr<CompiledModule>>
CompiledModule::compileSource(llvm::StringRef source, llvm::StringRef name,
                              const ExecutionOptions &options) {
  std::unique_ptr<MLIRContext> context;
  auto parse = [&]() -> llvm::Expected<OwningOpRef<ModuleOp>> {
    DialectRegistry registry;
    registerLowerToLLVMDialects(registry);
    context = std::make_unique<MLIRContext>(registry);
    auto module =
        parseSourceString<ModuleOp>(source, ParserConfig(context.get()), name);
    if (!module)
      return llvm::createStringError(llvm::inconvertibleErrorCode(),
                                     "'" + name +
                                         "' is not a valid MLIR module");
    return module;
  };
  auto impl = std::make_unique<Impl>();
  std::unique_ptr<llvm::MemoryBuffer> object;
  if (llvm::Error error = compileInto(source, options, parse, impl->interface,
                                      object, impl->fromCache))
    return error;
  if (llvm::Error error = impl->load(std::move(object)))
    return error;
  return std::unique_ptr<CompiledModule>(new CompiledModule(std::move(impl)));
}

llvm::Expected<std::unique_ptr<CompiledModule>>
CompiledModule::compileFile(llvm::StringRef path,
                            const ExecutionOptions &options) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false);
  if (!buffer)
    return llvm::createStringError(buffer.getError(),
                                   "cannot read '" + path +
                                       "': " + buffer.getError().message());
  return compileSource((*buffer)->getBuffer(), path, options);
}
