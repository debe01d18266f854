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

/// --threads, --target-cpu, --activation, --no-fuse, --no-cache.
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
                llvm::cl::desc("Compile anew, leave the cache alone"),
                llvm::cl::sub(command), llvm::cl::cat(category)) {}

  LanguageModelOptions get() const {
    LanguageModelOptions result;
    result.threads = threads;
    result.targetCPU = targetCPU;
    result.activation = activation;
    result.fuse = !noFuse;
    result.useCache = !noCache;
    return result;
  }

private:
  llvm::cl::opt<unsigned> threads;
  llvm::cl::opt<std::string> targetCPU;
  llvm::cl::opt<std::string> activation;
  llvm::cl::opt<bool> noFuse, noCache;
};

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_MODELOPTIONS_H
