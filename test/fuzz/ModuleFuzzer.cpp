//===- ModuleFuzzer.cpp - Hostile MLIR with our attributes ----------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Text and bytecode go through one parser entry, which tells them apart. Only
// the dialects that a module of ours needs are there: parsers and verifiers of
// others are not ours to test.
//

#include "cq/Dialect/CQ/IR/CQ.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/ErrorHandling.h"
#include <csetjmp>
#include <memory>

using namespace mlir;

/// Upstream's bytecode reader reserves memory on the word of a count and ends
/// the process where that is too much (docs/Safety.md). Known, and not ours:
/// back to the fuzzer, leaking what was read.
static std::jmp_buf upstream;
static void onFatalError(void *, const char *reason, bool) {
  if (llvm::StringRef(reason).starts_with("SmallVector unable to grow"))
    std::longjmp(upstream, 1);
}

extern "C" int LLVMFuzzerInitialize(int *, char ***) {
  llvm::install_fatal_error_handler(onFatalError);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  // Deep nesting overflows the stack of MLIR's own parser.
  llvm::StringRef text(reinterpret_cast<const char *>(data), size);
  if (text.count('<') + text.count('[') + text.count('(') + text.count('{') >
      2000)
    return 0;
  auto *held = new MLIRContext(MLIRContext::Threading::DISABLED);
  if (setjmp(upstream))
    return 0;
  std::unique_ptr<MLIRContext> owner(held);
  MLIRContext &context = *held;
  context.loadDialect<cq::CQDialect, arith::ArithDialect, func::FuncDialect>();
  ScopedDiagnosticHandler quiet(&context,
                                [](Diagnostic &) { return success(); });
  ParserConfig config(&context);
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, config);
  if (module) {
    std::string printed;
    llvm::raw_string_ostream os(printed);
    module->print(os);
  }
  return 0;
}
