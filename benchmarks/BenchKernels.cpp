//===- BenchKernels.cpp - Generated kernels beside the memory's bandwidth -===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   cq-bench-kernels --shape=4096x14336 --scheme=b3-g64 --tokens=1
//   --num-threads=2
//
// Weights are copied until they are several times larger than the last cache
// (--resident leaves one copy), and the bandwidth printed beside is that of
// plain reads with the same threads in the same run.
//
//===----------------------------------------------------------------------===//

#include "../test/unittests/Conversion/KernelHarness.h"
#include "Twin.h"
#include "cq/Runtime/Runtime.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include <chrono>
#include <ctime>
#include <random>
#include <vector>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::x86;
using namespace mlir::cq::x86::test;

namespace cl = llvm::cl;
static cl::OptionCategory category("cq-bench-kernels options");
static cl::list<std::string> shapes("shape",
                                    cl::desc("NxK of a weight (repeatable)"),
                                    cl::CommaSeparated, cl::cat(category));
static cl::list<std::string> schemes("scheme",
                                     cl::desc("as b3-g64-symmetric-f16"),
                                     cl::CommaSeparated, cl::cat(category));
static cl::list<int64_t> tokenCounts("tokens", cl::desc("tokens M"),
                                     cl::CommaSeparated, cl::cat(category));
static cl::opt<int> threads("num-threads", cl::desc("threads"), cl::init(1),
                            cl::cat(category));
static cl::opt<std::string>
    isaName("isa", cl::desc("vector level (default: the host's)"),
            cl::cat(category));
static cl::opt<std::string> cherryForm("cherries",
                                       cl::desc("none, slot, column, element"),
                                       cl::init("none"), cl::cat(category));
static cl::opt<bool> resident("resident", cl::desc("one copy of the weight"),
                              cl::cat(category));
static cl::opt<bool>
    cpuTime("cpu-time",
            cl::desc("count CPU time: for one thread on a busy machine"),
            cl::cat(category));
static cl::opt<bool> twin("twin",
                          cl::desc("beside the kernel written by hand "
                                   "(b3-g128, 1 or 8 tokens, resident)"),
                          cl::cat(category));
static cl::opt<double> seconds("seconds", cl::desc("time per measurement"),
                               cl::init(0.5), cl::cat(category));

using Clock = std::chrono::steady_clock;

/// Seconds, of the wall clock or of this process.
static double now() {
  if (cpuTime)
    return double(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

template <typename Body> static void parallel(int64_t tasks, Body body) {
  cq_parallel_for(
      [](void *context, int64_t begin, int64_t end) {
        (*static_cast<Body *>(context))(begin, end);
      },
      &body, tasks);
}

/// Bytes a second of plain reads, with all threads.
static double readBandwidth() {
  constexpr int64_t kBlock = 1 << 20, kBlocks = 256;
  std::vector<uint64_t> memory(kBlock / 8 * kBlocks, 1);
  std::vector<uint64_t> sums(kBlocks);
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    double start = now();
    parallel(kBlocks, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        uint64_t sum = 0;
        for (int64_t i = 0; i < kBlock / 8; ++i)
          sum += memory[b * kBlock / 8 + i];
        sums[b] = sum;
      }
    });
    best = std::max(best, double(kBlock) * kBlocks / (now() - start));
  }
  volatile uint64_t keep = sums[0];
  (void)keep;
  return best;
}

static void fillRandom(GuardedBuffer &buffer, std::mt19937 &random) {
  for (int64_t i = 0; i < buffer.size(); ++i)
    buffer.as<uint8_t>()[i] = static_cast<uint8_t>(random() >> 7);
}

/// The generated kernel and the twin in turn, on the same planes.
static void measureTwin(const std::function<void(int64_t, int64_t)> &kernel,
                        const TwinProduct &product) {
  int64_t panels = product.n / 16, size = product.m * product.n;
  std::vector<float> expected(size);
  kernel(0, panels);
  std::copy_n(product.y, size, expected.begin());
  std::fill_n(product.y, size, 0.0f);
  if (!runTwin(product, 0, panels)) {
    llvm::outs() << "  no twin for this product\n";
    return;
  }
  bool equal = std::equal(expected.begin(), expected.end(), product.y);
  double best[2] = {1e30, 1e30};
  auto batch = [&](int which) {
    int64_t runs = 0;
    double start = now(), elapsed = 0;
    for (; elapsed < 0.002; elapsed = now() - start, ++runs)
      which ? (void)runTwin(product, 0, panels) : kernel(0, panels);
    best[which] = std::min(best[which], elapsed / double(runs));
  };
  for (double start = now(); now() - start < seconds;)
    for (int which : {0, 1})
      batch(which);
  llvm::outs() << llvm::format(
      "  one thread: generated %.1f us, twin %.1f us: %.2f times the twin's "
      "speed; results %s\n",
      best[0] * 1e6, best[1] * 1e6, best[1] / best[0],
      equal ? "equal" : "DIFFER");
}

static void measure(int64_t n, int64_t k, const Scheme &scheme, int64_t m,
                    ISA isa, double bandwidth) {
  CherrySpec cherries;
  if (auto form = parseCherryForm(cherryForm);
      form && *form != CherryForm::None)
    cherries = CherrySpec::fromRatio(*form, 1.0 / 256, k);
  MatmulSpec spec{{scheme, Layout::uniform(LayoutKind::Panel16, n, scheme.bits),
                   cherries, n, k},
                  ActivationMode::Int8,
                  m,
                  isa};
  spec.transposed = wantsTransposed(spec);
  KernelHarness harness;
  OpBuilder builder = harness.builder();
  double compileStart = now();
  buildMatmulKernel(builder, builder.getUnknownLoc(), "kernel", spec,
                    MatmulTypes::get(harness.context(), spec));
  if (!harness.compile())
    exit(1);
  double compileTime = now() - compileStart;

  const WeightSpec &w = spec.weight;
  PlaneBytes bytes = planeBytes(n, k, scheme, w.layout, cherries);
  int64_t copies =
      resident ? 1 : std::max<int64_t>(2, (192 << 20) / bytes.total());
  int64_t group = activationGroup(scheme), groups = (k + group - 1) / group;
  std::mt19937 random(7);
  std::vector<GuardedBuffer> memory;
  auto allocate = [&](int64_t size) -> GuardedBuffer & {
    // Planes are 64-byte aligned in artefacts; guarded buffers end where they
    // end.
    memory.emplace_back((size + 63) / 64 * 64);
    fillRandom(memory.back(), random);
    return memory.back();
  };
  using Argument = KernelHarness::Argument;
  SmallVector<Argument> activations;
  if (spec.needsFloatActivations()) {
    SmallVector<int64_t, 2> shape{m, k};
    if (spec.transposed)
      shape =
          llvm::to_vector(transposedType(harness.context(), m, k).getShape());
    int64_t size = ShapedType::getNumElements(shape);
    auto &x = allocate(4 * size);
    std::fill_n(x.as<float>(), size, 0.5f);
    activations.push_back({x.as<void>(), shape});
  }
  activations.push_back({allocate(m * k).as<void>(), {m, k}});
  auto &scales = allocate(4 * m * groups);
  std::fill_n(scales.as<float>(), m * groups, 0.01f);
  activations.push_back({scales.as<void>(), {m, groups}});
  activations.push_back({allocate(4 * m * groups).as<void>(), {m, groups}});
  Argument y{allocate(4 * m * n).as<void>(), {m, n}};
  std::vector<std::function<void(int64_t, int64_t)>> kernels;
  for (int64_t c = 0; c < copies; ++c) {
    SmallVector<Argument> arguments(activations);
    int64_t entries = w.layout.scaleEntries(n, k, scheme);
    arguments.push_back({allocate(bytes.codes).as<void>(), {bytes.codes}});
    auto &s = allocate(bytes.scales);
    std::fill_n(s.as<uint16_t>(), bytes.scales / 2, uint16_t(0x2000));
    arguments.push_back({s.as<void>(), {entries}});
    if (scheme.hasZeroPoints())
      arguments.push_back({allocate(bytes.zeros).as<void>(), {entries}});
    if (cherries.form != CherryForm::None) {
      auto &columns = allocate(bytes.cherryColumns);
      if (cherries.columnBytes() == 2)
        for (int64_t i = 0; i < cherries.numColumns(n, k); ++i)
          columns.as<uint16_t>()[i] = static_cast<uint16_t>(random() % k);
      arguments.push_back({columns.as<void>(), {cherries.numColumns(n, k)}});
      auto &deltas = allocate(bytes.cherryDeltas);
      std::fill_n(deltas.as<uint16_t>(), bytes.cherryDeltas / 2,
                  uint16_t(0x2000));
      arguments.push_back({deltas.as<void>(), {cherries.numDeltas(n, k)}});
    }
    arguments.push_back(y);
    kernels.push_back(harness.bind("kernel", arguments));
  }
  // The best of batches of a few milliseconds: a busy machine only adds.
  int64_t panels = w.numPanels(), runs = 0, batch = 0;
  parallel(panels, kernels[0]);
  double start = now(), each = 0, batchStart = start;
  while (now() - start < seconds || each == 0) {
    parallel(panels, kernels[runs++ % copies]);
    double elapsed = now() - batchStart;
    if (++batch < copies && !resident && elapsed < 0.05)
      continue;
    if (elapsed < 0.002)
      continue;
    each = each == 0 ? elapsed / batch : std::min(each, elapsed / batch);
    batch = 0;
    batchStart = now();
  }
  double rate = double(bytes.total()) / each;
  llvm::outs() << llvm::format(
      "%6ldx%-6ld %-22s M=%-3ld %9.1f us %7.1f Gw/s %8.1f GMAC/s %6.2f GB/s "
      "(%3.0f%% of "
      "reads)  %.3f bpw  compiled in %.0f ms\n",
      n, k, scheme.str().c_str(), m, each * 1e6, double(n) * k / each / 1e9,
      double(n) * k * m / each / 1e9, rate / 1e9, 100 * rate / bandwidth,
      bytes.bitsPerWeight(n, k), compileTime * 1e3);
  if (!twin)
    return;
  if (scheme.str() != "b3-g128-symmetric-f16" ||
      cherries.form != CherryForm::None)
    return;
  size_t first = spec.needsFloatActivations() ? 1 : 0;
  auto at = [&](size_t i) { return memory[i].as<void>(); };
  measureTwin(kernels[0], {n, k, m, static_cast<int8_t *>(at(first)),
                           static_cast<float *>(at(first + 1)),
                           static_cast<int32_t *>(at(first + 2)),
                           static_cast<uint8_t *>(at(first + 4)),
                           static_cast<uint16_t *>(at(first + 5)),
                           static_cast<float *>(at(first + 3))});
}

int main(int argc, char **argv) {
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(argc, argv, "Times generated x86 kernels\n");
  if (shapes.empty())
    shapes.push_back("4096x4096");
  if (schemes.empty())
    schemes.push_back("b3-g64");
  if (tokenCounts.empty())
    tokenCounts.push_back(1);
  std::optional<ISA> isa = isaName.empty() ? ISA::host() : ISA::parse(isaName);
  if (!isa || !isa->runsOnHost()) {
    llvm::errs() << "cq-bench-kernels: isa '" << isaName
                 << "' is unknown or does not run on this machine\n";
    return 1;
  }
  cq_set_threads(threads);
  double bandwidth = readBandwidth();
  llvm::outs() << llvm::format("%s, %d threads, reads %.1f GB/s\n",
                               isa->str().c_str(), int(threads),
                               bandwidth / 1e9);
  for (const std::string &shape : shapes)
    for (const std::string &text : schemes)
      for (int64_t m : tokenCounts) {
        int64_t n = 0, k = 0;
        auto [rows, columns] = llvm::StringRef(shape).split('x');
        llvm::Expected<Scheme> scheme = Scheme::parse(text);
        if (!scheme || rows.getAsInteger(10, n) ||
            columns.getAsInteger(10, k) || n <= 0 || k <= 0 || m <= 0) {
          if (!scheme)
            llvm::errs() << "cq-bench-kernels: "
                         << llvm::toString(scheme.takeError()) << '\n';
          else
            llvm::errs() << "cq-bench-kernels: a shape is NxK, not '" << shape
                         << "'\n";
          return 1;
        }
        measure(n, k, *scheme, m, *isa, bandwidth);
      }
}
