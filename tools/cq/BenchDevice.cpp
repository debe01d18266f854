//===- BenchDevice.cpp - cq bench --target=cuda ---------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BenchDevice.h"
#include "cq/Conversion/CQToNVGPU/Launches.h"
#include "cq/DeviceCode/DeviceCode.h"
#include "cq/Runtime/Cuda.h"
#include "cq/Support/AtomicFile.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include <algorithm>
#include <cmath>
#include <map>

using namespace mlir;
using namespace mlir::cq;
using namespace mlir::cq::tool;

namespace {

llvm::Error lastError() { return llvm::createStringError(cq_cuda_error()); }

class Bench {
public:
  explicit Bench(const DeviceBenchOptions &options) : options(options) {}
  ~Bench() {
    cq_cublas_close(cublas);
    if (device)
      cq_cuda_close(device);
  }
  llvm::Error run();

private:
  using Launches = llvm::function_ref<llvm::Error(size_t copy)>;
  /// Seconds of one of `copies` launches: the median of rounds of replays.
  llvm::Expected<double> time(size_t copies, Launches launch);
  llvm::Expected<double> copyBandwidth();
  llvm::Error product(size_t number);
  llvm::Expected<double> cublasTime(int64_t m, int64_t n, int64_t k);
  llvm::Error compile();
  llvm::Error writePlot() const;

  struct Memory {
    cq_cuda *device;
    std::vector<cq_cuda_pointer> list;
    ~Memory() {
      for (cq_cuda_pointer one : list)
        cq_cuda_free(device, one);
    }
    llvm::Expected<cq_cuda_pointer> get(int64_t bytes, unsigned char value,
                                        cq_cuda_stream stream) {
      cq_cuda_pointer one =
          cq_cuda_allocate(device, static_cast<size_t>(bytes));
      if (!one)
        return lastError();
      list.push_back(one);
      if (cq_cuda_fill(device, one, value, static_cast<size_t>(bytes), stream))
        return lastError();
      return one;
    }
  };

  const DeviceBenchOptions &options;
  cq_cuda *device = nullptr;
  cq_cuda_stream stream = nullptr;
  cq_cuda_module *module = nullptr;
  cq_cublas *cublas = nullptr;
  double bandwidth = 0;
  std::vector<std::pair<nv::MatmulSpec, int64_t>> specs;
  std::vector<std::vector<nv::ProductLaunch>> launches; ///< of each spec
  std::map<std::array<int64_t, 3>, double> cublasTimes;
  std::map<std::string, std::vector<std::pair<double, double>>> curves;
  llvm::json::Array results;
};

llvm::Expected<double> Bench::time(size_t copies, Launches launch) {
  if (cq_cuda_begin_capture(device, stream))
    return lastError();
  llvm::Error error = llvm::Error::success();
  for (size_t i = 0; i < copies && !error; ++i)
    error = launch(i);
  cq_cuda_graph graph = cq_cuda_end_capture(device, stream);
  if (error)
    return std::move(error);
  if (!graph)
    return lastError();
  cq_cuda_event start = cq_cuda_create_event(device),
                end = cq_cuda_create_event(device);
  std::vector<double> times;
  bool failed = !start || !end;
  // The first round warms up.
  for (unsigned round = 0; round <= options.rounds && !failed; ++round) {
    float milliseconds = 0;
    failed = cq_cuda_record(device, start, stream) ||
             cq_cuda_launch_graph(device, graph, stream) ||
             cq_cuda_record(device, end, stream) ||
             cq_cuda_elapsed(device, start, end, &milliseconds);
    if (round > 0)
      times.push_back(milliseconds * 1e-3 / static_cast<double>(copies));
  }
  llvm::Error problem = failed ? lastError() : llvm::Error::success();
  if (start)
    cq_cuda_destroy_event(device, start);
  if (end)
    cq_cuda_destroy_event(device, end);
  cq_cuda_destroy_graph(device, graph);
  if (problem)
    return std::move(problem);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

llvm::Expected<double> Bench::copyBandwidth() {
  Memory memory{device, {}};
  int64_t bytes = std::max<int64_t>(options.rotateBytes, 1 << 20);
  auto from = memory.get(bytes, 1, stream);
  if (!from)
    return from.takeError();
  auto to = memory.get(bytes, 2, stream);
  if (!to)
    return to.takeError();
  auto seconds = time(4, [&](size_t) -> llvm::Error {
    if (cq_cuda_copy(device, *to, *from, static_cast<size_t>(bytes), stream))
      return lastError();
    return llvm::Error::success();
  });
  if (!seconds)
    return seconds.takeError();
  return 2.0 * static_cast<double>(bytes) / *seconds;
}

llvm::Expected<double> Bench::cublasTime(int64_t m, int64_t n, int64_t k) {
  auto known = cublasTimes.find({m, n, k});
  if (known != cublasTimes.end())
    return known->second;
  Memory memory{device, {}};
  size_t copies = static_cast<size_t>(options.rotateBytes / (2 * n * k)) + 2;
  std::vector<cq_cuda_pointer> weights;
  for (size_t i = 0; i < copies; ++i) {
    auto one = memory.get(2 * n * k, 0x3c, stream);
    if (!one)
      return one.takeError();
    weights.push_back(*one);
  }
  auto x = memory.get(2 * m * k, 0x3c, stream);
  if (!x)
    return x.takeError();
  auto y = memory.get(2 * m * n, 0, stream);
  if (!y)
    return y.takeError();
  auto launch = [&](size_t copy) -> llvm::Error {
    if (cq_cublas_matmul(cublas, static_cast<int>(m), static_cast<int>(n),
                         static_cast<int>(k), *x, weights[copy], *y))
      return lastError();
    return llvm::Error::success();
  };
  // Its first call may allocate, which a recording must not.
  if (llvm::Error error = launch(0))
    return std::move(error);
  if (cq_cuda_synchronize(device, stream))
    return lastError();
  auto seconds = time(copies, launch);
  if (seconds)
    cublasTimes[{m, n, k}] = *seconds;
  return seconds;
}

llvm::Error Bench::compile() {
  unsigned architecture = static_cast<unsigned>(cq_cuda_architecture(device));
  std::string chip =
      "sm_" + std::to_string(architecture) + (architecture == 90 ? "a" : "");
  std::vector<nv::MatmulSpec> list;
  for (auto [n, k] : options.shapes)
    for (const Scheme &scheme : options.schemes)
      for (int64_t m : options.tokens) {
        nv::MatmulSpec spec;
        spec.scheme = scheme;
        spec.layout = Layout::uniform(LayoutKind::MmaFragment, n, scheme.bits);
        spec.n = n;
        spec.k = k;
        spec.maxTokens = m;
        spec.compute = spec.x = nv::FloatKind::F16;
        spec.y = nv::FloatKind::F32;
        if (options.cherries != CherryForm::None)
          spec.cherries = CherrySpec::fromRatio(options.cherries, 1.0 / 256, k);
        if (llvm::Error error = spec.layout.check(n, k))
          return error;
        spec.options = nv::chooseOptions(spec, m, architecture,
                                         {architecture == 90, true});
        if (auto sentence = spec.unsupported())
          return llvm::createStringError(
              llvm::formatv("no kernel for {0}x{1} at {2}: {3}", n, k,
                            scheme.str(), *sentence));
        specs.push_back({spec, m});
        list.push_back(spec);
      }
  DialectRegistry registry;
  registerDeviceDialects(registry);
  MLIRContext context(registry);
  auto kernels = buildKernels(&context, list);
  if (!kernels)
    return kernels.takeError();
  auto code = *(*kernels)->getOps<gpu::GPUModuleOp>().begin();
  for (const auto &[spec, m] : specs)
    launches.push_back(
        nv::launchesOf(code.lookupSymbol<gpu::GPUFuncOp>(spec.name()), m));
  auto ptx = emitPTX(**kernels, chip);
  if (!ptx)
    return ptx.takeError();
  module = cq_cuda_load(device, ptx->c_str(), ptx->size() + 1);
  return module ? llvm::Error::success() : lastError();
}

llvm::Error Bench::product(size_t number) {
  const auto &[spec, m] = specs[number];
  PlaneBytes planes =
      planeBytes(spec.n, spec.k, spec.scheme, spec.layout, spec.cherries);
  size_t copies = static_cast<size_t>(options.rotateBytes / planes.total()) + 2;
  Memory memory{device, {}};
  int32_t tokens = static_cast<int32_t>(m);
  std::vector<cq_cuda_function> functions;
  for (const nv::ProductLaunch &launch : launches[number]) {
    functions.push_back(cq_cuda_get(device, module, launch.kernel.c_str(),
                                    static_cast<int>(launch.sharedBytes)));
    if (!functions.back())
      return lastError();
  }
  std::vector<std::map<std::string, cq_cuda_pointer>> addresses(copies);
  for (size_t copy = 0; copy < copies; ++copy)
    for (const nv::ProductLaunch &launch : launches[number])
      for (const std::string &role : launch.arguments) {
        if (role == "m" || addresses[copy].count(role))
          continue;
        cq_cuda_pointer &address = addresses[copy][role];
        // Only the weight differs from copy to copy.
        if (copy && (role == "x" || role == "y" || role == "packed" ||
                     role == "partial")) {
          address = addresses[0][role];
          continue;
        }
        // Codes that differ; scales and activations that are finite.
        unsigned char value = role == "codes"
                                  ? static_cast<unsigned char>(0x5a + copy)
                              : role == "cherry_columns" ? 3
                                                         : 0x2c;
        auto one = memory.get(nv::bufferBytes(spec, m, role), value, stream);
        if (!one)
          return one.takeError();
        address = *one;
      }
  auto seconds = time(copies, [&](size_t copy) -> llvm::Error {
    for (auto [launch, function] : llvm::zip(launches[number], functions)) {
      std::vector<void *> pointers;
      for (const std::string &role : launch.arguments)
        pointers.push_back(role == "m"
                               ? static_cast<void *>(&tokens)
                               : static_cast<void *>(&addresses[copy][role]));
      unsigned grid[3], block[3];
      std::copy(launch.grid.begin(), launch.grid.end(), grid);
      std::copy(launch.block.begin(), launch.block.end(), block);
      if (cq_cuda_launch(device, function, grid, block,
                         static_cast<unsigned>(launch.sharedBytes), stream,
                         pointers.data()))
        return lastError();
    }
    return llvm::Error::success();
  });
  if (!seconds)
    return seconds.takeError();
  double share = static_cast<double>(planes.total()) / *seconds / bandwidth;
  double flops = 2.0 * static_cast<double>(m) * static_cast<double>(spec.n) *
                 static_cast<double>(spec.k) / *seconds;
  llvm::json::Object result{
      {"kernel", spec.name()},
      {"n", spec.n},
      {"k", spec.k},
      {"m", m},
      {"launches", static_cast<int64_t>(launches[number].size())},
      {"scheme", spec.scheme.str()},
      {"microseconds", *seconds * 1e6},
      {"of_copy_bandwidth", share},
      {"teraflops", flops * 1e-12}};
  std::string beside = "     -";
  if (cublas) {
    auto other = cublasTime(m, spec.n, spec.k);
    if (!other)
      return other.takeError();
    result["cublas_bf16_microseconds"] = *other * 1e6;
    result["times_cublas_bf16"] = *other / *seconds;
    beside = llvm::formatv("{0,6:f2}", *other / *seconds).str();
  }
  llvm::outs() << llvm::format("%6ldx%-6ld %-24s M=%-5ld %10.2f us %5.1f%% of "
                               "copies %9.2f TFLOP/s %s x cuBLAS bf16\n",
                               spec.n, spec.k, spec.scheme.str().c_str(), m,
                               *seconds * 1e6, 100 * share, flops * 1e-12,
                               beside.c_str());
  llvm::outs().flush();
  curves[llvm::formatv("{0}x{1} {2}", spec.n, spec.k, spec.scheme.str()).str()]
      .push_back({static_cast<double>(m), *seconds * 1e6});
  if (cublas)
    curves[llvm::formatv("{0}x{1} cuBLAS bf16", spec.n, spec.k).str()]
        .push_back(
            {static_cast<double>(m), 1e6 * cublasTimes[{m, spec.n, spec.k}]});
  results.push_back(std::move(result));
  return llvm::Error::success();
}

/// Microseconds over tokens, both logarithmic.
llvm::Error Bench::writePlot() const {
  double low = 1e30, high = 0, left = 1e30, right = 0;
  for (const auto &curve : curves)
    for (auto [m, us] : curve.second) {
      low = std::min(low, us), high = std::max(high, us);
      left = std::min(left, m), right = std::max(right, m);
    }
  constexpr int width = 760, height = 420, margin = 60, legend = 240;
  auto at = [](double value, double from, double to, double a, double b) {
    double span = std::log2(std::max(to, from * 1.01) / from);
    return a + (b - a) * std::log2(value / from) / span;
  };
  std::string text;
  llvm::raw_string_ostream os(text);
  os << llvm::formatv("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" "
                      "height=\"{1}\" font-family=\"sans-serif\" "
                      "font-size=\"12\">\n",
                      width + legend, height);
  os << llvm::formatv("<text x=\"{0}\" y=\"20\">microseconds of a product over "
                      "tokens, {1}</text>\n",
                      margin, cq_cuda_name(device));
  const char *colours[] = {"#1f77b4", "#d62728", "#2ca02c", "#9467bd",
                           "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f"};
  size_t number = 0;
  for (const auto &[name, given] : curves) {
    std::vector<std::pair<double, double>> points = given;
    std::sort(points.begin(), points.end());
    const char *colour = colours[number % 8];
    os << "<polyline fill=\"none\" stroke=\"" << colour << "\" points=\"";
    for (auto [m, us] : points)
      os << llvm::formatv("{0:f1},{1:f1} ",
                          at(m, left, right, margin, width - 20),
                          at(us, low, high, height - 40, 40));
    os << "\"/>\n"
       << llvm::formatv("<text x=\"{0}\" y=\"{1}\" fill=\"{2}\">{3}</text>\n",
                        width, 40 + 16 * number, colour, name);
    ++number;
  }
  for (double m = left; m <= right; m *= 2)
    os << llvm::formatv("<text x=\"{0:f1}\" y=\"{1}\">{2}</text>\n",
                        at(m, left, right, margin, width - 20), height - 15,
                        static_cast<int64_t>(m));
  for (double us : {low, high})
    os << llvm::formatv("<text x=\"5\" y=\"{0:f1}\">{1:f1}</text>\n",
                        at(us, low, high, height - 40, 40), us);
  os << "</svg>\n";
  return writeFileAtomically(options.plot, text);
}

llvm::Error Bench::run() {
  device = cq_cuda_open(0);
  if (!device)
    return lastError();
  stream = cq_cuda_create_stream(device);
  if (!stream)
    return lastError();
  if (llvm::Error error = compile())
    return error;
  std::string why = "not asked for";
  if (options.cublas) {
    cublas = cq_cublas_open(device, stream);
    why = cublas ? "" : cq_cuda_error();
  }
  auto measured = copyBandwidth();
  if (!measured)
    return measured.takeError();
  bandwidth = *measured;
  int version = 0, clock = 0;
  cq_cuda_driver_version(&version);
  cq_cuda_attribute(device, 13, &clock);
  llvm::outs() << cq_cuda_name(device)
               << llvm::format(", copies %.1f GB/s", bandwidth * 1e-9)
               << (cublas ? "" : "; no cuBLAS: " + why) << '\n';
  for (size_t i = 0; i < specs.size(); ++i)
    if (llvm::Error error = product(i))
      return error;
  if (!options.json.empty()) {
    llvm::json::Object all{{"kind", "device"},
                           {"device", cq_cuda_name(device)},
                           {"sm", cq_cuda_architecture(device)},
                           {"driver", version},
                           {"clock_khz", clock},
                           {"copy_bytes_per_second", bandwidth},
                           {"rounds", static_cast<int64_t>(options.rounds)},
                           {"results", std::move(results)}};
    if (llvm::Error error = writeFileAtomically(
            options.json,
            llvm::formatv("{0:2}\n", llvm::json::Value(std::move(all))).str()))
      return error;
  }
  return options.plot.empty() ? llvm::Error::success() : writePlot();
}

} // namespace

llvm::Error tool::benchDevice(const DeviceBenchOptions &options) {
  return Bench(options).run();
}
