//===- Compile.cpp - cq compile: a model as a C library ---------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompileDevice.h"
#include "Verbs.h"
#include "cq/Execution/AheadOfTime.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/Progress.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>

using namespace mlir::cq;
namespace cl = llvm::cl;

static cl::SubCommand command(
    "compile",
    "Compiles a model ahead of time: a library with a C header\n\n"
    "  cq compile small/ -o libsmall.so\n"
    "  cc program.c libsmall.so -lcq_runtime -lm\n\n"
    "libsmall.h declares small_open(weights file), small_prefill, "
    "small_decode …;\nexamples/generate is such a program. It needs "
    "libcq_runtime, no compiler and no MLIR.\n\n"
    "  cq compile --target=nvptx --shape=4096x4096 --scheme=b3-g128 "
    "--tokens=1,16 --emit=fatbin -o kernels.fatbin\n\n"
    "writes kernels for NVIDIA GPUs and kernels.fatbin.json, which says "
    "how to launch them\n(docs/Kernels-nvidia.md); a GPU is not needed.");
static cl::OptionCategory options("compile options");
static cl::opt<std::string> input(cl::Positional, cl::Optional,
                                  cl::desc("<module or folder>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    output("o", cl::Required, cl::value_desc("lib.so"),
           cl::desc("The library; .o writes an object file to link yourself. "
                    "The header goes beside it"),
           cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    name("name", cl::value_desc("prefix"),
         cl::desc("Prefix of the C functions (default: the library's name "
                  "without lib)"),
         cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    targetCPU("target-cpu", cl::value_desc("cpu,…"),
              cl::desc("Compile for these CPUs (LLVM's names: haswell, "
                       "cascadelake, znver4; default: the one at hand). The "
                       "library runs the best code that its CPU can, and "
                       "refuses to open where that is none"),
              cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    activation("activation",
               cl::desc("How packed products read activations: int8 or f32 "
                        "(default: as the plan says)"),
               cl::sub(command), cl::cat(options));
static cl::opt<bool> noFuse("no-fuse",
                            cl::desc("One launch for each product (to compare; "
                                     "results are the same)"),
                            cl::sub(command), cl::cat(options));

static cl::opt<bool>
    noCache("no-cache",
            cl::desc("Compile all kernels anew, and keep none in the cache "
                     "(docs/Compile.md)"),
            cl::sub(command), cl::cat(options));

static cl::opt<std::string>
    target("target", cl::init("cpu"), cl::value_desc("cpu|nvptx"),
           cl::desc("cpu: a library of the model; nvptx: kernels alone"),
           cl::sub(command), cl::cat(options));

static llvm::Error run() {
  if (target == "nvptx")
    return input.empty() ? tool::compileDevice(output)
                         : fail("--target=nvptx compiles kernels, not models: "
                                "name --shape and --scheme instead of " +
                                quoted(input));
  if (target != "cpu")
    return fail("--target is cpu or nvptx, not " + quoted(target));
  if (input.empty())
    return fail("name the module or the folder to compile");
  LibraryOptions library;
  library.output = output;
  library.name = name;
  library.targetCPU = targetCPU;
  library.activation = activation;
  library.fuse = !noFuse;
  library.useCache = !noCache;
  auto start = std::chrono::steady_clock::now();
  auto compiled = compileLibrary(input, library);
  if (!compiled)
    return compiled.takeError();
  std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - start;
  auto cpus = llvm::map_range(compiled->codes,
                              [](const auto &code) { return code.cpu; });
  llvm::outs() << compiled->library << " and " << compiled->header
               << ": compiled for " << llvm::join(cpus, ", ") << " in "
               << formatSeconds(seconds.count())
               << "\nweights: " << compiled->weights
               << (compiled->wroteWeights ? " (written)"
                                          : " (the model's own file)")
               << '\n';
  return llvm::Error::success();
}

tool::Verb tool::compileVerb() {
  registerDeviceOptions(command, options);
  return {&command, &options, &run};
}
