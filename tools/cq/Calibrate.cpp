//===- Calibrate.cpp - cq calibrate: measure a model on text ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CalibrationRun.h"
#include "CalibrationTextArguments.h"
#include "Verbs.h"
#include "cq/Support/Diagnostics.h"

using namespace mlir::cq;
namespace cl = llvm::cl;
using llvm::Error;

static cl::SubCommand
    command("calibrate",
            "Runs a model on text and measures, once, what quantizers ask: "
            "inputs of layers, impact of weights, likeness of blocks");
static cl::OptionCategory options("calibrate options");
static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<module made by cq import>"),
                                  cl::sub(command), cl::cat(options));
static cl::opt<std::string> output("o", cl::value_desc("file.stats"),
                                   cl::desc("Where the statistics go"),
                                   cl::sub(command), cl::cat(options));
static tool::CalibrationTextArguments
    textArguments(command, options, "Text to calibrate on", "the model", 16);
static cl::opt<std::string> partText(
    "part", cl::value_desc("i/n"),
    cl::desc("Run only the i-th of n parts of the sequences; `cq stats "
             "merge` joins them"),
    cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    fisherText("fisher", cl::init("sequence"),
               cl::desc("Impact of weights, from squared gradients: sequence "
                        "(default; of a whole sequence), token, or none"),
               cl::sub(command), cl::cat(options));
static cl::list<std::string>
    only("only", cl::value_desc("regex"),
         cl::desc("Weights to measure the impact of (default: all that "
                  "products alone read)"),
         cl::sub(command), cl::cat(options));
static cl::opt<bool>
    noMoments("no-moments", cl::desc("Leave out the moments of layers' inputs"),
              cl::sub(command), cl::cat(options));
static cl::opt<bool>
    gram("gram", cl::desc("Also XᵀX of layers' inputs, for the gptq quantizer"),
         cl::sub(command), cl::cat(options));
static cl::opt<bool>
    dryRun("dry-run", cl::desc("Say what would be measured and what it takes"),
           cl::sub(command), cl::cat(options));
static cl::opt<bool>
    fresh("fresh", cl::desc("Do not go on from an interrupted calibration"),
          cl::sub(command), cl::cat(options));
static cl::opt<double>
    saveEvery("save-every", cl::init(60), cl::value_desc("seconds"),
              cl::desc("How often sums are saved, to go on from (default 60)"),
              cl::sub(command), cl::cat(options));
static cl::opt<unsigned> threads("threads", cl::init(0),
                                 cl::desc("CPU threads (default: all)"),
                                 cl::sub(command), cl::cat(options));
static cl::opt<std::string>
    targetCPU("target-cpu",
              cl::desc("Compile for this CPU (LLVM's name; default: the one at "
                       "hand)"),
              cl::sub(command), cl::cat(options));
static cl::opt<bool> noCache("no-cache",
                             cl::desc("Compile anew, leave the cache alone"),
                             cl::sub(command), cl::cat(options));

static Error run() {
  if (output.empty() && !dryRun)
    return fail("say with -o where the statistics go");
  tool::CalibrationRun run;
  run.model = input;
  run.output = output;
  run.part = partText;
  run.fisher = fisherText;
  run.only.assign(only.begin(), only.end());
  run.moments = !noMoments;
  run.gram = gram;
  run.dryRun = dryRun;
  run.fresh = fresh;
  run.saveEvery = saveEvery;
  run.threads = threads;
  run.targetCPU = targetCPU;
  run.useCache = !noCache;
  return tool::calibrate(run, textArguments);
}

tool::Verb tool::calibrateVerb() { return {&command, &options, &run}; }
