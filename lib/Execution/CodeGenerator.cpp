//===- CodeGenerator.cpp - LLVM dialect to object code --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CodeGenerator.h"
#include "Components.h"
#include "KernelParts.h"
#include "cq/Execution/ObjectCache.h"
#include "cq/Pipelines/LowerToLLVM.h"
#include "cq/Support/TargetCPU.h"
#include "cq/Transforms/CallInterface.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ArchiveWriter.h"
#include "llvm/Passes/OptimizationLevel.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Passes/StandardInstrumentations.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/TargetParser/Host.h"
#include <deque>

using namespace mlir;
using namespace mlir::cq;

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
mlir::cq::createTargetMachine(llvm::StringRef cpu, llvm::StringRef features,
                              unsigned optLevel) {
  static bool initialized = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    return true;
  }();
  (void)initialized;
  llvm::Triple triple(llvm::sys::getProcessTriple());
  std::string message;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return makeError("no code generator for " + triple.str() + ": " + message);
  llvm::TargetOptions targetOptions;
  targetOptions.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  // Not CodeGenOptLevel::None: it has no tile registers that loops carry.
  auto level = optLevel < 2    ? llvm::CodeGenOptLevel::Less
               : optLevel == 2 ? llvm::CodeGenOptLevel::Default
                               : llvm::CodeGenOptLevel::Aggressive;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, cpu, features, targetOptions, llvm::Reloc::PIC_,
      llvm::CodeModel::Small, level, /*JIT=*/true));
}

llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
mlir::cq::createTargetMachine(const ExecutionOptions &options) {
  std::string cpu = options.targetCPU;
  std::string features; // part of the cache's key
  if (cpu.empty() || cpu == "host") {
    cpu = llvm::sys::getHostCPUName().str();
    features = hostFeatureString();
  }
  return createTargetMachine(cpu, features, options.optLevel);
}

std::string mlir::cq::describeCompiler(const llvm::TargetMachine &machine,
                                       const ExecutionOptions &options) {
  std::string text = describeCompiler();
  llvm::raw_string_ostream os(text);
  os << ' ' << machine.getTargetTriple().str() << ' ' << machine.getTargetCPU()
     << ' ' << machine.getTargetFeatureString() << " O" << options.optLevel;
  return text;
}

llvm::Expected<llvm::CachePruningPolicy>
mlir::cq::cachePolicy(const ExecutionOptions &options) {
  std::string text = options.cachePolicy;
  if (text.empty())
    text =
        llvm::sys::Process::GetEnv("CQ_CACHE_POLICY").value_or(std::string());
  return ObjectCache::parsePolicy(text);
}

/// Buffers come from the runtime, which keeps them. LLVM learns what it knows
/// of malloc and free.
static void useRuntimeBuffers(llvm::Module &module) {
  llvm::LLVMContext &context = module.getContext();
  auto rename = [&](llvm::StringRef from, llvm::StringRef to,
                    llvm::AllocFnKind kind) -> llvm::Function * {
    llvm::Function *function = module.getFunction(from);
    if (!function || !function->isDeclaration())
      return nullptr;
    function->setName(to);
    function->addFnAttr(llvm::Attribute::NoUnwind);
    function->addFnAttr(llvm::Attribute::WillReturn);
    function->addFnAttr(llvm::Attribute::get(
        context, llvm::Attribute::AllocKind, static_cast<uint64_t>(kind)));
    function->addFnAttr("alloc-family", "cq_allocate");
    return function;
  };
  if (llvm::Function *allocate =
          rename("malloc", "cq_allocate",
                 llvm::AllocFnKind::Alloc | llvm::AllocFnKind::Uninitialized)) {
    allocate->addRetAttr(llvm::Attribute::NoAlias);
    allocate->setMemoryEffects(llvm::MemoryEffects::inaccessibleMemOnly());
  }
  if (llvm::Function *deallocate =
          rename("free", "cq_deallocate", llvm::AllocFnKind::Free)) {
    deallocate->addParamAttr(0, llvm::Attribute::AllocatedPointer);
    deallocate->setMemoryEffects(
        llvm::MemoryEffects::inaccessibleOrArgMemOnly());
  }
}

/// Passes for kernels of packed weights, which are written as vectors in the
/// order that they need: cleaning up, and taking addresses out of loops. The
/// whole pipeline takes three times as long for the same loops.
static constexpr llvm::StringLiteral kernelPasses =
    "function(early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,"
    "reassociate,loop-mssa(loop-rotate,licm),loop(indvars),early-cse<memssa>,"
    "instcombine<no-verify-fixpoint>,loop-mssa(licm),simplifycfg)";

static bool hasOnlyKernels(const llvm::Module &module) {
  return llvm::all_of(module, [](const llvm::Function &function) {
    return function.isDeclaration() ||
           function.getName().starts_with("cq_panels_");
  });
}

static void optimize(llvm::Module &module, llvm::TargetMachine &machine,
                     unsigned level) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = tuning.SLPVectorization = level > 1;
  // Kernels are written with the unrolling that they need, and vectorized loops
  // are interleaved; more costs a third of LLVM's time and gains nothing.
  tuning.LoopUnrolling = false;
  llvm::PassInstrumentationCallbacks callbacks;
  llvm::OptNoneInstrumentation skipGlue(/*DebugLogging=*/false);
  skipGlue.registerCallbacks(callbacks);
  llvm::PassBuilder builder(&machine, tuning, std::nullopt, &callbacks);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  llvm::OptimizationLevel optimization =
      level == 0   ? llvm::OptimizationLevel::O0
      : level == 1 ? llvm::OptimizationLevel::O1
      : level == 2 ? llvm::OptimizationLevel::O2
                   : llvm::OptimizationLevel::O3;
  if (level > 1 && hasOnlyKernels(module)) {
    llvm::ModulePassManager passes;
    llvm::cantFail(builder.parsePassPipeline(passes, kernelPasses));
    passes.run(module, modules);
    return;
  }
  llvm::ModulePassManager passes =
      level == 0 ? builder.buildO0DefaultPipeline(optimization)
                 : builder.buildPerModuleDefaultPipeline(optimization);
  passes.run(module, modules);
}

/// Optimizes `code` and turns it into an object file.
static llvm::Expected<llvm::SmallString<0>>
compileCode(llvm::Module &code, llvm::TargetMachine &machine, unsigned level) {
  optimize(code, machine, level);
  llvm::SmallString<0> object;
  llvm::raw_svector_ostream os(object);
  llvm::legacy::PassManager codegen;
  if (machine.addPassesToEmitFile(codegen, os, nullptr,
                                  llvm::CodeGenFileType::ObjectFile))
    return makeError("this LLVM cannot write object code");
  codegen.run(code);
  return object;
}

/// The same for the bitcode of a part, in a context of its own, or from the
/// cache.
static llvm::Expected<llvm::SmallString<0>>
compilePart(llvm::StringRef bitcode, const llvm::TargetMachine &like,
            unsigned level, const PartCache &parts) {
  std::string key;
  if (parts.cache) {
    key = ObjectCache::getKey(bitcode, parts.compiler);
    if (auto cached = parts.cache->load(key))
      return llvm::SmallString<0>(cached->object->getBuffer());
  }
  llvm::LLVMContext context;
  auto code =
      llvm::parseBitcodeFile(llvm::MemoryBufferRef(bitcode, "kernel"), context);
  if (!code)
    return code.takeError();
  auto machine = createTargetMachine(like.getTargetCPU(),
                                     like.getTargetFeatureString(), level);
  if (!machine)
    return machine.takeError();
  auto object = compileCode(**code, **machine, level);
  if (object && parts.cache)
    parts.cache->store(key, ModuleInterface(), *object);
  return object;
}

/// Names of the C functions.
static llvm::StringSet<> getEntryPoints(ModuleOp module) {
  llvm::StringSet<> entries;
  for (const FunctionInfo &function :
       llvm::cantFail(ModuleInterface::of(module)).functions)
    entries.insert(function.entryPoint);
  return entries;
}

/// Turns `module`, or every module of `components` inside it, into the LLVM
/// dialect.
static llvm::Error lower(ModuleOp module, ArrayRef<ModuleOp> components,
                         const ExecutionOptions &options) {
  PassManager pm(module.getContext());
#ifdef NDEBUG
  // A third of the time of all passes; tests run them with it.
  pm.enableVerifier(false);
#endif
  mlir::cq::LowerToLLVMOptions lowering;
  lowering.targetCPU = options.targetCPU;
  lowering.parallel = options.parallel;
  lowering.fuse = options.fuse;
  lowering.activation = options.activation;
  buildLowerToLLVMPipeline(components.empty() ? static_cast<OpPassManager &>(pm)
                                              : pm.nest<ModuleOp>(),
                           lowering);
  if (failed(pm.run(module)))
    return makeError(
        "the module could not be lowered (see the messages above)");
  return llvm::Error::success();
}

/// LLVM IR of the lowered `module`, with attributes that the code generator
/// reads. Names of `entries` end in `entrySuffix`, those of the rest in
/// `suffix`.
static llvm::Expected<std::unique_ptr<llvm::Module>>
translate(ModuleOp module, const llvm::TargetMachine &machine,
          const ExecutionOptions &options, const llvm::StringSet<> &entries,
          llvm::StringRef entrySuffix, llvm::StringRef suffix,
          llvm::LLVMContext &context) {
  std::unique_ptr<llvm::Module> code = translateModuleToLLVMIR(module, context);
  if (!code)
    return makeError("the module could not be translated to LLVM IR");
  code->setTargetTriple(machine.getTargetTriple());
  code->setDataLayout(machine.createDataLayout());
  std::string width = std::to_string(getVectorBits(options.targetCPU));
  // A model whose blocks differ calls each block once, and what is called once
  // is inlined whatever its size: one function of 30 blocks, over which LLVM's
  // analyses of dominating conditions take minutes. Nothing is gained by it.
  // Loops that many functions share must not be copied into each either; what
  // is small are thunks and wrappers.
  constexpr unsigned largestInlined = 60;
  for (llvm::GlobalVariable &global : code->globals())
    if (global.hasLocalLinkage())
      global.setName(global.getName() + suffix);
  for (llvm::Function &function : *code) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", machine.getTargetCPU());
    function.addFnAttr("target-features", machine.getTargetFeatureString());
    function.addFnAttr("prefer-vector-width", width);
    // Nothing outside calls these, and what is inlined everywhere can go.
    bool isEntry = entries.contains(function.getName());
    if (!isEntry)
      function.setLinkage(llvm::GlobalValue::InternalLinkage);
    function.setName(function.getName() + (isEntry ? entrySuffix : suffix));
    if (function.getInstructionCount() <= largestInlined)
      continue;
    function.addFnAttr(llvm::Attribute::NoInline);
    // A block is hundreds of stores between a dozen calls, run once a layer.
    if (isGlue(function))
      function.addFnAttr(llvm::Attribute::OptimizeNone);
  }
  useRuntimeBuffers(*code);
  return code;
}

static void apply(const CodeEdit &edit, llvm::Module &code) {
  if (edit)
    edit(code);
}

llvm::Expected<llvm::SmallString<0>>
mlir::cq::generateObject(ModuleOp module, llvm::TargetMachine &machine,
                         const ExecutionOptions &options, CodeEdit addInterface,
                         CodeEdit finish) {
  llvm::StringSet<> entries = getEntryPoints(module);
  recordUpdatedArguments(module);
  if (llvm::Error error = lower(module, {}, options))
    return std::move(error);
  llvm::LLVMContext context;
  auto code = translate(module, machine, options, entries, "", "", context);
  if (!code)
    return code.takeError();
  apply(addInterface, **code);
  apply(finish, **code);
  return compileCode(**code, machine, options.optLevel);
}

namespace {
/// Object files of one component: what is left of its module, then kernels.
class ComponentCode {
public:
  ComponentCode(ModuleOp module, const llvm::TargetMachine &machine,
                const ExecutionOptions &options, const PartCache &cache)
      : module(module), machine(machine), options(options), cache(cache) {}

  /// Queues the kernels and compiles the rest meanwhile. Names end in `number`,
  /// behind the library's suffix.
  void compile(const llvm::StringSet<> &entries, llvm::StringRef number,
               const LibraryPart *library, llvm::ThreadPoolInterface &pool);
  llvm::Error take(llvm::SmallVector<llvm::SmallString<0>> &done);

private:
  ModuleOp module;
  const llvm::TargetMachine &machine;
  const ExecutionOptions &options;
  const PartCache &cache;
  llvm::SmallVector<llvm::SmallString<0>> bitcodes;
  std::vector<std::optional<llvm::Expected<llvm::SmallString<0>>>> objects;
};
} // namespace

void ComponentCode::compile(const llvm::StringSet<> &entries,
                            llvm::StringRef number, const LibraryPart *library,
                            llvm::ThreadPoolInterface &pool) {
  llvm::LLVMContext context;
  std::string suffix = library ? library->suffix : "";
  auto code = translate(module, machine, options, entries, suffix,
                        suffix + number.str(), context);
  if (!code) {
    objects.emplace_back(code.takeError());
    return;
  }
  if (library) {
    apply(library->finish, **code);
    for (llvm::Function &function : **code)
      if (!function.isDeclaration() && !function.hasLocalLinkage())
        function.setVisibility(llvm::GlobalValue::HiddenVisibility);
  }
  // Bitcode is what takes a module to another thread's context.
  for (std::unique_ptr<llvm::Module> &part : moveKernelsOut(**code)) {
    llvm::raw_svector_ostream os(bitcodes.emplace_back());
    llvm::WriteBitcodeToFile(*part, os);
  }
  objects.resize(bitcodes.size() + 1);
  for (size_t i = 0; i < bitcodes.size(); ++i)
    pool.async([this, i] {
      objects[i + 1].emplace(
          compilePart(bitcodes[i], machine, options.optLevel, cache));
    });
  auto own =
      createTargetMachine(machine.getTargetCPU(),
                          machine.getTargetFeatureString(), options.optLevel);
  if (own)
    objects[0].emplace(compileCode(**code, **own, options.optLevel));
  else
    objects[0].emplace(own.takeError());
}

llvm::Error ComponentCode::take(llvm::SmallVector<llvm::SmallString<0>> &done) {
  llvm::Error errors = llvm::Error::success();
  for (auto &object : objects)
    if (*object)
      done.push_back(std::move(**object));
    else
      errors = llvm::joinErrors(std::move(errors), object->takeError());
  return errors;
}

llvm::Expected<llvm::SmallVector<llvm::SmallString<0>>>
mlir::cq::generateObjects(ModuleOp module, llvm::TargetMachine &machine,
                          const ExecutionOptions &options,
                          const PartCache &cache, const LibraryPart *library) {
  llvm::StringSet<> entries = getEntryPoints(module);
  recordUpdatedArguments(module);
  SmallVector<ModuleOp> components = splitIntoComponents(module);
  if (llvm::Error error = lower(module, components, options))
    return std::move(error);
  if (components.empty())
    components.push_back(module);
  std::deque<ComponentCode> codes;
  for (ModuleOp component : components)
    codes.emplace_back(component, machine, options, cache);
  {
    llvm::DefaultThreadPool pool(llvm::hardware_concurrency());
    for (auto [i, code] : llvm::enumerate(codes))
      pool.async([&, &code = code, i = i] {
        // Two components may have chosen one name.
        std::string number = i == 0 ? "" : "." + std::to_string(i);
        code.compile(entries, number, library, pool);
      });
    pool.wait();
  }
  llvm::SmallVector<llvm::SmallString<0>> done;
  llvm::Error errors = llvm::Error::success();
  for (ComponentCode &code : codes)
    errors = llvm::joinErrors(std::move(errors), code.take(done));
  if (errors)
    return std::move(errors);
  return done;
}

llvm::Expected<llvm::SmallString<0>> mlir::cq::generateInterface(CodeEdit add) {
  constexpr unsigned level = 2;
  auto machine = createTargetMachine("x86-64", /*features=*/"", level);
  if (!machine)
    return machine.takeError();
  llvm::LLVMContext context;
  llvm::Module code("interface", context);
  code.setTargetTriple((*machine)->getTargetTriple());
  code.setDataLayout((*machine)->createDataLayout());
  add(code);
  return compileCode(code, **machine, level);
}

llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
mlir::cq::makeArchive(llvm::ArrayRef<llvm::SmallString<0>> objects) {
  std::vector<llvm::NewArchiveMember> members;
  for (auto [i, object] : llvm::enumerate(objects)) {
    llvm::NewArchiveMember &member = members.emplace_back(
        llvm::MemoryBufferRef(object, "part" + std::to_string(i)));
    member.MemberName = member.Buf->getBufferIdentifier();
  }
  return llvm::writeArchiveToBuffer(members, llvm::SymtabWritingMode::NoSymtab,
                                    llvm::object::Archive::K_GNU,
                                    /*Deterministic=*/true, /*Thin=*/false);
}
