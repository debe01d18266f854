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
#include "cq/Conversion/CQToNVGPU/Kernels.h"
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
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"
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
          cl::desc("Chips to compile for (default: sm_80, sm_90a); the first "
                   "one's architecture chooses options"));
static cl::list<std::string>
    shapes("shapes", cl::CommaSeparated, cl::value_desc("NxK,..."),
           cl::desc("Shapes to time (default: 4096x4096, 8192x8192, "
                    "28672x8192, 14336x4096)"));
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
struct Output {
  llvm::raw_ostream &cases;
  OpBuilder &builder;
  llvm::StringSet<> kernels;
};
} // namespace

static int fail(const Twine &message) {
  llvm::errs() << "cq-device-bundle: " << message << '\n';
  return 1;
}

static gpu::GPUFuncOp kernelOf(Output &out, const nv::MatmulSpec &spec) {
  // Two products may share a kernel.
  if (!out.kernels.insert(spec.name()).second)
    for (Operation &op : *out.builder.getInsertionBlock())
      if (auto kernel = dyn_cast<gpu::GPUFuncOp>(op);
          kernel && kernel.getName() == spec.name())
        return kernel;
  return nv::buildMatmulKernel(out.builder, out.builder.getUnknownLoc(), spec);
}

/// "check KERNEL gridX gridY threads shared m n k bits", then `role:bytes` of
/// each argument.
static void describe(Output &out, StringRef what, gpu::GPUFuncOp kernel,
                     const nv::MatmulSpec &spec, int64_t m,
                     ArrayRef<std::pair<StringRef, int64_t>> arguments) {
  unsigned tokens = spec.options.tokens;
  out.cases << what << ' ' << kernel.getName() << ' ' << spec.gridX() << ' '
            << (m + tokens - 1) / tokens << ' ' << spec.options.threads() << ' '
            << spec.sharedBytes() << ' ' << m << ' ' << spec.n << ' ' << spec.k
            << ' ' << spec.scheme.bits;
  for (auto [role, bytes] : arguments)
    out.cases << ' ' << role << ':' << bytes;
  out.cases << '\n';
}

static nv::MatmulSpec specOf(const Scheme &scheme, const CherrySpec &cherries,
                             int64_t m, int64_t n, int64_t k,
                             nv::FloatKind compute) {
  nv::MatmulSpec spec;
  spec.scheme = scheme;
  spec.layout = Layout::uniform(LayoutKind::MmaFragment, n, scheme.bits);
  spec.cherries = cherries;
  spec.n = n;
  spec.k = k;
  spec.maxTokens = m;
  spec.compute = spec.x = compute;
  spec.y = nv::FloatKind::F32;
  spec.options = nv::chooseOptions(spec, m, architecture);
  return spec;
}

/// A small product with its numbers: x, planes, then the expected y and how far
/// each may be off, both f32. Activations are multiples of 1/64, exact in both
/// types.
static int addCheck(Output &out, const Scheme &scheme,
                    const CherrySpec &cherries, int64_t m, int64_t n, int64_t k,
                    nv::FloatKind compute, unsigned number) {
  nv::MatmulSpec spec = specOf(scheme, cherries, m, n, k, compute);
  if (std::optional<std::string> why = spec.unsupported()) {
    llvm::errs() << "skipped " << spec.name() << ": " << *why << '\n';
    return 0;
  }
  std::mt19937 random(number);
  std::vector<float> w(n * k), decoded(n * k), x(m * k);
  for (float &value : w)
    value = (static_cast<float>(random() >> 8) * 0x1p-23f - 1) * 0.1f *
            (random() % 97 ? 1.0f : 6.0f);
  for (float &value : x)
    value = (static_cast<float>(random() % 129) - 64) / 64;
  CherryPositions positions;
  CherryPositions *used = nullptr;
  if (cherries.form != CherryForm::None) {
    llvm::Expected<CherryPositions> chosen = selectCherries(
        w.data(), n, k, cherries, CherryCriterion::Magnitude, scheme);
    if (!chosen)
      return fail(llvm::toString(chosen.takeError()));
    positions = std::move(*chosen);
    used = &positions;
  }
  llvm::Expected<QuantizedWeight> q =
      quantizeWeight(w.data(), n, k, scheme, QuantizerKind::RTN, used);
  if (!q)
    return fail(llvm::toString(q.takeError()));
  dequantizeWeight(*q, used, decoded.data(), 1);
  PackedWeight packed = packWeight(*q, used, spec.layout);
  std::vector<uint8_t> xBytes(m * k * 2);
  encodeScales(x.data(), m * k, compute, xBytes.data());

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

  gpu::GPUFuncOp kernel = kernelOf(out, spec);
  std::vector<uint8_t> y(m * n * 4);
  GPULaunch launch;
  SmallVector<std::pair<StringRef, int64_t>> arguments;
  std::error_code error;
  llvm::raw_fd_ostream file(folder + "/" + std::to_string(number) + ".bin",
                            error);
  if (error)
    return fail("cannot write into '" + folder + "': " + error.message());
  for (Attribute label : kernel->getAttrOfType<ArrayAttr>("cq.arguments")) {
    StringRef role = cast<StringAttr>(label).getValue();
    std::vector<uint8_t> *bytes =
        llvm::StringSwitch<std::vector<uint8_t> *>(role)
            .Case("x", &xBytes)
            .Case("codes", &packed.codes)
            .Case("scales", &packed.scales)
            .Case("zeros", &packed.zeros)
            .Case("cherry_columns", &packed.cherryColumns)
            .Case("cherry_deltas", &packed.cherryDeltas)
            .Case("y", &y)
            .Default(nullptr);
    GPUArgument &argument = launch.arguments.emplace_back();
    arguments.push_back({role, bytes ? int64_t(bytes->size()) : 4});
    argument.scalar = static_cast<uint64_t>(m);
    if (!bytes)
      continue;
    argument.bytes = *bytes;
    argument.readOnly = role != "y";
    argument.uninitialised = role == "y";
    if (role != "y")
      file.write(reinterpret_cast<const char *>(bytes->data()), bytes->size());
  }
  file.write(reinterpret_cast<const char *>(want.data()), 4 * want.size());
  file.write(reinterpret_cast<const char *>(bound.data()), 4 * bound.size());
  describe(out, ("check " + Twine(number)).str(), kernel, spec, m, arguments);
  if (!rehearse)
    return 0;
  unsigned tokens = spec.options.tokens;
  launch.grid = {spec.gridX(), (m + tokens - 1) / tokens, 1};
  launch.block = {int64_t(spec.options.threads()), 1, 1};
  launch.dynamicSharedBytes = spec.sharedBytes();
  if (failed(runGPUKernel(kernel, launch)))
    return fail(spec.name() + " fails in the interpreter");
  for (int64_t i = 0; i != m * n; ++i) {
    float got;
    std::memcpy(&got, y.data() + 4 * i, 4);
    if (!(std::fabs(got - want[i]) <= bound[i]))
      return fail(spec.name() + " gives " + Twine(std::to_string(got)) +
                  " for y[" + Twine(i / n) + ", " + Twine(i % n) + "], not " +
                  Twine(std::to_string(want[i])));
  }
  return 0;
}

static void addCandidate(Output &out, const nv::MatmulSpec &spec, int64_t m) {
  if (std::optional<std::string> why = spec.unsupported()) {
    llvm::errs() << "skipped " << spec.name() << ": " << *why << '\n';
    return;
  }
  gpu::GPUFuncOp kernel = kernelOf(out, spec);
  PlaneBytes bytes =
      planeBytes(spec.n, spec.k, spec.scheme, spec.layout, spec.cherries);
  SmallVector<std::pair<StringRef, int64_t>> arguments;
  for (Attribute label : kernel->getAttrOfType<ArrayAttr>("cq.arguments")) {
    StringRef role = cast<StringAttr>(label).getValue();
    arguments.push_back({role, llvm::StringSwitch<int64_t>(role)
                                   .Case("x", m * spec.k * 2)
                                   .Case("codes", bytes.codes)
                                   .Case("scales", bytes.scales)
                                   .Case("zeros", bytes.zeros)
                                   .Case("cherry_columns", bytes.cherryColumns)
                                   .Case("cherry_deltas", bytes.cherryDeltas)
                                   .Case("y", m * spec.n * 4)
                                   .Default(4)});
  }
  describe(out, "bench", kernel, spec, m, arguments);
}

static void addBenchmark(Output &out, unsigned bits, int64_t m, int64_t n,
                         int64_t k, const CherrySpec &cherries) {
  Scheme scheme;
  scheme.bits = bits;
  nv::MatmulSpec spec = specOf(scheme, cherries, m, n, k, nv::FloatKind::F16);
  // The chosen options, then others at even distances in the list.
  std::vector<nv::KernelOptions> all =
      nv::candidateOptions(spec, m, architecture);
  size_t count =
      std::min<size_t>(all.size(), std::max(1u, candidates.getValue()));
  for (size_t i = 0; i != std::max<size_t>(count, 1); ++i) {
    if (!all.empty())
      spec.options = all[i * all.size() / count];
    addCandidate(out, spec, m);
  }
}

/// NAME.fatbin, or NAME.ptx where there is no toolkit.
static int writeImage(StringRef name, ArrayRef<std::string> ptx) {
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
  architecture = *parsed;
  DialectRegistry registry;
  registerDeviceDialects(registry);
  registry.insert<arith::ArithDialect, CQDialect, gpu::GPUDialect,
                  math::MathDialect, memref::MemRefDialect, nvgpu::NVGPUDialect,
                  scf::SCFDialect, vector::VectorDialect>();
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  OpBuilder builder(&context);
  Location loc = builder.getUnknownLoc();
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  builder.setInsertionPointToEnd(module->getBody());
  auto kernels = gpu::GPUModuleOp::create(builder, loc, "cq_kernels");
  builder.setInsertionPointToStart(&kernels.getBodyRegion().front());

  if (std::error_code error = llvm::sys::fs::create_directories(folder))
    return fail("cannot make '" + folder + "': " + error.message());
  std::error_code error;
  llvm::raw_fd_ostream cases(folder + "/cases.txt", error);
  if (error)
    return fail("cannot write into '" + folder + "': " + error.message());
  Output out{cases, builder, {}};

  unsigned number = 0;
  for (unsigned bits : {2u, 3u, 4u, 8u})
    for (Grid grid : {Grid::Symmetric, Grid::Affine, Grid::HalfStep})
      for (int64_t m : {1, 5, 33}) {
        if ((bits == 8 && grid == Grid::HalfStep) || number >= checkCount)
          continue;
        Scheme scheme;
        scheme.bits = bits;
        scheme.grid = grid;
        CherryForm form = number % 4 == 0   ? CherryForm::Slot
                          : number % 4 == 1 ? CherryForm::Element
                          : number % 4 == 2 ? CherryForm::Column
                                            : CherryForm::None;
        // Ragged rows and columns, but rows of x keep 16 bytes of alignment.
        int64_t n = 40 + 7 * (number % 3), k = 320 + 8 * number;
        CherrySpec cherries = form == CherryForm::None
                                  ? CherrySpec()
                                  : CherrySpec::fromRatio(form, 1.0 / 64, k);
        if (int result = addCheck(
                out, scheme, cherries, m, n, k,
                number % 2 ? nv::FloatKind::BF16 : nv::FloatKind::F16, number))
          return result;
        ++number;
      }
  if (!checksOnly) {
    if (shapes.empty())
      for (const char *shape :
           {"4096x4096", "8192x8192", "28672x8192", "14336x4096"})
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
            if (withCherries && (bits != 3 || m > 16))
              continue;
            addBenchmark(out, bits, m, n, k,
                         withCherries ? CherrySpec::fromRatio(CherryForm::Slot,
                                                              1.0 / 256, k)
                                      : CherrySpec());
          }
    }
  }
  std::string text;
  llvm::raw_string_ostream(text) << *module << '\n';
  auto write = [&](StringRef name, StringRef bytes) {
    return writeFileAtomically((folder + "/" + name).str(), bytes);
  };
  if (llvm::Error problem = write("kernels.mlir", text))
    return fail(llvm::toString(std::move(problem)));
  if (llvm::Error problem =
          write("kernels.json", describeKernels(*module, chips.front())))
    return fail(llvm::toString(std::move(problem)));
  std::vector<std::string> ptx;
  for (const std::string &chip : chips) {
    OwningOpRef<ModuleOp> copy = module->clone();
    auto made = emitPTX(*copy, chip);
    if (!made)
      return fail(llvm::toString(made.takeError()));
    ptx.push_back(std::move(*made));
  }
  if (int result = writeImage("kernels", ptx))
    return result;
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
    if (int result = writeImage("model", exported->ptx))
      return result;
    llvm::outs() << "a model's decoding, rehearsed:";
    for (int32_t token : exported->tokens)
      llvm::outs() << ' ' << token;
    llvm::outs() << '\n';
  }
  llvm::outs() << number << " checks" << (rehearse ? ", rehearsed" : "") << ", "
               << out.kernels.size() << " kernels\n";
  return 0;
}
