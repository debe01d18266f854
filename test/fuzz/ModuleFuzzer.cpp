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
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/ErrorHandling.h"
#include <csetjmp>
#include <csignal>
#include <dlfcn.h>
#include <execinfo.h>
#include <memory>
#include <sys/time.h>

using namespace mlir;

/// Upstream's bytecode reader reserves memory on the word of a count and ends
/// the process where that is too much (docs/Safety.md). Known, and not ours:
/// back to the fuzzer, leaking what was read.
static sigjmp_buf upstream;
static void onFatalError(void *, const char *reason, bool) {
  if (llvm::StringRef(reason).starts_with("SmallVector unable to grow"))
    siglongjmp(upstream, 1);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// The same reader may not end (docs/Safety.md). After some seconds of this
/// process: back to the fuzzer where libMLIR runs without a function of ours
/// between it and the fuzzer; else libFuzzer's own clock will report a hang.
static void onTimer(int) {
  void *frames[256];
  int count = backtrace(frames, 256);
  Dl_info own, info;
  if (!dladdr(reinterpret_cast<void *>(&LLVMFuzzerTestOneInput), &own))
    return;
  // Frames up to this handler's and the kernel's are no part of it; then MLIR,
  // and no frame of ours (an allocation, a parser) until the fuzzer.
  auto self = reinterpret_cast<uintptr_t>(&onTimer);
  int first = 0;
  for (int i = 0; i < count; ++i)
    if (auto at = reinterpret_cast<uintptr_t>(frames[i]);
        at >= self && at < self + 2048)
      first = i + 2;
  bool inside = false, left = false;
  for (int i = first; i < count; ++i) {
    bool ours = dladdr(frames[i], &info) && info.dli_fbase == own.dli_fbase;
    bool mlir = !ours && llvm::StringRef(info.dli_fname).contains("libMLIR");
    if (mlir && left)
      return;
    inside |= mlir;
    left |= ours;
  }
  if (inside)
    siglongjmp(upstream, 1);
}

/// Stops the clock at every way out of an input.
namespace {
struct Timer {
  explicit Timer(int seconds) { set(seconds); }
  ~Timer() { set(0); }
  static void set(int seconds) {
    itimerval value = {{0, 200000}, {seconds, 0}};
    setitimer(ITIMER_VIRTUAL, &value, nullptr);
  }
};
} // namespace

extern "C" int LLVMFuzzerInitialize(int *, char ***) {
  llvm::install_fatal_error_handler(onFatalError);
  struct sigaction action = {};
  action.sa_handler = onTimer;
  sigaction(SIGVTALRM, &action, nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  // Deep nesting overflows the stack of MLIR's own parser.
  // Upstream's lexer wants a zero byte behind the text, as our readers give it.
  std::string text(reinterpret_cast<const char *>(data), size);
  if (llvm::count_if(text, [](char c) {
        return llvm::StringRef("<[({").contains(c);
      }) > 2000)
    return 0;
  auto *held = new MLIRContext(MLIRContext::Threading::DISABLED);
  Timer timer(3);
  if (sigsetjmp(upstream, /*savesigs=*/1))
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
