//===- CompileDevice.cpp - cq compile --target=nvptx ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompileDevice.h"
#include "cq/DeviceCode/DeviceCode.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::cq;
namespace cl = llvm::cl;

namespace {

enum class Emit { MLIR, PTX, Cubin, Fatbin };

/// Options of `cq compile --target=nvptx`; registered with the verb.
struct DeviceOptions {
  cl::OptionCategory &category;
  cl::SubCommand &command;
  cl::opt<Emit> emit{
      "emit",
      cl::desc("nvptx: what to write"),
      cl::values(
          clEnumValN(Emit::MLIR, "mlir", "the kernels in the gpu dialect"),
          clEnumValN(Emit::PTX, "ptx", "text that every driver compiles"),
          clEnumValN(Emit::Cubin, "cubin", "code of one chip"),
          clEnumValN(Emit::Fatbin, "fatbin",
                     "cubins of all chips and PTX of the first")),
      cl::init(Emit::PTX),
      cl::sub(command),
      cl::cat(category)};
  cl::list<std::string> chips{
      "chip",
      cl::CommaSeparated,
      cl::value_desc("sm_80,sm_90a"),
      cl::desc("nvptx: chips to compile for (default: sm_80)"),
      cl::sub(command),
      cl::cat(category)};
  cl::list<std::string> shapes{
      "shape",
      cl::CommaSeparated,
      cl::value_desc("NxK,..."),
      cl::desc("nvptx: output by input features of the weights"),
      cl::sub(command),
      cl::cat(category)};
  cl::list<std::string> schemes{
      "scheme",
      cl::CommaSeparated,
      cl::value_desc("b3-g128,..."),
      cl::desc("nvptx: schemes, as docs/Codec.md spells them (default: "
               "b3-g128-symmetric-f16)"),
      cl::sub(command),
      cl::cat(category)};
  cl::list<int64_t> tokens{
      "tokens",
      cl::CommaSeparated,
      cl::value_desc("1,8,64"),
      cl::desc("nvptx: numbers of tokens to choose kernels for (default: 1); a "
               "kernel for more than 8 takes any number"),
      cl::sub(command),
      cl::cat(category)};
  cl::opt<std::string> cherries{
      "cherries", cl::value_desc("form:count"),
      cl::desc("nvptx: slot:1, element:16 or column:32 (default: none)"),
      cl::sub(command), cl::cat(category)};
  cl::opt<std::string> compute{
      "compute",        cl::value_desc("type"),
      cl::init("f16"),  cl::desc("nvptx: f16 or bf16, what is multiplied"),
      cl::sub(command), cl::cat(category)};
  cl::opt<std::string> x{"x", cl::value_desc("type"),
                         cl::desc("nvptx: type of the activations: f16, bf16 "
                                  "or f32 (default: that of --compute)"),
                         cl::sub(command), cl::cat(category)};
  cl::opt<std::string> y{"y", cl::value_desc("type"),
                         cl::desc("nvptx: type of the results (default: that "
                                  "of --x)"),
                         cl::sub(command), cl::cat(category)};
  cl::opt<int64_t> maxTokens{"max-tokens", cl::init(16384),
                             cl::desc("nvptx: bound on the tokens of a launch"),
                             cl::sub(command), cl::cat(category)};
  cl::opt<bool> candidates{
      "candidates",
      cl::desc("nvptx: every option worth measuring, not the chosen one"),
      cl::sub(command), cl::cat(category)};
};
DeviceOptions *options = nullptr;

} // namespace

void tool::registerDeviceOptions(cl::SubCommand &command,
                                 cl::OptionCategory &category) {
  static DeviceOptions registered{category, command};
  options = &registered;
}

static llvm::Expected<nv::FloatKind> parseType(StringRef flag, StringRef text) {
  if (auto kind = parseScaleType(text))
    return *kind;
  return fail("--" + flag + "=" + quoted(text) +
              ": the types are f16, bf16 and f32");
}

static llvm::Error parseShape(StringRef text, nv::MatmulSpec &spec) {
  auto [n, k] = text.split('x');
  if (n.getAsInteger(10, spec.n) || k.getAsInteger(10, spec.k) || spec.n <= 0 ||
      spec.k <= 0)
    return fail("--shape=" + quoted(text) +
                ": a shape is NxK, such as 4096x14336");
  return llvm::Error::success();
}

static llvm::Expected<CherrySpec> parseCherries(StringRef text) {
  CherrySpec spec;
  if (text.empty() || text == "none")
    return spec;
  auto [form, count] = text.split(':');
  auto parsed = parseCherryForm(form);
  if (!parsed || count.getAsInteger(10, spec.count) || spec.count <= 0)
    return fail("--cherries=" + quoted(text) +
                ": cherries are slot:1, element:16 or column:32");
  spec.form = *parsed;
  return spec;
}

/// All products that the options name.
static llvm::Expected<std::vector<nv::MatmulSpec>>
collectSpecs(unsigned architecture, nv::Abilities abilities) {
  std::vector<nv::MatmulSpec> specs;
  nv::MatmulSpec spec;
  spec.maxTokens = options->maxTokens;
  auto compute = parseType("compute", options->compute);
  if (!compute)
    return compute.takeError();
  spec.compute = *compute;
  auto x = parseType("x", options->x.empty() ? options->compute : options->x);
  if (!x)
    return x.takeError();
  spec.x = *x;
  auto y = options->y.empty() ? llvm::Expected<nv::FloatKind>(spec.x)
                              : parseType("y", options->y);
  if (!y)
    return y.takeError();
  spec.y = *y;
  auto cherries = parseCherries(options->cherries);
  if (!cherries)
    return cherries.takeError();
  spec.cherries = *cherries;
  std::vector<std::string> schemes = options->schemes;
  if (schemes.empty())
    schemes.push_back("b3-g128-symmetric-f16");
  std::vector<int64_t> tokens = options->tokens;
  if (tokens.empty())
    tokens.push_back(1);
  if (options->shapes.empty())
    return fail("name the shapes of the weights, such as --shape=4096x4096");
  for (const std::string &text : options->shapes) {
    if (llvm::Error error = parseShape(text, spec))
      return std::move(error);
    for (const std::string &name : schemes) {
      auto scheme = Scheme::parse(name);
      if (!scheme)
        return scheme.takeError();
      spec.scheme = *scheme;
      spec.layout =
          Layout::uniform(LayoutKind::MmaFragment, spec.n, scheme->bits);
      for (int64_t m : tokens) {
        nv::MatmulSpec one = spec;
        // Asked before the options are: they need a weight that can be counted.
        if (llvm::Error error = one.layout.check(one.n, one.k))
          return std::move(error);
        one.options = nv::chooseOptions(one, m, architecture, abilities);
        if (auto sentence = one.unsupported())
          return fail("no kernel for " + text + " at " + name + ": " +
                      *sentence);
        if (!options->candidates) {
          specs.push_back(one);
          continue;
        }
        for (const nv::KernelOptions &candidate :
             nv::candidateOptions(one, m, architecture, abilities)) {
          one.options = candidate;
          specs.push_back(one);
        }
      }
    }
  }
  return specs;
}

llvm::Error tool::compileDevice(StringRef output) {
  std::vector<std::string> chips = options->chips;
  if (chips.empty())
    chips.push_back("sm_80");
  if (chips.size() > 1 && options->emit != Emit::Fatbin)
    return fail("only a fatbin holds the code of several chips: name one in "
                "--chip, or write --emit=fatbin");
  DialectRegistry registry;
  registerDeviceDialects(registry);
  MLIRContext context(registry);
  std::vector<DeviceImage> images;
  std::string manifest, result;
  size_t count = 0;
  for (size_t i = 0; i < chips.size(); ++i) {
    llvm::Expected<unsigned> architecture = parseChip(chips[i]);
    if (!architecture)
      return architecture.takeError();
    // Kernels of one file have one set of options: those of the first chip.
    nv::Abilities abilities;
    abilities.splits = true;
    abilities.wgmma =
        llvm::all_of(chips, [](StringRef chip) { return chip == "sm_90a"; });
    auto specs = collectSpecs(*parseChip(chips.front()), abilities);
    if (!specs)
      return specs.takeError();
    auto module = buildKernels(&context, *specs);
    if (!module)
      return module.takeError();
    count = specs->size();
    OwningOpRef<ModuleOp> described = (*module)->clone();
    if (options->emit == Emit::MLIR) {
      llvm::raw_string_ostream os(result);
      (*module)->print(os);
      manifest = describeKernels(*described, chips[i]);
      break;
    }
    auto ptx = emitPTX(**module, chips[i]);
    if (!ptx)
      return ptx.takeError();
    std::vector<KernelUsage> usage;
    if (options->emit != Emit::PTX) {
      auto cubin = assemblePTX(*ptx, chips[i], &usage);
      if (!cubin)
        return cubin.takeError();
      images.push_back({chips[i], false, *cubin});
      if (i == 0 && options->emit == Emit::Fatbin)
        images.push_back({chips[i], true, *ptx});
    } else {
      result = *ptx;
    }
    if (i == 0)
      manifest = describeKernels(*described, chips[i], usage);
  }
  if (options->emit == Emit::Cubin)
    result = images.front().bytes;
  if (options->emit == Emit::Fatbin) {
    auto fatbin = linkFatbin(images);
    if (!fatbin)
      return fatbin.takeError();
    result = *fatbin;
  }
  if (output == "-") {
    llvm::outs() << result;
    return llvm::Error::success();
  }
  std::string beside = (output + ".json").str();
  if (llvm::Error error = writeFileAtomically(output, result))
    return error;
  if (llvm::Error error = writeFileAtomically(beside, manifest))
    return error;
  llvm::outs() << output << " and " << beside << ": " << count
               << (count == 1 ? " kernel for " : " kernels for ")
               << llvm::join(chips, ", ") << '\n';
  return llvm::Error::success();
}
