//===- cq.cpp - The driver: one command on your own model -----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Verbs.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/WithColor.h"
#include "llvm/Support/raw_ostream.h"
#include <csignal>

using namespace mlir::cq;

const char *tool::programPath = nullptr;

static const char overview[] =
    R"(cq: makes language models smaller and faster with mixed-precision weights

  cq import smollm2.gguf -o smollm2.mlir             checkpoint -> MLIR, weights by reference
  cq calibrate smollm2.mlir -o smollm2.stats         impact of weights, inputs of layers: measured once
  cq quantize smollm2.mlir --bits=3 -o small/        plan, quantize, pack: a self-contained folder
  cq measure smollm2.mlir -o losses.jsonl            how far predictions move when one weight has fewer bits
  cq plan smollm2.mlir --bpw=3.25                    which bits for which weight, and why
  cq quantize smollm2.mlir --bpw=3.25 --calibrate -o small/   measure, decide, pack: all in one
  cq tune small/ --against smollm2.mlir -o tuned/    train it towards the model it came from
  cq run small/ --chat --prompt "Hello"              compile for this CPU, stream an answer
  cq compile small/ -o libsmall.so                   a C library with its header: no MLIR at run time
  cq eval small/ --against smollm2.mlir              perplexity and KL divergence
  cq bench --model=small/                            tokens per second; without --model: kernels alone
  cq solve problem.json                              which choice for which layer: the solver alone
  cq export small/ --to=gptq -o gptq/                other programs' files: gptq, compressed-tensors, gguf
  cq inspect FILE                                    what is in a model, checkpoint or folder
  cq stats show smollm2.stats                        what calibration measured; merge, import, export
  cq report small/ --stats=smollm2.stats -o r.html   one page: impact, bits, errors, decisions

  `cq VERB --help` explains one verb; cq-opt has every step as a pass.
)";

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  // A file-size limit is then an error of write, like a full disk, not a crash.
  std::signal(SIGXFSZ, SIG_IGN);
  tool::programPath = argv[0];
  std::vector<tool::Verb> verbs = {
      tool::importVerb(), tool::calibrateVerb(), tool::measureVerb(),
      tool::planVerb(),   tool::quantizeVerb(),  tool::tuneVerb(),
      tool::runVerb(),    tool::compileVerb(),   tool::benchVerb(),
      tool::evalVerb(),   tool::inspectVerb(),   tool::solveVerb(),
      tool::statsVerb(),  tool::reportVerb(),    tool::exportVerb()};
  if (argc < 2) {
    llvm::errs() << overview;
    return 1;
  }
  for (const tool::Verb &verb : verbs)
    llvm::cl::HideUnrelatedOptions(*verb.options, *verb.command);
  llvm::cl::ParseCommandLineOptions(argc, argv, overview);
  for (const tool::Verb &verb : verbs) {
    if (!*verb.command)
      continue;
    if (llvm::Error error = verb.run()) {
      llvm::handleAllErrors(std::move(error), [](const llvm::ErrorInfoBase &e) {
        llvm::WithColor::error(llvm::errs(), "cq") << e.message() << '\n';
      });
      return 1;
    }
    return 0;
  }
  llvm::errs() << overview;
  return 1;
}
