//===- Verbs.h - The verbs of the cq driver ---------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// A verb is a subcommand with its own file: options at the top, one function
// that does the work over the libraries. The driver owns nothing else.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_VERBS_H
#define CQ_TOOLS_CQ_VERBS_H

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Error.h"
#include <vector>

namespace mlir::cq::tool {

/// One verb: `cq <command> …` calls `run` after the options are parsed.
struct Verb {
  llvm::cl::SubCommand *command;
  llvm::cl::OptionCategory *options; ///< what `cq <command> --help` shows
  llvm::Error (*run)();
};

Verb importVerb();
Verb calibrateVerb();
Verb measureVerb();
Verb planVerb();
Verb quantizeVerb();
Verb tuneVerb();
Verb runVerb();
Verb compileVerb();
Verb benchVerb();
Verb solveVerb();
Verb evalVerb();
Verb inspectVerb();
Verb exportVerb();
Verb statsVerb();
Verb reportVerb();

/// argv[0], for finding files beside the program.
extern const char *programPath;

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_VERBS_H
