//===- ProductBench.cpp - Packed products against the clock ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Bench/ProductBench.h"
#include "cq/Bench/MachinePeaks.h"
#include "cq/Codec/Layout.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "cq/Execution/CompiledModule.h"
#include "cq/Runtime/Runtime.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <cstring>
#include <map>
#include <random>

using namespace mlir;
using namespace mlir::cq;

static double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Times Times::of(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  size_t middle = samples.size() / 2;
  double median = samples.size() % 2
                      ? samples[middle]
                      : (samples[middle - 1] + samples[middle]) / 2;
  return {median, samples.front()};
}

double ProductResult::shareOfLimit() const {
  double least = rotating ? double(weightBytes) / readBandwidth : 0;
  if (multipliers > 0)
    least = std::max(least, double(n) * k * tokens / multipliers);
  return least / time.median;
}

llvm::json::Value ProductResult::toJSON() const {
  return llvm::json::Object{{"n", n},
                            {"k", k},
                            {"scheme", scheme.str()},
                            {"tokens", tokens},
                            {"threads", threads},
                            {"memory", rotating ? "rotating" : "resident"},
                            {"weight_bytes", weightBytes},
                            {"median_s", time.median},
                            {"best_s", time.best},
                            {"weights_per_s", weightsPerSecond()},
                            {"bytes_per_s", bytesPerSecond()},
                            {"macs_per_s", macsPerSecond()},
                            {"read_bandwidth", readBandwidth},
                            {"multiplier_peak", multipliers},
                            {"share_of_limit", shareOfLimit()}};
}

//===----------------------------------------------------------------------===//
// A weight and its products
//===----------------------------------------------------------------------===//

namespace {

struct Weight {
  int64_t n, k;
  Scheme scheme;
  Layout layout;
  CherrySpec cherries;
  PlaneBytes bytes;
};

/// One plane of all copies, 64-byte aligned as in files.
class Plane {
public:
  Plane(int64_t bytes, int64_t copies)
      : stride((bytes + 63) / 64 * 64), memory(stride * copies + 64) {}
  uint8_t *at(int64_t copy) {
    uintptr_t base = reinterpret_cast<uintptr_t>(memory.data());
    return memory.data() + ((64 - base % 64) % 64) + copy * stride;
  }
  int64_t size() const { return static_cast<int64_t>(memory.size()); }
  void fill(std::mt19937 &random) {
    for (uint8_t &byte : memory)
      byte = static_cast<uint8_t>(random() >> 9);
  }
  void fillHalves(uint16_t value) {
    for (int64_t i = 0; i + 1 < size(); i += 2)
      std::memcpy(&memory[i], &value, 2);
  }

private:
  int64_t stride;
  std::vector<uint8_t> memory;
};

/// A compiled product for one number of tokens.
struct Product {
  std::unique_ptr<CompiledModule> code;
  void *function;
  std::vector<float> x, y;
};

} // namespace

/// A layer's product as MLIR, its planes as arguments.
static std::string writeSource(const Weight &w, int64_t tokens) {
  DialectRegistry registry;
  registry.insert<CQDialect>();
  MLIRContext context(registry);
  context.loadDialect<CQDialect>();
  std::string text;
  llvm::raw_string_ostream os(text);
  auto tensor = [](int64_t size, StringRef element) {
    return llvm::formatv("tensor<{0}x{1}>", size, element).str();
  };
  int64_t entries = w.layout.scaleEntries(w.n, w.k, w.scheme);
  std::string codes = tensor(w.layout.codeBytes(w.n, w.k), "i8");
  std::string scales =
      tensor(entries, w.scheme.scaleType == ScaleType::F32    ? "f32"
                      : w.scheme.scaleType == ScaleType::BF16 ? "bf16"
                                                              : "f16");
  std::string zeros = tensor(entries, "i8");
  bool hasCherries = w.cherries.form != CherryForm::None;
  std::string columns, deltas;
  if (hasCherries) {
    columns = tensor(w.cherries.numColumns(w.n, w.k),
                     w.cherries.columnBytes() == 1 ? "i8" : "i16");
    deltas = tensor(w.cherries.numDeltas(w.n, w.k), "f16");
  }
  std::string x = llvm::formatv("tensor<{0}x{1}xf32>", tokens, w.k);
  std::string y = llvm::formatv("tensor<{0}x{1}xf32>", tokens, w.n);
  os << "func.func @product(%x: " << x << ", %codes: " << codes
     << ", %scales: " << scales;
  if (w.scheme.hasZeroPoints())
    os << ", %zeros: " << zeros;
  if (hasCherries)
    os << ", %columns: " << columns << ", %deltas: " << deltas;
  os << ") -> " << y << " {\n  %e = tensor.empty() : " << y
     << "\n  %y = cq.matmul x(%x : " << x << ") codes(%codes : " << codes
     << ") scales(%scales : " << scales << ")";
  if (w.scheme.hasZeroPoints())
    os << " zeros(%zeros : " << zeros << ")";
  if (hasCherries)
    os << " cherries(%columns, %deltas : " << columns << ", " << deltas << ")";
  os << " outs(%e : " << y
     << ") {scheme = " << SchemeAttr::get(&context, w.scheme)
     << ", layout = " << LayoutAttr::get(&context, w.layout);
  if (hasCherries)
    os << ", cherries = " << CherriesAttr::get(&context, w.cherries);
  os << ", mode = #cq.activation<f32>} -> " << y << "\n  return %y : " << y
     << "\n}\n";
  return text;
}

static llvm::Expected<Product> compileProduct(const Weight &w, int64_t tokens) {
  ExecutionOptions options;
  options.activation = "int8";
  auto code =
      CompiledModule::compileSource(writeSource(w, tokens), "product", options);
  if (!code)
    return code.takeError();
  auto function = (*code)->lookup("product");
  if (!function)
    return function.takeError();
  Product product{std::move(*code), *function, {}, {}};
  std::mt19937 random(3);
  product.x.resize(tokens * w.k);
  for (float &value : product.x)
    value = static_cast<float>(random() % 2001) / 1000 - 1;
  product.y.resize(tokens * w.n);
  return product;
}

namespace {
/// The planes of all copies of a weight.
class Copies {
public:
  Copies(const Weight &w, int64_t count) : w(w), count(count) {
    std::mt19937 random(7);
    auto add = [&](int64_t bytes) -> Plane & {
      return planes.emplace_back(bytes, count);
    };
    planes.reserve(5);
    add(w.bytes.codes).fill(random);
    add(w.bytes.scales).fillHalves(0x2000); // small, whatever the type
    if (w.scheme.hasZeroPoints())
      add(w.bytes.zeros).fill(random);
    if (w.cherries.form == CherryForm::None)
      return;
    Plane &columns = add(w.bytes.cherryColumns);
    if (w.cherries.columnBytes() == 1)
      columns.fill(random);
    else // kernels clamp columns to K
      columns.fillHalves(static_cast<uint16_t>(w.k / 2));
    add(w.bytes.cherryDeltas).fillHalves(0x2000);
  }

  void call(Product &product, int64_t copy) {
    void *a[5] = {};
    for (size_t i = 0; i < planes.size(); ++i)
      a[i] = planes[i].at(copy % count);
    void *x = product.x.data(), *y = product.y.data(), *f = product.function;
    using P = void *;
    switch (planes.size()) {
    case 2:
      return reinterpret_cast<void (*)(P, P, P, P, P)>(f)(nullptr, x, a[0],
                                                          a[1], y);
    case 3:
      return reinterpret_cast<void (*)(P, P, P, P, P, P)>(f)(nullptr, x, a[0],
                                                             a[1], a[2], y);
    case 4:
      return reinterpret_cast<void (*)(P, P, P, P, P, P, P)>(f)(
          nullptr, x, a[0], a[1], a[2], a[3], y);
    default:
      return reinterpret_cast<void (*)(P, P, P, P, P, P, P, P)>(f)(
          nullptr, x, a[0], a[1], a[2], a[3], a[4], y);
    }
  }

  const Weight &w;
  int64_t count;
  std::vector<Plane> planes;
};

struct Case {
  ProductResult result;
  Product *product;
  Copies *copies;
  int64_t calls = 1, next = 0;
  std::vector<double> samples;

  double run() {
    double start = now();
    for (int64_t i = 0; i < calls; ++i)
      copies->call(*product, next++);
    return (now() - start) / calls;
  }
};
} // namespace

static llvm::Error
benchWeight(const Weight &w, const ProductBenchOptions &options,
            ReadBandwidth &reads,
            llvm::function_ref<void(const ProductResult &)> report) {
  std::vector<Product> products;
  for (int64_t tokens : options.tokens) {
    auto product = compileProduct(w, tokens);
    if (!product)
      return product.takeError();
    products.push_back(std::move(*product));
  }
  constexpr int64_t kRotating = 256 << 20;
  Copies one(w, 1);
  Copies many(w, options.rotating ? 1 + kRotating / w.bytes.total() : 1);
  std::vector<Case> cases;
  for (int threads : options.threads)
    for (Product &product : products)
      for (bool rotating : {false, true}) {
        if (!(rotating ? options.rotating : options.resident))
          continue;
        Case c{{}, &product, rotating ? &many : &one, 1, 0, {}};
        c.result.n = w.n;
        c.result.k = w.k;
        c.result.tokens = static_cast<int64_t>(product.y.size()) / w.n;
        c.result.scheme = w.scheme;
        c.result.threads = threads;
        c.result.rotating = rotating;
        c.result.weightBytes = w.bytes.total();
        cases.push_back(std::move(c));
      }
  for (Case &c : cases) {
    cq_set_threads(c.result.threads);
    c.run();
    c.calls =
        std::max<int64_t>(1, static_cast<int64_t>(options.seconds / c.run()));
  }
  // Everything once a round: what slows one slows all.
  std::map<int, std::vector<double>> bandwidth, multipliers;
  for (unsigned round = 0; round < options.rounds; ++round) {
    for (int threads : options.threads) {
      cq_set_threads(threads);
      bandwidth[threads].push_back(reads.measure());
      multipliers[threads].push_back(measureMultipliers());
    }
    for (Case &c : cases) {
      cq_set_threads(c.result.threads);
      c.samples.push_back(c.run());
    }
  }
  for (Case &c : cases) {
    c.result.time = Times::of(c.samples);
    c.result.readBandwidth = Times::of(bandwidth[c.result.threads]).median;
    c.result.multipliers = Times::of(multipliers[c.result.threads]).median;
    report(c.result);
  }
  return llvm::Error::success();
}

llvm::Error
mlir::cq::benchProducts(const ProductBenchOptions &options,
                        std::function<void(const ProductResult &)> report) {
  ReadBandwidth reads;
  int before = cq_threads();
  for (auto [n, k] : options.shapes)
    for (const Scheme &scheme : options.schemes) {
      Weight w{n,
               k,
               scheme,
               Layout::uniform(LayoutKind::Panel16, n, scheme.bits),
               options.cherries == CherryForm::None
                   ? CherrySpec()
                   : CherrySpec::fromRatio(options.cherries, 1.0 / 256, k),
               {}};
      w.bytes = planeBytes(n, k, scheme, w.layout, w.cherries);
      if (llvm::Error error = benchWeight(w, options, reads, report))
        return error;
    }
  cq_set_threads(before);
  return llvm::Error::success();
}
