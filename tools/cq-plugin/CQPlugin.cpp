//===- CQPlugin.cpp - cq inside a stock mlir-opt --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// mlir-opt-22 --load-dialect-plugin=CQPlugin.so --load-pass-plugin=CQPlugin.so
//   --pass-pipeline='builtin.module(cq-quantize{bits=3})' model.mlir
//
//===----------------------------------------------------------------------===//

#include "cq/Pipelines/InitAll.h"
#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "mlir/Tools/Plugins/PassPlugin.h"
#include "llvm/Config/llvm-config.h"

extern "C" LLVM_ATTRIBUTE_VISIBILITY_DEFAULT
    LLVM_ATTRIBUTE_WEAK ::mlir::DialectPluginLibraryInfo
    mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "CQ", LLVM_VERSION_STRING,
          [](mlir::DialectRegistry *registry) {
            mlir::cq::registerAllDialects(*registry);
          }};
}

extern "C" LLVM_ATTRIBUTE_VISIBILITY_DEFAULT
    LLVM_ATTRIBUTE_WEAK ::mlir::PassPluginLibraryInfo
    mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "CQ", LLVM_VERSION_STRING,
          []() { mlir::cq::registerAllPasses(); }};
}
