//===- AheadOfTime.h - A language model as a C library ----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The library holds code and a table of offsets into the weights file, which
// its `<name>_open` maps; programs link it with libcq_runtime alone.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_EXECUTION_AHEADOFTIME_H
#define CQ_EXECUTION_AHEADOFTIME_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace mlir::cq {

struct LibraryOptions {
  std::string output; ///< <lib>.so or <lib>.o
  std::string name;   ///< prefix of the C functions; empty: from `output`
  /// As clang's -march, several with commas; empty: this machine's.
  std::string targetCPU;
  /// Of packed products: "int8", "f32"; empty = as the plan wrote them.
  std::string activation;
  bool fuse = true; ///< launches put together; results are the same
  /// Kernels of a shared library come from the cache of `cq run` and go there.
  bool useCache = true;
};

struct CompiledLibrary {
  std::string name, library, header, weights;
  bool wroteWeights = false; ///< or the model's own file is mapped as it is
  /// The code for one CPU: its name, what it needs, with spaces, and what names
  /// of functions end in.
  struct Code {
    std::string cpu, features, suffix;
    bool isHost = false; ///< this machine, which may lack what its name says
  };
  std::vector<Code> codes; ///< the best first
};

/// Compiles the language model at `path` (as LanguageModel::load takes it).
/// Writes the library, its header and, where the model's own file cannot be
/// mapped (other element types, several files), the weights beside it. Errors:
/// no such model, no such CPU, no linker, files that cannot be written.
llvm::Expected<CompiledLibrary> compileLibrary(llvm::StringRef path,
                                               const LibraryOptions &options);

} // namespace mlir::cq

#endif // CQ_EXECUTION_AHEADOFTIME_H
