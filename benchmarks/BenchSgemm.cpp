//===- BenchSgemm.cpp - Generated f32 products beside OpenBLAS ------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// cq-bench-sgemm [--num-threads=N] [MxNxK…]: C = X · Wᵀ with X [M, K], W [N,
// K]. Runs of both alternate, so that both see the same machine; the best of
// each counts. OpenBLAS is opened at run time (libopenblas.so.0); without it
// only ours is timed.
//
//===----------------------------------------------------------------------===//

#include "cq/Execution/CompiledModule.h"
#include "cq/Runtime/Runtime.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <cmath>
#include <dlfcn.h>
#include <random>

using namespace mlir::cq;
static llvm::cl::OptionCategory category("cq-bench-sgemm options");

static llvm::cl::list<std::string> shapes(llvm::cl::Positional,
                                          llvm::cl::desc("<MxNxK>…"),
                                          llvm::cl::cat(category));
static llvm::cl::opt<int> threads("num-threads", llvm::cl::init(1),
                                  llvm::cl::desc("Threads of both"),
                                  llvm::cl::cat(category));
static llvm::cl::opt<double> seconds("bench-seconds", llvm::cl::init(1.0),
                                     llvm::cl::desc("Time spent on a shape"),
                                     llvm::cl::cat(category));

namespace {
using Product = void(void **, const float *, const float *, float *);
using Sgemm = void(int, int, int, int, int, int, float, const float *, int,
                   const float *, int, float, float *, int);

double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string getSource(int64_t m, int64_t n, int64_t k) {
  return llvm::formatv(
      R"(func.func @product(%x: tensor<{0}x{2}xf32>, %w: tensor<{1}x{2}xf32>) -> tensor<{0}x{1}xf32> {{
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<{0}x{1}xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<{0}x{1}xf32>) -> tensor<{0}x{1}xf32>
  %y = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
    ins(%x, %w : tensor<{0}x{2}xf32>, tensor<{1}x{2}xf32>) outs(%f : tensor<{0}x{1}xf32>) -> tensor<{0}x{1}xf32>
  return %y : tensor<{0}x{1}xf32>
})",
      m, n, k);
}
} // namespace

int main(int argc, char **argv) {
  llvm::cl::HideUnrelatedOptions(category);
  llvm::cl::ParseCommandLineOptions(argc, argv);
  llvm::ExitOnError check("cq-bench-sgemm: ");
  if (shapes.empty())
    for (const char *shape :
         {"1x576x576", "1x1536x576", "8x1536x576", "64x1536x576", "512x576x576",
          "512x1536x576", "512x576x1536", "2048x2048x2048"})
      shapes.push_back(shape);
  void *library = dlopen("libopenblas.so.0", RTLD_NOW);
  auto *sgemm = library
                    ? reinterpret_cast<Sgemm *>(dlsym(library, "cblas_sgemm"))
                    : nullptr;
  if (library)
    if (void *set = dlsym(library, "openblas_set_num_threads"))
      reinterpret_cast<void (*)(int)>(set)(threads);
  cq_set_threads(threads);

  llvm::outs()
      << "threads " << threads << (sgemm ? "" : " (no OpenBLAS)") << '\n'
      << "shape                cq GFLOP/s  openblas   ratio   max error\n";
  for (const std::string &shape : shapes) {
    int64_t m, n, k;
    auto [first, rest] = llvm::StringRef(shape).split('x');
    auto [second, third] = rest.split('x');
    if (first.getAsInteger(10, m) || second.getAsInteger(10, n) ||
        third.getAsInteger(10, k) || m < 1 || n < 1 || k < 1) {
      llvm::errs() << "cq-bench-sgemm: '" << shape << "' is not MxNxK\n";
      return 1;
    }
    ExecutionOptions options;
    options.useCache = false;
    auto module = check(
        CompiledModule::compileSource(getSource(m, n, k), shape, options));
    auto *product = check(module->get<Product>("product"));
    std::mt19937 random(1);
    std::uniform_real_distribution<float> distribution(-1, 1);
    std::vector<float> x(m * k), w(n * k), ours(m * n), theirs(m * n);
    for (float &v : x)
      v = distribution(random);
    for (float &v : w)
      v = distribution(random);
    double best = 1e30, bestOther = 1e30, end = now() + seconds;
    int runs = 0;
    do {
      double t0 = now();
      product(nullptr, x.data(), w.data(), ours.data());
      double t1 = now();
      best = std::min(best, t1 - t0);
      if (!sgemm)
        continue;
      t1 = now();
      sgemm(101, 111, 112, m, n, k, 1.0f, x.data(), k, w.data(), k, 0.0f,
            theirs.data(), n); // row major, X, Wᵀ
      bestOther = std::min(bestOther, now() - t1);
    } while (++runs < 3 || now() < end);
    double flops = 2.0 * m * n * k, error = 0;
    for (size_t i = 0; sgemm && i < ours.size(); ++i)
      error = std::max<double>(error, std::abs(ours[i] - theirs[i]));
    llvm::outs() << llvm::left_justify(shape, 20)
                 << llvm::format("%11.1f", flops / best * 1e-9);
    if (sgemm)
      llvm::outs() << llvm::format("%10.1f%8.2f%12.2g",
                                   flops / bestOther * 1e-9, bestOther / best,
                                   error);
    llvm::outs() << '\n';
  }
  return 0;
}
