//===- Bench.cpp - cq bench: products and models against the clock -*- C++
//-*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BenchDevice.h"
#include "Verbs.h"
#include "cq/Bench/MachinePeaks.h"
#include "cq/Bench/ProductBench.h"
#include "cq/Execution/LanguageModel.h"
#include "cq/Runtime/Runtime.h"
#include "cq/Support/AtomicFile.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"
#include <chrono>
#include <map>

using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::SubCommand command(
    "bench",
    "Times packed products, or a whole model, beside what this machine can "
    "do\n\n"
    "  cq bench --shapes=4096x14336 --schemes=b3-g128 --tokens=1,8,64\n"
    "  cq bench --model=small/ --threads=1,2\n"
    "  cq bench --target=cuda --shapes=8192x8192 --tokens=1,16 "
    "--json=r.json\n\n"
    "Everything is measured in turn, round by round, beside the bandwidth of "
    "plain reads and the\npeak of the byte multipliers; medians are printed. A "
    "model reads eight tokens before the\nfirst round, so that its file is "
    "mapped. On a busy machine look at ratios only.");
static cl::OptionCategory options("bench options");
static cl::list<std::string>
    shapes("shapes", cl::CommaSeparated, cl::value_desc("NxK,..."),
           cl::desc("Rows and columns of weights (default: 576x1536, 1536x576, "
                    "4096x4096)"),
           cl::sub(command), cl::cat(options));
static cl::list<std::string>
    schemes("schemes", cl::CommaSeparated, cl::value_desc("b3-g128,..."),
            cl::desc("Bits, group, grid and scales, as `cq plan` writes them "
                     "(default: b3-g128, b4-g128)"),
            cl::sub(command), cl::cat(options));
static cl::list<int64_t>
    tokenCounts("tokens", cl::CommaSeparated, cl::value_desc("M,..."),
                cl::desc("Tokens a call (default: 1,8,64)"), cl::sub(command),
                cl::cat(options));
static cl::list<int> threadCounts("threads", cl::CommaSeparated,
                                  cl::value_desc("T,..."),
                                  cl::desc("Threads (default: 1,2)"),
                                  cl::sub(command), cl::cat(options));
static cl::list<std::string> memories(
    "memory", cl::CommaSeparated, cl::value_desc("resident,rotating"),
    cl::desc("resident: one weight again and again; rotating: copies of 256 MB "
             "in turn, as the layers of a large model (default: both)"),
    cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    cherries("cherries", cl::init("none"),
             cl::desc("none, slot, column or element at a ratio of 1/256"),
             cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    modelPath("model", cl::value_desc("module or folder"),
              cl::desc("Time prefill and decode of a whole model instead"),
              cl::sub(command), cl::cat(options));
static cl::opt<int64_t> promptTokens("prompt-tokens", cl::init(256),
                                     cl::desc("of a model's prefill"),
                                     cl::sub(command), cl::cat(options));
static cl::opt<int64_t> decodeTokens("decode-tokens", cl::init(64),
                                     cl::desc("of a model's decode, after the "
                                              "prompt"),
                                     cl::sub(command), cl::cat(options));
static cl::opt<unsigned> rounds("rounds", cl::init(7),
                                cl::desc("Measurements of each (default 7)"),
                                cl::sub(command), cl::cat(options));
static cl::opt<double> seconds("seconds", cl::init(0.02),
                               cl::desc("Least time of a measurement"),
                               cl::sub(command), cl::cat(options));
static cl::opt<std::string> json("json", cl::value_desc("file"),
                                 cl::desc("Write all numbers"),
                                 cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    plot("plot", cl::value_desc("file.svg"),
         cl::desc("Draw MAC/s under bandwidth and multipliers, with the most "
                  "threads"),
         cl::sub(command), cl::cat(options));

static cl::opt<std::string>
    target("target",
           cl::desc("cuda: time products on an NVIDIA GPU, beside cuBLAS bf16"),
           cl::sub(command), cl::cat(options));
static cl::opt<int64_t> rotateBytes(
    "rotate-bytes", cl::init(int64_t(400) << 20),
    cl::desc("With --target=cuda: bytes of weights in turn (default 400 MiB, "
             "beyond any L2 cache)"),
    cl::sub(command), cl::cat(options));

static double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

static llvm::Error writeJSON(llvm::json::Array results, llvm::StringRef kind) {
  if (json.empty())
    return llvm::Error::success();
  std::string text;
  llvm::raw_string_ostream(text)
      << llvm::formatv("{0:2}\n", llvm::json::Value(llvm::json::Object{
                                      {"kind", kind},
                                      {"cpu", llvm::sys::getHostCPUName()},
                                      {"multipliers", multiplierName()},
                                      {"rounds", static_cast<int64_t>(rounds)},
                                      {"results", std::move(results)}}));
  return writeFileAtomically(json, text);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

static void print(const ProductResult &r) {
  llvm::outs() << llvm::format(
      "%6ldx%-6ld %-22s M=%-4ld %dT %-9s %9.1f us %7.1f Gw/s %7.1f GB/s "
      "%8.1f GMAC/s  %4.0f%%   %6.1f %8.1f\n",
      r.n, r.k, r.scheme.str().c_str(), r.tokens, r.threads,
      r.rotating ? "rotating" : "resident", r.time.median * 1e6,
      r.weightsPerSecond() * 1e-9, r.bytesPerSecond() * 1e-9,
      r.macsPerSecond() * 1e-9, 100 * r.shareOfLimit(), r.readBandwidth * 1e-9,
      r.multipliers * 1e-9);
  llvm::outs().flush();
}

static llvm::Expected<ProductBenchOptions> productOptions() {
  ProductBenchOptions bench;
  std::vector<std::string> texts(shapes.begin(), shapes.end());
  if (texts.empty())
    texts = {"576x1536", "1536x576", "4096x4096"};
  for (const std::string &text : texts) {
    auto [rows, columns] = llvm::StringRef(text).split('x');
    int64_t n = 0, k = 0;
    if (rows.getAsInteger(10, n) || columns.getAsInteger(10, k) || n < 1 ||
        k < 1 || n > (1 << 20) || k > (1 << 20))
      return fail("--shapes=" + text + " is not NxK, as 4096x14336");
    bench.shapes.emplace_back(n, k);
  }
  texts.assign(schemes.begin(), schemes.end());
  if (texts.empty())
    texts = {"b3-g128", "b4-g128"};
  for (const std::string &text : texts) {
    auto scheme = Scheme::parse(text);
    if (!scheme)
      return scheme.takeError();
    bench.schemes.push_back(*scheme);
  }
  bench.tokens.assign(tokenCounts.begin(), tokenCounts.end());
  if (bench.tokens.empty())
    bench.tokens = {1, 8, 64};
  for (int64_t tokens : bench.tokens)
    if (tokens < 1 || tokens > 4096)
      return fail("--tokens=" + llvm::Twine(tokens) + " is not in 1..4096");
  auto form = parseCherryForm(cherries);
  if (!form)
    return fail("--cherries=" + cherries +
                " is none of none, slot, column, element");
  bench.cherries = *form;
  if (!memories.empty()) {
    bench.resident = bench.rotating = false;
    for (const std::string &memory : memories) {
      bench.resident |= memory == "resident";
      bench.rotating |= memory == "rotating";
      if (memory != "resident" && memory != "rotating")
        return fail("--memory=" + memory + " is neither resident nor rotating");
    }
  }
  bench.rounds = std::max(1u, rounds.getValue());
  bench.seconds = seconds;
  return bench;
}

static llvm::Error runProducts(llvm::ArrayRef<int> threads) {
  auto bench = productOptions();
  if (!bench)
    return bench.takeError();
  bench->threads.assign(threads.begin(), threads.end());
  llvm::outs() << "limit: plain reads of this run (GB/s) for rotating weights, "
               << multiplierName() << " (GMAC/s)\n"
               << "                                             "
                  "        median                                       "
                  "   of limit   GB/s   GMAC/s\n";
  std::vector<ProductResult> results;
  if (llvm::Error error = benchProducts(*bench, [&](const ProductResult &r) {
        results.push_back(r);
        print(r);
      }))
    return error;
  llvm::json::Array list;
  for (const ProductResult &result : results)
    list.push_back(result.toJSON());
  if (llvm::Error error = writeJSON(std::move(list), "products"))
    return error;
  if (plot.empty())
    return llvm::Error::success();
  std::string svg =
      plotRoofline(results, *std::max_element(threads.begin(), threads.end()));
  if (svg.empty())
    return fail("--plot shows rotating weights; add --memory=rotating");
  return writeFileAtomically(plot, svg);
}

//===----------------------------------------------------------------------===//
// A model
//===----------------------------------------------------------------------===//

static llvm::Error runModel(llvm::ArrayRef<int> threads) {
  auto loaded = LanguageModel::load(modelPath);
  if (!loaded)
    return loaded.takeError();
  LanguageModel &model = **loaded;
  if (promptTokens < 1 || decodeTokens < 1 ||
      promptTokens + decodeTokens > model.context())
    return fail("--prompt-tokens and --decode-tokens need 1 to " +
                llvm::Twine(model.context()) + " positions together");
  std::vector<int32_t> prompt(promptTokens);
  for (int64_t i = 0; i < promptTokens; ++i)
    prompt[i] = static_cast<int32_t>((i * 7919 + 1) % model.vocabulary());
  std::vector<float> hidden(promptTokens * model.width()),
      logits(model.vocabulary());
  std::map<int, std::vector<double>> prefill, decode, bandwidth;
  ReadBandwidth reads;
  // What only the first pass of a process does (pages of the file are mapped,
  // threads start) is not what rounds are there to measure.
  cq_set_threads(*std::max_element(threads.begin(), threads.end()));
  if (llvm::Error error =
          model.forward(llvm::ArrayRef(prompt).take_front(8), hidden.data()))
    return error;
  for (unsigned round = 0; round < std::max(1u, rounds.getValue()); ++round)
    for (int count : threads) {
      cq_set_threads(count);
      bandwidth[count].push_back(reads.measure());
      model.reset();
      double start = now();
      if (llvm::Error error = model.forward(prompt, hidden.data()))
        return error;
      prefill[count].push_back((now() - start) / promptTokens);
      start = now();
      for (int64_t i = 0; i < decodeTokens; ++i) {
        if (llvm::Error error =
                model.forward(prompt[i % promptTokens], hidden.data()))
          return error;
        if (llvm::Error error = model.logits(hidden.data(), 1, logits.data()))
          return error;
      }
      decode[count].push_back((now() - start) / decodeTokens);
    }
  llvm::json::Array list;
  llvm::outs() << llvm::format(
      "prompt of %ld tokens, then %ld decoded; %u rounds, medians (best); code "
      "%s in %.2f s\n",
      promptTokens.getValue(), decodeTokens.getValue(), rounds.getValue(),
      model.compiledFromCache() ? "from the cache" : "compiled",
      model.compileSeconds());
  for (int count : threads) {
    Times p = Times::of(prefill[count]), d = Times::of(decode[count]),
          b = Times::of(bandwidth[count]);
    llvm::outs() << llvm::format(
        "%d threads: prefill %.1f (%.1f) tokens/s, decode %.1f (%.1f) "
        "tokens/s; reads %.1f GB/s\n",
        count, 1 / p.median, 1 / p.best, 1 / d.median, 1 / d.best,
        b.median * 1e-9);
    list.push_back(llvm::json::Object{{"threads", count},
                                      {"prefill_tokens_per_s", 1 / p.median},
                                      {"prefill_best", 1 / p.best},
                                      {"decode_tokens_per_s", 1 / d.median},
                                      {"decode_best", 1 / d.best},
                                      {"read_bandwidth", b.median}});
  }
  return writeJSON(std::move(list), "model");
}

static llvm::Error runDevice() {
  if (target != "cuda")
    return fail("--target=" + target + " is not known; there is cuda");
  if (!modelPath.empty())
    return fail("--target=cuda times products; leave out --model");
  if (shapes.empty())
    for (const char *shape :
         {"4096x4096", "8192x8192", "8192x28672", "4096x14336"})
      shapes.push_back(shape);
  if (schemes.empty())
    for (const char *scheme : {"b2-g128", "b3-g128", "b4-g128"})
      schemes.push_back(scheme);
  if (tokenCounts.empty())
    for (int64_t m : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 2048})
      tokenCounts.push_back(m);
  auto products = productOptions();
  if (!products)
    return products.takeError();
  tool::DeviceBenchOptions bench;
  for (auto [n, k] : products->shapes)
    bench.shapes.push_back({n, k});
  for (const Scheme &scheme : products->schemes)
    bench.schemes.push_back(scheme);
  bench.tokens.assign(products->tokens.begin(), products->tokens.end());
  bench.cherries = products->cherries;
  bench.rounds = products->rounds;
  bench.rotateBytes = std::max<int64_t>(rotateBytes, 0);
  bench.json = json;
  bench.plot = plot;
  return tool::benchDevice(bench);
}

static llvm::Error run() {
  if (!target.empty())
    return runDevice();
  std::vector<int> threads(threadCounts.begin(), threadCounts.end());
  if (threads.empty())
    threads = {1, 2};
  for (int count : threads)
    if (count < 1 || count > 1024)
      return fail("--threads=" + llvm::Twine(count) + " is not in 1..1024");
  return modelPath.empty() ? runProducts(threads) : runModel(threads);
}

tool::Verb tool::benchVerb() { return {&command, &options, &run}; }
