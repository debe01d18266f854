//===- Jit.cpp - Tensor programs run on buffers of the test ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Jit.h"
#include "cq/Conversion/CQToLinalg/CQToLinalg.h"
#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "llvm/Support/TargetSelect.h"

using namespace mlir;
using namespace mlir::cq::test;

std::string Program::shape(llvm::ArrayRef<int64_t> dims,
                           const std::string &element) {
  std::string result;
  for (int64_t dim : dims)
    result += std::to_string(dim) + "x";
  return result + element;
}

std::string Program::argument(const std::string &shape, const void *data) {
  std::string name = "%p" + std::to_string(pointers.size());
  arguments +=
      (pointers.empty() ? "" : ", ") + name + " : memref<" + shape + ">";
  pointers.push_back(const_cast<void *>(data));
  return name;
}

void Program::input(const std::string &name, const std::string &shape,
                    const void *data) {
  std::string from = argument(shape, data);
  inputs += "%" + name + " = bufferization.to_tensor " + from +
            " restrict : memref<" + shape + "> to tensor<" + shape + ">\n";
}

void Program::output(const std::string &name, const std::string &shape,
                     void *data) {
  std::string to = argument(shape, data);
  outputs += "bufferization.materialize_in_destination %" + name +
             " in restrict writable " + to + " : (tensor<" + shape +
             ">, memref<" + shape + ">) -> ()\n";
}

static DialectRegistry &registry() {
  static DialectRegistry *registry = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    auto *result = new DialectRegistry;
    registerAllDialects(*result);
    registerAllExtensions(*result);
    registerAllToLLVMIRTranslations(*result);
    result->insert<cq::CQDialect>();
    registerAllPasses();
    cq::registerCQToLinalgPasses();
    return result;
  }();
  return *registry;
}

std::string Program::run() {
  MLIRContext context(registry());
  std::string text = prologue + "func.func @program(" + arguments + ") {\n" +
                     inputs + body + outputs + "return\n}\n";
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
  if (!module)
    return "does not parse:\n" + text;
  PassManager manager(&context);
  const char *pipeline =
      "convert-cq-to-linalg,"
      "one-shot-bufferize{bufferize-function-boundaries},"
      "buffer-deallocation-pipeline,convert-bufferization-to-memref,"
      "convert-linalg-to-loops,expand-strided-metadata,lower-affine,"
      "convert-scf-to-cf,convert-math-to-llvm,convert-arith-to-llvm,"
      "finalize-memref-to-llvm,"
      "convert-func-to-llvm{use-bare-ptr-memref-call-conv=1},"
      "convert-cf-to-llvm,reconcile-unrealized-casts";
  if (failed(parsePassPipeline(pipeline, manager)))
    return "the pipeline does not parse";
  if (failed(manager.run(*module)))
    return "cannot be lowered:\n" + text;

  ExecutionEngineOptions options;
  StringRef libraries[] = {CQ_C_RUNNER_UTILS};
  options.sharedLibPaths = libraries;
  options.jitCodeGenOptLevel = llvm::CodeGenOptLevel::None;
  auto engine = ExecutionEngine::create(*module, options);
  if (!engine)
    return llvm::toString(engine.takeError());
  llvm::SmallVector<void *> packed;
  for (void *&pointer : pointers)
    packed.push_back(&pointer);
  if (llvm::Error error = (*engine)->invokePacked("program", packed))
    return llvm::toString(std::move(error));
  return "";
}
