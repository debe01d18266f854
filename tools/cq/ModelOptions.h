//===- ModelOptions.h - Options of every verb that runs a model -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_MODELOPTIONS_H
#define CQ_TOOLS_CQ_MODELOPTIONS_H

#include "cq/Execution/LanguageModel.h"
#include "llvm/Support/CommandLine.h"

namespace mlir::cq::tool {

/// --threads, --target-cpu, --activation, --no-fuse, --no-cache, --target,
/// --device.
class ModelOptions {
public:
  ModelOptions(llvm::cl::SubCommand &command,
               llvm::cl::OptionCategory &category)
      : threads("threads", llvm::cl::init(0),
                llvm::cl::desc("CPU threads (default: all)"),
                llvm::cl::sub(command), llvm::cl::cat(category)),
        targetCPU("target-cpu",
                  llvm::cl::desc("Compile for this CPU (LLVM's name; default: "
                                 "the one at hand)"),
                  llvm::cl::sub(command), llvm::cl::cat(category)),
        activation("activation",
                   llvm::cl::desc("How packed products read activations: int8 "
                                  "or f32 (default: as the plan says)"),
                   llvm::cl::sub(command), llvm::cl::cat(category)),
        noFuse("no-fuse",
               llvm::cl::desc("One launch for each product (to compare; "
                              "results are the same)"),
               llvm::cl::sub(command), llvm::cl::cat(category)),
        noCache("no-cache",
                llvm::cl::desc("Compile anew, leave the cache of compiled "
                               "code alone ($CQ_CACHE_POLICY bounds it: "
                               "cache_size_bytes=512m:prune_after=720h)"),
                llvm::cl::sub(command), llvm::cl::cat(category)),
        target("target",
               llvm::cl::desc("cuda: run on an NVIDIA GPU (default: the CPU)"),
               llvm::cl::sub(command), llvm::cl::cat(category)),
        device("device",
               llvm::cl::desc(
                   "interpreter, interpreter-sm_90a: run the kernels of "
                   "--target=cuda without a GPU, slowly"),
               llvm::cl::sub(command), llvm::cl::cat(category)) {}

  LanguageModelOptions get() const {
    LanguageModelOptions result;
    result.threads = threads;
    result.targetCPU = targetCPU;
    result.activation = activation;
    result.fuse = !noFuse;
    result.useCache = !noCache;
    result.target = target;
    result.device = device;
    return result;
  }

private:
  llvm::cl::opt<unsigned> threads;
  llvm::cl::opt<std::string> targetCPU;
  llvm::cl::opt<std::string> activation;
  llvm::cl::opt<bool> noFuse, noCache;
  llvm::cl::opt<std::string> target;
  llvm::cl::opt<std::string> device;
};

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_MODELOPTIONS_H
