//===- ModuleHandle.h - Contexts and modules --------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CAPI_MODULEHANDLE_H
#define CQ_LIB_CAPI_MODULEHANDLE_H

#include "cq-c/Module.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"

namespace mlir::cq::capi {

struct Context {
  Context();
  ~Context();
  std::unique_ptr<MLIRContext> mlir;
  CqDiagnosticHandler handler = nullptr;
  void *user = nullptr;
};

/// Runs a pipeline that says what it is anchored on, or one over the module.
llvm::Error runPipeline(CqModule module, llvm::StringRef pipeline);

} // namespace mlir::cq::capi

struct CqContext_ {
  std::shared_ptr<mlir::cq::capi::Context> shared;
};

struct CqModule_ {
  std::shared_ptr<mlir::cq::capi::Context> context; ///< outlives the module
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

#endif // CQ_LIB_CAPI_MODULEHANDLE_H
