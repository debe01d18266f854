//===- BenchCodec.cpp - Weights per second of the codec -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// cq-bench-codec: quantizing, packing and unpacking in millions of weights a
// second. Weights are drawn from a fixed seed and reused, so that memory stays
// small.

#include "cq/Codec/Quantizer.h"
#include "cq/Codec/ReferenceGemm.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <ctime>
#include <random>

using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::opt<int64_t> rows("rows", cl::init(4096),
                             cl::desc("rows of the weight"));
static cl::opt<int64_t> columns("columns", cl::init(4096),
                                cl::desc("columns of the weight"));
static cl::list<std::string>
    schemes("schemes", cl::CommaSeparated,
            cl::desc("schemes to measure (default: a selection)"));
static cl::list<unsigned> threadCounts("thread-counts", cl::CommaSeparated,
                                       cl::desc("thread counts (default 1,2)"));
static cl::opt<int> repeats("repeats", cl::init(3),
                            cl::desc("runs a measurement; the best counts"));

/// The fastest run: seconds by the wall, and of all cores together. The second
/// tells how fast a busy machine would be were it idle.
struct Timing {
  double wall = 1e30, core = 1e30;
};
template <typename Body> static Timing measure(Body body) {
  Timing best;
  for (int i = 0; i < repeats; ++i) {
    auto start = std::chrono::steady_clock::now();
    std::clock_t cpu = std::clock();
    body();
    best.core = std::min(best.core, static_cast<double>(std::clock() - cpu) /
                                        CLOCKS_PER_SEC);
    std::chrono::duration<double> wall =
        std::chrono::steady_clock::now() - start;
    best.wall = std::min(best.wall, wall.count());
  }
  return best;
}

static void print(const std::string &what, const std::string &scheme,
                  unsigned threads, Timing timing) {
  double weights =
      static_cast<double>(rows) * static_cast<double>(columns) * 1e-6;
  llvm::outs() << llvm::format("%-18s %-22s %7u %12.1f %18.1f\n", what.c_str(),
                               scheme.c_str(), threads, weights / timing.wall,
                               weights / timing.core);
  llvm::outs().flush();
}

int main(int argc, char **argv) {
  cl::ParseCommandLineOptions(argc, argv, "Speed of cq's codec\n");
  if (schemes.empty())
    for (const char *scheme :
         {"b2-g64", "b3-g64", "b3-g128", "b3-g32", "b4-g128", "b6-g128",
          "b8-row", "b3-g128-affine", "b3-g128-half-step"})
      schemes.push_back(scheme);
  if (threadCounts.empty()) {
    threadCounts.push_back(1);
    threadCounts.push_back(2);
  }
  int64_t n = rows, k = columns;
  if (n <= 0 || k <= 0) {
    llvm::errs() << "cq-bench-codec: rows and columns have to be positive\n";
    return 1;
  }
  std::mt19937 random(1);
  std::vector<float> w(n * k), columnWeights(k);
  for (float &x : w)
    x = static_cast<float>(static_cast<int32_t>(random()) >> 8) * 0x1p-26f +
        static_cast<float>(static_cast<int32_t>(random()) >> 8) * 0x1p-26f;
  for (float &x : columnWeights)
    x = static_cast<float>(random() >> 8) * 0x1p-24f;

  llvm::outs() << "what               scheme                 threads   "
                  "Mweights/s   Mweights/core-s\n";
  for (const std::string &text : schemes) {
    llvm::Expected<Scheme> scheme = Scheme::parse(text);
    if (!scheme) {
      llvm::errs() << "cq-bench-codec: " << llvm::toString(scheme.takeError())
                   << "\n";
      return 1;
    }
    auto quantize = [&](QuantizerKind kind, unsigned threads,
                        const CherryPositions *cherries) {
      return llvm::cantFail(quantizeWeight(w.data(), n, k, *scheme, kind,
                                           cherries, columnWeights.data(),
                                           threads));
    };
    QuantizedWeight q;
    for (unsigned threads : threadCounts) {
      for (QuantizerKind kind : {QuantizerKind::RTN, QuantizerKind::MSE})
        print(stringifyQuantizerKind(kind).str(), text, threads,
              measure([&] { q = quantize(kind, threads, nullptr); }));
      CherryPositions cherries;
      print("select slot", text, threads, measure([&] {
              cherries = llvm::cantFail(
                  selectCherries(w.data(), n, k, {CherryForm::Slot, 1},
                                 CherryCriterion::QuantError, *scheme,
                                 columnWeights.data(), nullptr, threads));
            }));
      print("mse with slot", text, threads,
            measure([&] { quantize(QuantizerKind::MSE, threads, &cherries); }));
      std::vector<float> out(w.size());
      print("dequantize", text, threads, measure([&] {
              dequantizeWeight(q, nullptr, out.data(), threads);
            }));
    }
    for (LayoutKind kind : {LayoutKind::Linear, LayoutKind::Panel16}) {
      Layout layout = Layout::uniform(kind, n, scheme->bits);
      std::vector<uint8_t> packed(layout.codeBytes(n, k)), codes(n * k);
      std::string name = stringifyLayoutKind(kind).str();
      print("pack " + name, text, 1,
            measure([&] { layout.pack(q.codes.data(), n, k, packed.data()); }));
      print("unpack " + name, text, 1,
            measure([&] { layout.unpack(packed.data(), n, k, codes.data()); }));
    }
  }
  return 0;
}
