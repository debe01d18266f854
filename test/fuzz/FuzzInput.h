//===- FuzzInput.h - A fuzzer's bytes as files ------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The readers take paths. Bytes go to a file in memory, whose name under
// /proc/self/fd every reader opens as a regular file; forms of several files to
// a folder under /dev/shm.
//

#ifndef CQ_TEST_FUZZ_FUZZINPUT_H
#define CQ_TEST_FUZZ_FUZZINPUT_H

#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include <cstdint>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace mlir::cq::fuzz {

/// A path that holds `bytes` until the next call.
inline std::string fileOf(llvm::StringRef bytes) {
  static int descriptor = memfd_create("cq-fuzz", 0);
  if (descriptor < 0 || ftruncate(descriptor, 0) != 0 ||
      pwrite(descriptor, bytes.data(), bytes.size(), 0) !=
          ssize_t(bytes.size()))
    std::abort();
  return "/proc/self/fd/" + std::to_string(descriptor);
}

/// A file of a folder that is this process's own.
inline std::string fileInFolder(llvm::StringRef name, llvm::StringRef bytes) {
  static std::string folder = [] {
    llvm::SmallString<64> path;
    if (llvm::sys::fs::createUniqueDirectory("/dev/shm/cq-fuzz", path))
      std::abort();
    return path.str().str();
  }();
  std::string path = folder + "/" + name.str();
  std::error_code error;
  llvm::raw_fd_ostream os(path, error);
  if (error)
    std::abort();
  os << bytes;
  return path;
}

/// Errors are what hostile files deserve.
template <typename T> bool succeeded(llvm::Expected<T> &value) {
  if (value)
    return true;
  llvm::consumeError(value.takeError());
  return false;
}

} // namespace mlir::cq::fuzz

#endif // CQ_TEST_FUZZ_FUZZINPUT_H
