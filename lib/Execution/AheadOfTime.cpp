//===- AheadOfTime.cpp - A language model as a C library ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/AheadOfTime.h"
#include "CodeGenerator.h"
#include "LibraryCode.h"
#include "cq/Conversion/CQToX86/ISA.h"
#include "cq/Execution/ObjectCache.h"
#include "cq/Execution/ParameterTable.h"
#include "cq/Model/Safetensors.h"
#include "cq/Pipelines/LowerToLLVM.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/TargetCPU.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"

using namespace mlir;
using namespace mlir::cq;

//===----------------------------------------------------------------------===//
// The CPU
//===----------------------------------------------------------------------===//

/// Those of `has` that the runtime can check, with spaces.
static std::string checkableFeatures(const llvm::StringMap<bool> &has) {
  SmallVector<StringRef> found;
#define CQ_CPU_FEATURE(name)                                                   \
  if (has.lookup(name))                                                        \
    found.push_back(name);
#include "cq/Runtime/CpuFeatures.def"
#undef CQ_CPU_FEATURE
  return llvm::join(found, " ");
}

/// What to compile for the CPUs of `list`, that with the best vectors first.
static llvm::Expected<std::vector<CompiledLibrary::Code>>
selectCPUs(StringRef list) {
  SmallVector<StringRef> names;
  list.split(names, ',', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  if (names.empty())
    names.push_back("host");
  std::vector<std::pair<x86::ISALevel, CompiledLibrary::Code>> found;
  llvm::StringMap<bool> seen;
  for (StringRef name : names) {
    std::string cpu =
        name == "host" ? llvm::sys::getHostCPUName().str() : name.str();
    auto features = featuresOf(name);
    if (!features || !features->lookup("avx2"))
      return fail("the CPU " + quoted(cpu) +
                  " is unknown or has no AVX2, which the kernels need; name "
                  "one with --target-cpu=haswell, znver4 …");
    if (!seen.try_emplace(cpu, true).second)
      return fail("--target-cpu names the CPU " + quoted(cpu) +
                  " twice; name it once");
    std::string suffix = names.size() > 1 ? "_" + cpu : "";
    llvm::replace(suffix, '-', '_');
    found.push_back({x86::ISA::fromFeatures(*features).level,
                     {cpu, checkableFeatures(*features), suffix,
                      /*isHost=*/name == "host"}});
  }
  std::vector<CompiledLibrary::Code> codes;
  for (x86::ISALevel wanted : llvm::reverse(x86::kISALevels))
    for (auto &[level, code] : found)
      if (level == wanted)
        codes.push_back(std::move(code));
  return codes;
}

/// Only features that the library checks for when it is opened.
static llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
machineFor(const CompiledLibrary::Code &code, unsigned optLevel) {
  return createTargetMachine(
      "x86-64", "+" + llvm::join(llvm::split(code.features, ' '), ",+"),
      optLevel);
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

static std::optional<DType> storedType(StringRef elementType) {
  return llvm::StringSwitch<std::optional<DType>>(elementType)
      .Case("f32", DType::F32)
      .Case("f16", DType::F16)
      .Case("bf16", DType::BF16)
      .Case("f64", DType::F64)
      .Case("i8", DType::I8)
      .Case("i16", DType::I16)
      .Case("i32", DType::I32)
      .Case("i64", DType::I64)
      .Default(std::nullopt);
}

/// Writes the parameters as the code reads them.
static llvm::Error writeWeights(const ModuleInterface &interface,
                                ParameterTable &table, StringRef path) {
  std::vector<SafetensorsWriter::Entry> entries;
  for (const ParameterSlot &slot : interface.parameters) {
    auto type = storedType(slot.type.elementType);
    if (!type)
      return fail("parameter '" + slot.name + "' has elements of type " +
                  slot.type.elementType + ", which no weights file can hold");
    entries.push_back({slot.name, *type, slot.type.shape});
  }
  auto writer = SafetensorsWriter::create(path, entries);
  if (!writer)
    return writer.takeError();
  for (auto [i, slot] : llvm::enumerate(interface.parameters))
    if (llvm::Error error = (*writer)->append(
            ArrayRef(static_cast<const uint8_t *>(table.data()[i]),
                     static_cast<size_t>(slot.type.numBytes()))))
      return error;
  return (*writer)->commit();
}

/// Where the parameters lie in the file at `path`.
static llvm::Expected<WeightsMap> mapWeights(const ModuleInterface &interface,
                                             StringRef path) {
  auto archive = SafetensorsFile::open(path);
  if (!archive)
    return archive.takeError();
  auto file = mapFile(path);
  if (!file)
    return file.takeError();
  WeightsMap map;
  map.path = path.str();
  StringRef bytes = (*file)->getBuffer();
  map.fileBytes = static_cast<int64_t>(bytes.size());
  // A checked safetensors file: its head's length, its head, its tensors.
  map.headBytes =
      8 + static_cast<int64_t>(llvm::support::endian::read64le(bytes.data()));
  map.headHash = 0xcbf29ce484222325u;
  for (char byte : bytes.take_front(map.headBytes))
    map.headHash = (map.headHash ^ static_cast<uint8_t>(byte)) * 0x100000001b3u;
  const char *base = (*archive)->getMap().data();
  for (const ParameterSlot &slot : interface.parameters)
    map.offsets.push_back(reinterpret_cast<const char *>(
                              (*archive)->find(slot.name)->bytes.data()) -
                          base);
  return map;
}

/// Maps the model's own file where code can read it as it is; otherwise writes
/// one for it.
static llvm::Expected<WeightsMap> placeWeights(const ModuleInterface &interface,
                                               StringRef modulePath,
                                               CompiledLibrary &library) {
  auto files = ModelFiles::open(interface, modulePath, /*threads=*/0);
  if (!files)
    return files.takeError();
  const ParameterArchive &archive = *files->archive;
  auto single = SafetensorsFile::open(archive.path());
  bool mappable = bool(single) && files->table.getDecodedBytes() == 0;
  if (!single)
    llvm::consumeError(single.takeError());
  if (mappable) {
    library.weights = archive.path().str();
  } else {
    SmallString<128> path(library.library);
    llvm::sys::path::replace_extension(path, "safetensors");
    if (llvm::sys::fs::equivalent(path, archive.path()))
      return fail("the weights would replace the model's own file " +
                  path.str() + "; give another name with -o");
    library.weights = path.str().str();
    library.wroteWeights = true;
    if (llvm::Error error = writeWeights(interface, files->table, path))
      return std::move(error);
  }
  return mapWeights(interface, library.weights);
}

//===----------------------------------------------------------------------===//
// Linking
//===----------------------------------------------------------------------===//

/// `objects` is an archive.
static llvm::Error linkLibrary(StringRef objects, StringRef path) {
  std::string linker;
  for (const char *name :
       {"ld.lld-22", "/usr/lib/llvm-22/bin/ld.lld", "ld.lld", "ld"})
    if (auto found = llvm::sys::findProgramByName(name)) {
      linker = *found;
      break;
    }
  if (linker.empty())
    return fail("no linker (ld.lld or ld) is in the PATH to make " + path +
                "; install lld, or write an object file with -o " +
                llvm::sys::path::stem(path) + ".o");
  auto temporary = llvm::sys::fs::TempFile::create(path + ".tmp-%%%%%%%%.a");
  if (!temporary)
    return fail("cannot write beside " + path + ": " +
                llvm::toString(temporary.takeError()));
  llvm::scope_exit discard([&] { llvm::consumeError(temporary->discard()); });
  {
    llvm::raw_fd_ostream os(temporary->FD, /*shouldClose=*/false);
    os << objects;
    os.flush();
    if (os.has_error()) {
      os.clear_error();
      return fail("cannot write " + temporary->TmpName + "; is the disk full?");
    }
  }
  std::string linked = temporary->TmpName + ".so";
  StringRef arguments[] = {linker,
                           "-shared",
                           "-o",
                           linked,
                           "--whole-archive",
                           temporary->TmpName,
                           "--no-whole-archive",
                           "-soname",
                           llvm::sys::path::filename(path),
                           "-z",
                           "noexecstack"};
  std::string message;
  int code = llvm::sys::ExecuteAndWait(linker, arguments, std::nullopt, {}, 0,
                                       0, &message);
  if (code == 0 && !llvm::sys::fs::rename(linked, path))
    return llvm::Error::success();
  llvm::sys::fs::remove(linked);
  return fail("linking " + path + " with " + linker + " failed" +
              (message.empty() ? "" : ": " + message));
}

//===----------------------------------------------------------------------===//
// All of it
//===----------------------------------------------------------------------===//

/// A C identifier from a file's name: without "lib" and what no name can have.
static std::string prefixFrom(StringRef path) {
  StringRef stem = llvm::sys::path::stem(path);
  if (stem.size() > 3)
    stem.consume_front("lib");
  std::string name;
  for (char c : stem)
    name += llvm::isAlnum(c) ? c : '_';
  if (name.empty() || llvm::isDigit(name[0]))
    name = "model_" + name;
  return name;
}

llvm::Expected<CompiledLibrary>
mlir::cq::compileLibrary(StringRef path, const LibraryOptions &options) {
  CompiledLibrary library;
  library.library = options.output;
  library.name =
      options.name.empty() ? prefixFrom(options.output) : options.name;
  bool valid = llvm::all_of(
      library.name, [](char c) { return llvm::isAlnum(c) || c == '_'; });
  if (!valid || llvm::isDigit(library.name[0]))
    return fail("--name=" + library.name + " is no C identifier");
  SmallString<128> header(options.output);
  llvm::sys::path::replace_extension(header, "h");
  library.header = header.str().str();
  StringRef extension = llvm::sys::path::extension(options.output);
  if (extension != ".so" && extension != ".o")
    return fail("-o " + options.output +
                " is neither a shared library (.so) nor an object (.o)");

  // Before minutes of work, not behind them.
  SmallString<128> folder(llvm::sys::path::parent_path(options.output));
  if (!folder.empty() && !llvm::sys::fs::is_directory(folder))
    return fail("the folder " + folder + " for -o " + options.output +
                " does not exist; make it first");
  if (llvm::sys::fs::access(folder.empty() ? "." : StringRef(folder),
                            llvm::sys::fs::AccessMode::Write))
    return fail("cannot write into the folder " +
                (folder.empty() ? StringRef(".") : StringRef(folder)) +
                "; name another with -o");

  auto codes = selectCPUs(options.targetCPU);
  if (!codes)
    return codes.takeError();
  library.codes = std::move(*codes);
  if (extension == ".o" && library.codes.size() > 1)
    return fail("-o " + options.output +
                ": an object file is for one CPU; write a library (.so) for "
                "several, or give --target-cpu one name");

  auto modulePath = findModule(path);
  if (!modulePath)
    return modulePath.takeError();
  ExecutionOptions execution;
  execution.activation = options.activation;
  execution.fuse = options.fuse;
  execution.functions = {"forward_*", "logits_*"};
  DialectRegistry registry;
  registerLowerToLLVMDialects(registry);
  MLIRContext context(registry);
  auto module = parseSourceFile<ModuleOp>(*modulePath, ParserConfig(&context));
  if (!module)
    return fail("'" + *modulePath + "' is not a valid MLIR module");
  if (llvm::Error error = prepareModule(*module, execution))
    return std::move(error);
  auto interface = ModuleInterface::of(*module);
  if (!interface)
    return interface.takeError();
  auto functions = findChunkFunctions(*interface, *modulePath);
  if (!functions)
    return functions.takeError();
  auto weights = placeWeights(*interface, *modulePath, library);
  if (!weights)
    return weights.takeError();

  auto addInterface = [&](llvm::Module &code) {
    addLibraryInterface(code, library, *functions, *weights);
  };
  auto tuneFor = [](const CompiledLibrary::Code &code) {
    return [&code](llvm::Module &module) {
      for (llvm::Function &function : module)
        if (!function.isDeclaration())
          function.addFnAttr("tune-cpu", code.cpu);
    };
  };
  if (extension == ".o") {
    const CompiledLibrary::Code &code = library.codes.front();
    auto machine = machineFor(code, execution.optLevel);
    if (!machine)
      return machine.takeError();
    execution.targetCPU = code.isHost ? "host" : code.cpu;
    auto object = generateObject(*module, **machine, execution, addInterface,
                                 tuneFor(code));
    if (!object)
      return object.takeError();
    if (llvm::Error error = writeFileAtomically(library.library, *object))
      return std::move(error);
  } else {
    auto policy = cachePolicy(execution);
    if (!policy)
      return policy.takeError();
    ObjectCache cache(execution.cacheDir, *policy);
    llvm::SmallVector<llvm::SmallString<0>> objects;
    for (const CompiledLibrary::Code &code : library.codes) {
      auto machine = machineFor(code, execution.optLevel);
      if (!machine)
        return machine.takeError();
      execution.targetCPU = code.isHost ? "host" : code.cpu;
      PartCache parts;
      if (options.useCache)
        parts = {&cache, describeCompiler(**machine, execution)};
      auto tune = tuneFor(code);
      LibraryPart part{code.suffix, tune};
      OwningOpRef<ModuleOp> copy = module->clone();
      auto made = generateObjects(*copy, **machine, execution, parts, &part);
      if (!made)
        return made.takeError();
      llvm::append_range(objects, std::move(*made));
    }
    auto interface = generateInterface(addInterface);
    if (!interface)
      return interface.takeError();
    objects.push_back(std::move(*interface));
    auto archive = makeArchive(objects);
    if (!archive)
      return archive.takeError();
    if (llvm::Error error =
            linkLibrary((*archive)->getBuffer(), library.library))
      return std::move(error);
  }
  if (llvm::Error error = writeFileAtomically(
          library.header, printLibraryHeader(library, *functions, *weights)))
    return std::move(error);
  return library;
}
