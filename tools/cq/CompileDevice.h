//===- CompileDevice.h - cq compile --target=nvptx --------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_COMPILEDEVICE_H
#define CQ_TOOLS_CQ_COMPILEDEVICE_H

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Error.h"

namespace mlir::cq::tool {

/// Adds the flags of --target=nvptx to a verb, before the command line is read.
void registerDeviceOptions(llvm::cl::SubCommand &command,
                           llvm::cl::OptionCategory &category);

/// Writes kernels that the flags name, and a description beside them.
llvm::Error compileDevice(llvm::StringRef output);

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_COMPILEDEVICE_H
