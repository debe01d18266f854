//===- ImportedModule.h - A module and passes over it -----------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TOOLS_CQ_IMPORTEDMODULE_H
#define CQ_TOOLS_CQ_IMPORTEDMODULE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>

namespace mlir {
class ModuleOp;
} // namespace mlir

namespace mlir::cq::tool {

/// Text of a pipeline's options, in the order in which they are added.
class PipelineOptions {
public:
  /// Those without a value are left out: the pipeline's default holds.
  void add(llvm::StringRef name, llvm::StringRef value);
  /// "cq-quantize{bpw=3.25 …}"
  std::string of(llvm::StringRef pipeline) const;

private:
  std::string text;
};

/// A module file (made by `cq import`) in a context of its own.
class ImportedModule {
public:
  static llvm::Expected<ImportedModule> open(llvm::StringRef path);
  ImportedModule(ImportedModule &&);
  ~ImportedModule();

  ModuleOp get() const;
  /// The archive that `cq.parameters` names; empty without.
  std::string archivePath() const;
  /// Runs "cq-quantize{…}". Where a pass fails it has said why, and the error
  /// is `failure`.
  llvm::Error run(llvm::StringRef pipeline, const llvm::Twine &failure);

private:
  struct Implementation;
  explicit ImportedModule(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation;
};

} // namespace mlir::cq::tool

#endif // CQ_TOOLS_CQ_IMPORTEDMODULE_H
