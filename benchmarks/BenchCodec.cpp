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
static cl::OptionCategory category("cq-bench-codec options");

static cl::opt<int64_t> rows("rows", cl::init(4096),
                             cl::desc("rows of the weight"), cl::cat(category));
static cl::opt<int64_t> columns("columns", cl::init(4096),
                                cl::desc("columns of the weight"),
                                cl::cat(category));
static cl::list<std::string>
    schemes("schemes", cl::CommaSeparated,
            cl::desc("schemes to measure (default: a selection)"),
            cl::cat(category));
static cl::list<unsigned> threadCounts("thread-counts", cl::CommaSeparated,
                                       cl::desc("thread counts (default 1,2)"),
                                       cl::cat(category));
static cl::opt<bool>
    gptqOnly("gptq",
             cl::desc("measure gptq on the seven weights of a SmolLM2 block "
                      "instead, given the second moments of their inputs"),
             cl::cat(category));
static cl::opt<unsigned> sweeps("sweeps", cl::init(GPTQOptions().sweeps),
                                cl::desc("sweeps of gptq (with --gptq)"),
                                cl::cat(category));
static cl::opt<int> repeats("repeats", cl::init(3),
                            cl::desc("runs a measurement; the best counts"),
                            cl::cat(category));

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

/// Numbers in (−1, 1) of one seed, around 0.
static std::vector<float> randomNumbers(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> numbers(count);
  for (float &x : numbers)
    x = static_cast<float>(static_cast<int32_t>(random()) >> 8) * 0x1p-23f;
  return numbers;
}

/// Second moments of inputs that neighbouring columns share.
static std::vector<double> randomMoments(int64_t k) {
  std::vector<double> packed;
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = i; j < k; ++j)
      packed.push_back(1.0 / static_cast<double>(1 + j - i));
  return packed;
}

/// Seconds for the 210 linear layers of SmolLM2-135M.
static int measureGPTQ() {
  struct Input {
    int64_t k;
    std::vector<int64_t> rows; ///< of the weights that read it
  };
  const Input inputs[] = {
      {576, {576, 192, 192}}, {576, {576}}, {576, {1536, 1536}}, {1536, {576}}};
  if (schemes.empty())
    schemes.push_back("b3-g128");
  llvm::outs() << "30 blocks of SmolLM2-135M, seconds\n"
               << "scheme                 threads   factorise      gptq   "
                  "core-s of both\n";
  for (const std::string &text : schemes)
    for (unsigned threads : threadCounts) {
      Scheme scheme = llvm::cantFail(Scheme::parse(text));
      Timing factorise{0, 0}, quantize{0, 0};
      for (const Input &input : inputs) {
        std::vector<double> gram = randomMoments(input.k);
        std::optional<SecondMoments> moments;
        Timing timing = measure([&] {
          moments = llvm::cantFail(
              SecondMoments::factorise(gram, input.k, {}, threads));
        });
        factorise.wall += timing.wall, factorise.core += timing.core;
        for (int64_t n : input.rows) {
          std::vector<float> w = randomNumbers(n * input.k, 2);
          QuantizerInputs options;
          options.threads = threads;
          options.moments = &*moments;
          options.gptq.sweeps = sweeps;
          CherryPositions cherries = llvm::cantFail(
              selectCherries(w.data(), n, input.k, {CherryForm::Slot, 1},
                             CherryCriterion::Magnitude, scheme));
          timing = measure([&] {
            llvm::cantFail(quantizeWeight(w.data(), n, input.k, scheme,
                                          QuantizerKind::GPTQ, &cherries,
                                          options));
          });
          quantize.wall += timing.wall, quantize.core += timing.core;
        }
      }
      llvm::outs() << llvm::format("%-22s %7u %11.2f %9.2f %16.2f\n",
                                   text.c_str(), threads, 30 * factorise.wall,
                                   30 * quantize.wall,
                                   30 * (factorise.core + quantize.core));
      llvm::outs().flush();
    }
  return 0;
}

int main(int argc, char **argv) {
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(argc, argv, "Speed of cq's codec\n");
  if (threadCounts.empty()) {
    threadCounts.push_back(1);
    threadCounts.push_back(2);
  }
  if (gptqOnly)
    return measureGPTQ();
  if (schemes.empty())
    for (const char *scheme :
         {"b2-g64", "b3-g64", "b3-g128", "b3-g32", "b4-g128", "b6-g128",
          "b8-row", "b3-g128-affine", "b3-g128-half-step"})
      schemes.push_back(scheme);
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
                                           cherries,
                                           {columnWeights.data(), threads}));
    };
    QuantizedWeight q;
    for (unsigned threads : threadCounts) {
      for (QuantizerKind kind : {QuantizerKind::RTN, QuantizerKind::MSE})
        print(stringifyQuantizerKind(kind).str(), text, threads,
              measure([&] { q = quantize(kind, threads, nullptr); }));
      CherryPositions cherries;
      print("select slot", text, threads, measure([&] {
              cherries = llvm::cantFail(selectCherries(
                  w.data(), n, k, {CherryForm::Slot, 1},
                  CherryCriterion::QuantError, *scheme,
                  {columnWeights.data(), nullptr, nullptr, threads}));
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
