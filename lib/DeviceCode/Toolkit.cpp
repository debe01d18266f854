//===- Toolkit.cpp - ptxas and fatbinary ----------------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/DeviceCode/DeviceCode.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/OutputFolder.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::cq;

llvm::Expected<std::string> cq::findCUDAProgram(StringRef name) {
  llvm::SmallVector<StringRef> folders;
  auto named = llvm::sys::Process::GetEnv("CQ_CUDA_BIN");
  if (named)
    folders.push_back(*named);
  if (auto found = llvm::sys::findProgramByName(name, folders); found && named)
    return *found;
  if (auto found = llvm::sys::findProgramByName(name))
    return *found;
  if (auto found = llvm::sys::findProgramByName(name, {"/usr/local/cuda/bin"}))
    return *found;
  return fail("there is no " + name +
              " here; install a CUDA toolkit (pip install nvidia-cuda-nvcc) "
              "and name its bin folder in CQ_CUDA_BIN, or ask for ptx");
}

static llvm::Error writeFile(StringRef path, StringRef bytes) {
  std::error_code error;
  llvm::raw_fd_ostream os(path, error);
  if (!error) {
    os << bytes;
    os.close();
    error = os.error();
  }
  if (error)
    return fail("cannot write " + path + ": " + error.message());
  return llvm::Error::success();
}

static llvm::Expected<std::string> readFile(StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return fail("cannot read " + path + ": " + buffer.getError().message());
  return (*buffer)->getBuffer().str();
}

/// Runs a program of the toolkit in a scratch folder; returns what it said.
static llvm::Expected<std::string> runProgram(StringRef folder, StringRef name,
                                              ArrayRef<std::string> arguments) {
  llvm::Expected<std::string> path = findCUDAProgram(name);
  if (!path)
    return path.takeError();
  llvm::SmallVector<StringRef> argv{*path};
  argv.append(arguments.begin(), arguments.end());
  std::string log = (folder + "/log").str(), message;
  std::optional<StringRef> redirects[] = {StringRef(""), StringRef(log),
                                          StringRef(log)};
  int status = llvm::sys::ExecuteAndWait(*path, argv, std::nullopt, redirects,
                                         /*SecondsToWait=*/600, 0, &message);
  llvm::Expected<std::string> said = readFile(log);
  if (!said)
    return said.takeError();
  if (status != 0)
    return fail(*path + " failed: " +
                (message.empty() ? StringRef(*said).take_front(2000).trim()
                                 : StringRef(message)));
  return said;
}

/// The number before `what` in a line.
static unsigned numberBefore(StringRef line, StringRef what) {
  size_t at = line.find(what);
  unsigned number = 0;
  if (at != StringRef::npos)
    line.take_front(at).rtrim().rsplit(' ').second.getAsInteger(10, number);
  return number;
}

static std::vector<KernelUsage> parseUsage(StringRef log) {
  std::vector<KernelUsage> usage;
  for (StringRef line : llvm::split(log, '\n')) {
    if (line.contains("Compiling entry function")) {
      KernelUsage kernel;
      kernel.kernel = line.split('\'').second.split('\'').first.str();
      usage.push_back(kernel);
    }
    if (usage.empty())
      continue;
    KernelUsage &kernel = usage.back();
    if (line.contains("bytes stack frame")) {
      kernel.stackBytes = numberBefore(line, "bytes stack frame");
      kernel.spillStoreBytes = numberBefore(line, "bytes spill stores");
      kernel.spillLoadBytes = numberBefore(line, "bytes spill loads");
    }
    if (line.contains(" registers")) {
      kernel.registers = numberBefore(line, " registers");
      kernel.staticSharedBytes = numberBefore(line, " bytes smem");
    }
  }
  for (StringRef line : llvm::split(log, '\n'))
    if (line.contains("instructions are serialized"))
      for (KernelUsage &kernel : usage)
        kernel.serializedProducts |= line.contains("'" + kernel.kernel + "'");
  return usage;
}

llvm::Expected<std::string> cq::assemblePTX(StringRef ptx, StringRef chip,
                                            std::vector<KernelUsage> *usage) {
  llvm::Expected<OutputFolder> scratch = OutputFolder::create("", false);
  if (!scratch)
    return scratch.takeError();
  std::string folder = scratch->path().str();
  if (llvm::Error error = writeFile(folder + "/kernels.ptx", ptx))
    return std::move(error);
  llvm::Expected<std::string> said =
      runProgram(folder, "ptxas",
                 {"-v", "-O3", ("-arch=" + chip).str(), "-o",
                  folder + "/kernels.cubin", folder + "/kernels.ptx"});
  if (!said)
    return said.takeError();
  if (usage)
    *usage = parseUsage(*said);
  return readFile(folder + "/kernels.cubin");
}

llvm::Expected<std::string> cq::linkFatbin(ArrayRef<DeviceImage> images) {
  llvm::Expected<OutputFolder> scratch = OutputFolder::create("", false);
  if (!scratch)
    return scratch.takeError();
  std::string folder = scratch->path().str();
  std::vector<std::string> arguments{"-64", "--create", folder + "/fatbin"};
  for (size_t i = 0; i < images.size(); ++i) {
    const DeviceImage &image = images[i];
    std::string file = folder + "/image" + std::to_string(i);
    if (llvm::Error error = writeFile(file, image.bytes))
      return std::move(error);
    arguments.push_back(std::string("--image3=kind=") +
                        (image.isPTX ? "ptx" : "elf") +
                        ",sm=" + image.chip.substr(3) + ",file=" + file);
  }
  llvm::Expected<std::string> said = runProgram(folder, "fatbinary", arguments);
  if (!said)
    return said.takeError();
  return readFile(folder + "/fatbin");
}
