//===- cq-device-bundle.cpp - What a GPU is to be asked -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Writes kernels (fatbin where the toolkit is, else PTX), cases.txt, one file
// of reference numbers for each checked product and, with --model, the decoding
// of a model into a folder; scripts/device-bundle makes a bundle of it. With
// --rehearse every checked kernel runs in the interpreter first and must give
// the reference; a model's decoding always does.
//
//===----------------------------------------------------------------------===//

#include "cq/Codec/Quantizer.h"
#include "cq/Conversion/CQToNVGPU/Launches.h"
#include "cq/DeviceCode/DeviceCode.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Execution/DeviceExport.h"
#include "cq/GPUInterpreter/Interpreter.h"
#include "cq/Support/AtomicFile.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include <cmath>
#include <cstring>
#include <random>

using namespace mlir;
using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::opt<std::string> folder(cl::Positional, cl::Required,
                                   cl::desc("<folder>"));
static cl::opt<bool> rehearse("rehearse",
                              cl::desc("Run the checks in the interpreter"));
static cl::opt<bool> checksOnly("checks-only",
                                cl::desc("No kernels for benchmarks"));
static cl::list<std::string>
    chips("chips", cl::CommaSeparated,
          cl::desc("Chips to compile for (default: sm_80, sm_90a); options are "
                   "those for sm_90 where sm_90a is among them, else those "
                   "for the first"));
static cl::list<std::string>
    shapes("shapes", cl::CommaSeparated, cl::value_desc("NxK,..."),
           cl::desc("Shapes to time (default: 4096x4096, 8192x8192, "
                    "8192x28672, 4096x14336)"));
static cl::list<int64_t> tokenCounts(
    "tokens", cl::CommaSeparated, cl::value_desc("M,..."),
    cl::desc("Tokens to time (default: 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, "
             "2048)"));
static cl::list<unsigned> widths("bits", cl::CommaSeparated,
                                 cl::desc("Bits to time (default: 2, 3, 4)"));
static cl::opt<unsigned> candidates(
    "candidates", cl::init(4),
    cl::desc("Sets of options to time for a product, the chosen one first "
             "(default 4)"));
static cl::opt<unsigned> checkCount("checks", cl::init(1000),
                                    cl::desc("At most so many checks"));
static cl::opt<std::string>
    modelPath("model", cl::desc("Model whose greedy decoding is replayed"));
static cl::opt<unsigned> steps("steps", cl::init(16),
                               cl::desc("Tokens it decodes (default 16)"));
static cl::opt<int> firstToken("first-token", cl::init(1),
                               cl::desc("Token it starts with (default 1)"));
static unsigned architecture = 80;

namespace {
/// Kernels that are loaded together. Warpgroup kernels have an image of their
/// own, which only devices of architecture 90 can load.
struct Image {
  StringRef name;
  OwningOpRef<ModuleOp> module;
  gpu::GPUModuleOp kernels;

  Image(StringRef name, MLIRContext &context) : name(name) {
    OpBuilder builder(&context);
    Location loc = builder.getUnknownLoc();
    module = ModuleOp::create(loc);
    builder.setInsertionPointToEnd(module->getBody());
    kernels = gpu::GPUModuleOp::create(builder, loc, "cq_kernels");
  }
  size_t count() { return llvm::range_size(kernels.getOps<gpu::GPUFuncOp>()); }
};

struct Output {
  llvm::raw_ostream &cases;
  Image plain, warpgroup;
  unsigned checks = 0, benchmarks = 0;

  Image &of(const nv::MatmulSpec &spec) {
    return spec.options.family == nv::Family::Warpgroup ? warpgroup : plain;
  }
};
} // namespace

static int fail(const Twine &message) {
  llvm::errs() << "cq-device-bundle: " << message << '\n';
  return 1;
}

static gpu::GPUFuncOp kernelOf(Image &image, const nv::MatmulSpec &spec) {
  // Two products may share a kernel.
  if (auto known = image.kernels.lookupSymbol<gpu::GPUFuncOp>(spec.name()))
    return known;
  OpBuilder builder(image.kernels->getContext());
  builder.setInsertionPointToEnd(&image.kernels.getBodyRegion().front());
  return nv::buildKernels(builder, builder.getUnknownLoc(), spec);
}

/// "WHAT IMAGE m n k bits", `role:bytes` of each buffer, then of each launch "|
/// KERNEL gridX gridY gridZ threads shared" and the roles of its arguments.
/// Inputs come first, in the order in which the file of a check has them.
static void describe(Output &out, StringRef what, const nv::MatmulSpec &spec,
                     int64_t m, ArrayRef<nv::ProductLaunch> launches,
                     ArrayRef<StringRef> roles) {
  out.cases << what << ' ' << out.of(spec).name << ' ' << m << ' ' << spec.n
            << ' ' << spec.k << ' ' << spec.bits();
  for (StringRef role : roles)
    out.cases << ' ' << role << ':' << nv::bufferBytes(spec, m, role);
  for (const nv::ProductLaunch &launch : launches) {
    out.cases << " | " << launch.kernel;
    for (int64_t size : launch.grid)
      out.cases << ' ' << size;
    out.cases << ' ' << launch.block[0] << ' ' << launch.sharedBytes;
    for (const std::string &role : launch.arguments)
      out.cases << ' ' << role;
  }
  out.cases << '\n';
}

/// The buffers of some launches: inputs, then what kernels write.
static SmallVector<StringRef> rolesOf(ArrayRef<nv::ProductLaunch> launches) {
  SmallVector<StringRef> inputs, outputs;
  for (const nv::ProductLaunch &launch : launches)
    for (StringRef role : launch.arguments) {
      bool written = role == "y" || role == "partial" || role == "packed";
      SmallVector<StringRef> &list = written ? outputs : inputs;
      if (role != "m" && !llvm::is_contained(list, role))
        list.push_back(role);
    }
  inputs.append(outputs);
  return inputs;
}

/// One type for all numbers of tokens that are timed, so that they share
/// kernels.
static int64_t maxTokens() {
  int64_t most = 2048;
  for (int64_t m : tokenCounts)
    most = std::max(most, m);
  return most;
}

static nv::MatmulSpec specOf(const Scheme &scheme, const CherrySpec &cherries,
                             int64_t n, int64_t k, nv::FloatKind compute) {
  nv::MatmulSpec spec;
  spec.scheme = scheme;
  spec.layout = Layout::uniform(LayoutKind::MmaFragment, n, scheme.bits);
  spec.cherries = cherries;
  spec.n = n;
  spec.k = k;
  spec.maxTokens = maxTokens();
  spec.compute = spec.x = compute;
  spec.y = nv::FloatKind::F32;
  return spec;
}

/// Runs the launches in the interpreter and compares y.
static int rehearseCheck(gpu::GPUModuleOp kernels,
                         ArrayRef<nv::ProductLaunch> launches,
                         llvm::StringMap<std::vector<uint8_t>> &buffers,
                         int64_t m, ArrayRef<float> want,
                         ArrayRef<float> bound) {
  for (const nv::ProductLaunch &launch : launches) {
    GPULaunch run;
    run.grid = launch.grid;
    run.block = launch.block;
    run.dynamicSharedBytes = launch.sharedBytes;
    for (StringRef role : launch.arguments) {
      GPUArgument &argument = run.arguments.emplace_back();
      argument.scalar = static_cast<uint64_t>(m);
      if (role != "m")
        argument.bytes = buffers[role];
      // The last buffer is written, the others are read.
      argument.uninitialised = role == launch.arguments.rbegin()[1];
      argument.readOnly = !argument.uninitialised;
    }
    if (failed(runGPUKernel(kernels.lookupSymbol<gpu::GPUFuncOp>(launch.kernel),
                            run)))
      return fail(launch.kernel + " fails in the interpreter");
  }
  for (size_t i = 0; i != want.size(); ++i) {
    float got;
    std::memcpy(&got, buffers["y"].data() + 4 * i, 4);
    if (!(std::fabs(got - want[i]) <= bound[i]))
      return fail(launches.front().kernel + " gives " +
                  Twine(std::to_string(got)) + " for y[" + Twine(i) +
                  "], not " + Twine(std::to_string(want[i])));
  }
  return 0;
}

/// A small product with its numbers: x, planes, then the expected y and how far
/// each may be off, both f32. Activations are multiples of 1/64, exact in both
/// types.
static int addCheck(Output &out, const nv::MatmulSpec &spec, int64_t m) {
  unsigned number = out.checks;
  if (number >= checkCount)
    return 0;
  if (std::optional<std::string> why = spec.unsupported()) {
    llvm::errs() << "skipped " << spec.name() << ": " << *why << '\n';
    return 0;
  }
  ++out.checks;
  int64_t n = spec.n, k = spec.k;
  std::mt19937 random(number);
  std::vector<float> w(n * k), decoded(n * k), x(m * k);
  for (float &value : w)
    value = (static_cast<float>(random() >> 8) * 0x1p-23f - 1) * 0.1f *
            (random() % 97 ? 1.0f : 6.0f);
  for (float &value : x)
    value = (static_cast<float>(random() % 129) - 64) / 64;
  CherryPositions positions;
  CherryPositions *used = nullptr;
  if (spec.cherries.form != CherryForm::None) {
    llvm::Expected<CherryPositions> chosen = selectCherries(
        w.data(), n, k, spec.cherries, CherryCriterion::Magnitude, spec.scheme);
    if (!chosen)
      return fail(llvm::toString(chosen.takeError()));
    positions = std::move(*chosen);
    used = &positions;
  }
  llvm::Expected<QuantizedWeight> q =
      quantizeWeight(w.data(), n, k, spec.scheme, QuantizerKind::RTN, used);
  if (!q)
    return fail(llvm::toString(q.takeError()));
  dequantizeWeight(*q, used, decoded.data(), 1);
  PackedWeight packed = packWeight(*q, used, spec.layout);
  std::vector<uint8_t> xBytes(m * k * 2);
  encodeScales(x.data(), m * k, spec.compute, xBytes.data());

  std::vector<float> want(m * n), bound(m * n);
  for (int64_t i = 0; i != m * n; ++i) {
    double sum = 0, size = 0;
    for (int64_t c = 0; c != k; ++c) {
      double product = double(x[i / n * k + c]) * decoded[i % n * k + c];
      sum += product;
      size += std::fabs(product);
    }
    want[i] = static_cast<float>(sum);
    bound[i] = static_cast<float>(2e-5 * size + 1e-7);
  }

  std::vector<nv::ProductLaunch> launches =
      nv::launchesOf(kernelOf(out.of(spec), spec), m);
  SmallVector<StringRef> roles = rolesOf(launches);
  llvm::StringMap<std::vector<uint8_t>> buffers;
  buffers["x"] = xBytes;
  buffers["codes"] = packed.codes;
  buffers["scales"] = packed.scales;
  buffers["zeros"] = packed.zeros;
  buffers["cherry_columns"] = packed.cherryColumns;
  buffers["cherry_deltas"] = packed.cherryDeltas;
  std::error_code error;
  llvm::raw_fd_ostream file(folder + "/" + std::to_string(number) + ".bin",
                            error);
  if (error)
    return fail("cannot write into '" + folder + "': " + error.message());
  for (StringRef role : roles) {
    std::vector<uint8_t> &bytes = buffers[role];
    file.write(reinterpret_cast<const char *>(bytes.data()), bytes.size());
    if (bytes.empty()) // written by a kernel
      bytes.resize(nv::bufferBytes(spec, m, role));
    if (int64_t(bytes.size()) != nv::bufferBytes(spec, m, role))
      return fail("'" + role + "' of " + spec.name() + " has the wrong size");
  }
  file.write(reinterpret_cast<const char *>(want.data()), 4 * want.size());
  file.write(reinterpret_cast<const char *>(bound.data()), 4 * bound.size());
  describe(out, ("check " + Twine(number)).str(), spec, m, launches, roles);
  return rehearse ? rehearseCheck(out.of(spec).kernels, launches, buffers, m,
                                  want, bound)
                  : 0;
}

/// Small products of all schemes by every family. Ragged rows and columns, but
/// rows of x keep 16 bytes of alignment.
static int addChecks(Output &out, bool wgmma) {
  unsigned number = 0;
  auto addAll = [&](const Scheme &scheme, int64_t m) -> int {
    CherryForm form = number % 4 == 0   ? CherryForm::Slot
                      : number % 4 == 1 ? CherryForm::Element
                      : number % 4 == 2 ? CherryForm::Column
                                        : CherryForm::None;
    int64_t n = 40 + 7 * (number % 3), k = 320 + 8 * number;
    nv::MatmulSpec spec = specOf(
        scheme,
        form == CherryForm::None ? CherrySpec()
                                 : CherrySpec::fromRatio(form, 1.0 / 64, k),
        n, k, number % 2 ? nv::FloatKind::BF16 : nv::FloatKind::F16);
    spec.options = nv::chooseOptions(spec, m, architecture);
    if (int result = addCheck(out, spec, m))
      return result;
    // Columns shared by CTAs, then warpgroups: the same product again.
    if (m != 5) {
      spec.options.splitK = 2;
      if (int result = addCheck(out, spec, m))
        return result;
    }
    ++number;
    if (!wgmma || m == 5)
      return 0;
    spec.options = nv::chooseOptions(spec, /*tokens=*/0, 90, {true, false});
    spec.options.tokens = m == 1 ? 64 : 128;
    return addCheck(out, spec, m == 1 ? 70 : 33);
  };
  for (unsigned bits : {2u, 3u, 4u, 8u})
    for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep})
      for (int64_t m : {1, 5, 33}) {
        if (bits == 8 && grid == Grid::HalfStep)
          continue;
        Scheme scheme;
        scheme.bits = bits;
        scheme.grid = grid;
        scheme.group = grid == Grid::Affine && m == 5 ? 32 : m == 33 ? 64 : 128;
        if (int result = addAll(scheme, m))
          return result;
      }
  return 0;
}

static void addCandidate(Output &out, const nv::MatmulSpec &spec, int64_t m) {
  if (std::optional<std::string> why = spec.unsupported()) {
    llvm::errs() << "skipped " << spec.name() << ": " << *why << '\n';
    return;
  }
  ++out.benchmarks;
  std::vector<nv::ProductLaunch> launches =
      nv::launchesOf(kernelOf(out.of(spec), spec), m);
  describe(out, "bench", spec, m, launches, rolesOf(launches));
}

/// The chosen options, then others at even distances in the list; of each
/// family.
static void addBenchmark(Output &out, unsigned bits, int64_t m, int64_t n,
                         int64_t k, const CherrySpec &cherries, bool wgmma) {
  Scheme scheme;
  scheme.bits = bits;
  nv::MatmulSpec spec = specOf(scheme, cherries, n, k, nv::FloatKind::F16);
  std::vector<nv::KernelOptions> families[2];
  for (const nv::KernelOptions &options :
       nv::candidateOptions(spec, m, architecture, {wgmma, true}))
    families[options.family == nv::Family::Warpgroup].push_back(options);
  for (const auto &all : families) {
    size_t count =
        std::min<size_t>(all.size(), std::max(1u, candidates.getValue()));
    for (size_t i = 0; i != count; ++i) {
      spec.options = all[i * all.size() / count];
      addCandidate(out, spec, m);
    }
  }
}

/// NAME.fatbin, or NAME.ptx where there is no toolkit.
static int writeImage(StringRef name, ArrayRef<std::string> chips,
                      ArrayRef<std::string> ptx) {
  std::vector<DeviceImage> images;
  for (auto [chip, text] : llvm::zip(chips, ptx)) {
    auto cubin = assemblePTX(text, chip, nullptr);
    if (!cubin) {
      llvm::errs() << "no cubin of '" << name
                   << "': " << llvm::toString(cubin.takeError())
                   << "; the driver will assemble the PTX\n";
      images.clear();
      break;
    }
    images.push_back({chip, false, std::move(*cubin)});
  }
  std::string path = folder + "/" + name.str(), bytes = ptx.front();
  path += images.empty() ? ".ptx" : ".fatbin";
  if (!images.empty()) {
    images.push_back({chips.front(), true, ptx.front()});
    auto fatbin = linkFatbin(images);
    if (!fatbin)
      return fail(llvm::toString(fatbin.takeError()));
    bytes = std::move(*fatbin);
  }
  if (llvm::Error problem = writeFileAtomically(path, bytes))
    return fail(llvm::toString(std::move(problem)));
  return 0;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::ParseCommandLineOptions(
      argc, argv, "Kernels and reference numbers for a machine with a GPU\n");
  if (chips.empty()) {
    chips.push_back("sm_80");
    chips.push_back("sm_90a");
  }
  llvm::Expected<unsigned> parsed = parseChip(chips.front());
  if (!parsed)
    return fail(llvm::toString(parsed.takeError()));
  architecture = llvm::is_contained(chips, "sm_90a") ? 90 : *parsed;
  DialectRegistry registry;
  registerDeviceDialects(registry);
  registry.insert<arith::ArithDialect, CQDialect, gpu::GPUDialect,
                  math::MathDialect, memref::MemRefDialect, nvgpu::NVGPUDialect,
                  scf::SCFDialect, vector::VectorDialect>();
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  if (std::error_code error = llvm::sys::fs::create_directories(folder))
    return fail("cannot make '" + folder + "': " + error.message());
  std::error_code error;
  llvm::raw_fd_ostream cases(folder + "/cases.txt", error);
  if (error)
    return fail("cannot write into '" + folder + "': " + error.message());
  Output out{cases, Image("kernels", context), Image("warpgroup", context)};
  bool wgmma = llvm::is_contained(chips, "sm_90a");
  if (int result = addChecks(out, wgmma))
    return result;
  if (!checksOnly) {
    if (shapes.empty())
      for (const char *shape :
           {"4096x4096", "8192x8192", "8192x28672", "4096x14336"})
        shapes.push_back(shape);
    if (tokenCounts.empty())
      for (int64_t m : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 2048})
        tokenCounts.push_back(m);
    if (widths.empty())
      for (unsigned bits : {2u, 3u, 4u})
        widths.push_back(bits);
    for (StringRef shape : shapes) {
      int64_t n, k;
      if (shape.consumeInteger(10, n) || !shape.consume_front("x") ||
          shape.getAsInteger(10, k) || n < 1 || k < 1)
        return fail("'" + shape + "' is no shape; write 4096x4096");
      for (unsigned bits : widths)
        for (int64_t m : tokenCounts)
          for (bool withCherries : {false, true}) {
            if (withCherries && bits != 3)
              continue;
            addBenchmark(out, bits, m, n, k,
                         withCherries ? CherrySpec::fromRatio(CherryForm::Slot,
                                                              1.0 / 256, k)
                                      : CherrySpec(),
                         wgmma);
          }
    }
  }
  cases.close();
  auto write = [&](StringRef name, StringRef bytes) {
    return writeFileAtomically((folder + "/" + name).str(), bytes);
  };
  for (Image *image : {&out.plain, &out.warpgroup}) {
    if (image->count() == 0)
      continue;
    std::string text;
    llvm::raw_string_ostream(text) << *image->module << '\n';
    if (llvm::Error problem = write((image->name + ".mlir").str(), text))
      return fail(llvm::toString(std::move(problem)));
    std::vector<std::string> list(chips.begin(), chips.end()), ptx;
    if (image == &out.warpgroup)
      list = {"sm_90a"};
    if (llvm::Error problem =
            write((image->name + ".json").str(),
                  describeKernels(*image->module, list.front())))
      return fail(llvm::toString(std::move(problem)));
    for (const std::string &chip : list) {
      OwningOpRef<ModuleOp> copy = image->module->clone();
      auto made = emitPTX(*copy, chip);
      if (!made)
        return fail(llvm::toString(made.takeError()));
      ptx.push_back(std::move(*made));
    }
    if (int result = writeImage(image->name, list, ptx))
      return result;
  }
  if (!modelPath.empty()) {
    DeviceExportOptions options;
    options.steps = steps;
    options.firstToken = firstToken;
    options.chips.assign(chips.begin(), chips.end());
    auto exported = exportDeviceModel(modelPath, folder, options);
    if (!exported)
      return fail(llvm::toString(exported.takeError()));
    if (llvm::Error problem = write("model.mlir", exported->kernels))
      return fail(llvm::toString(std::move(problem)));
    if (int result = writeImage("model", options.chips, exported->ptx))
      return result;
    llvm::outs() << "a model's decoding, rehearsed:";
    for (int32_t token : exported->tokens)
      llvm::outs() << ' ' << token;
    llvm::outs() << '\n';
  }
  llvm::outs() << out.checks << " checks" << (rehearse ? ", rehearsed" : "")
               << ", " << out.benchmarks << " benchmarks, "
               << out.plain.count() + out.warpgroup.count() << " kernels\n";
  return 0;
}
