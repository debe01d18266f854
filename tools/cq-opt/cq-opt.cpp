//===- cq-opt.cpp - mlir-opt with the cq dialect and passes ---------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// MlirOptMain in the overload that takes streams, so that `-o` is ours: the
// plain one truncates an existing output before it has read a bad input. Here
// the result goes to a temporary file that is renamed only after success.
//
//===----------------------------------------------------------------------===//

#include "cq/Pipelines/InitAll.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/ToolOutputFile.h"
#include <csignal>

using namespace mlir;

static LogicalResult fail(const llvm::Twine &message) {
  llvm::errs() << "cq-opt: " << message << '\n';
  return failure();
}

/// Runs the tool with its output in a temporary file beside `path`.
static LogicalResult
writeAtomically(StringRef path,
                llvm::function_ref<LogicalResult(llvm::raw_ostream &)> write) {
  llvm::Expected<llvm::sys::fs::TempFile> temp =
      llvm::sys::fs::TempFile::create(path + ".%%%%%%%%.tmp",
                                      llvm::sys::fs::all_read |
                                          llvm::sys::fs::owner_write);
  if (!temp)
    return fail("cannot write beside '" + path +
                "': " + llvm::toString(temp.takeError()));
  auto discard = [&](LogicalResult result) {
    llvm::consumeError(temp->discard());
    return result;
  };
  {
    llvm::raw_fd_ostream os(temp->FD, /*shouldClose=*/false);
    if (failed(write(os))) {
      os.flush();
      os.clear_error();
      return discard(failure());
    }
    os.flush();
    if (os.has_error()) {
      std::string message = os.error().message();
      os.clear_error();
      return discard(fail("cannot write '" + path + "': " + message));
    }
  }
  if (llvm::Error error = temp->keep(path))
    return fail("cannot rename the result to '" + path +
                "': " + llvm::toString(std::move(error)));
  return success();
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  // A file-size limit is then an error of write, like a full disk, not a crash.
  std::signal(SIGXFSZ, SIG_IGN);
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  // gpu-module-to-binary translates.
  registerAllGPUToLLVMIRTranslations(registry);
  registerAllPasses();
  cq::registerAllDialects(registry);
  cq::registerAllPasses();

  auto [input, output] = registerAndParseCLIOptions(
      argc, argv, "cq quantizing compiler: pass driver\n", registry);
  MlirOptMainConfig config = MlirOptMainConfig::createFromCLOptions();
  // These only print a list; nothing is read or written.
  if (config.shouldShowDialects() || config.shouldListPasses())
    return asMainReturnCode(MlirOptMain(argc, argv, input, "-", registry));

  std::string message;
  std::unique_ptr<llvm::MemoryBuffer> buffer = openInputFile(input, &message);
  if (!buffer)
    return asMainReturnCode(fail(message));
  auto run = [&](llvm::raw_ostream &os) {
    return MlirOptMain(os, std::move(buffer), registry, config);
  };
  // Devices and pipes cannot be renamed over.
  llvm::sys::fs::file_status status;
  bool special = output == "-" || (!llvm::sys::fs::status(output, status) &&
                                   !llvm::sys::fs::is_regular_file(status));
  if (!special)
    return asMainReturnCode(writeAtomically(output, run));
  std::unique_ptr<llvm::ToolOutputFile> file = openOutputFile(output, &message);
  if (!file)
    return asMainReturnCode(fail(message));
  file->keep();
  return asMainReturnCode(run(file->os()));
}
