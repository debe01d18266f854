//===- AtomicFile.h - A file that appears whole or not at all ---*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_ATOMICFILE_H
#define CQ_SUPPORT_ATOMICFILE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/FileSystem.h"
#include <optional>
#include <string>

namespace mlir::cq {

/// Bytes go to a temporary file beside `path`; `commit` flushes it to the disk
/// and renames it. Destroyed before that, or killed by a signal, nothing stays.
class AtomicFile {
public:
  static llvm::Expected<AtomicFile> create(llvm::StringRef path);
  AtomicFile(AtomicFile &&other) = default;
  AtomicFile &operator=(AtomicFile &&) = delete;
  ~AtomicFile();

  /// Writes all of `bytes` at `offset`.
  llvm::Error write(llvm::StringRef bytes, uint64_t offset);
  llvm::Error commit();

private:
  AtomicFile(llvm::StringRef path, llvm::sys::fs::TempFile file)
      : path(path), file(std::move(file)), open(true) {}
  llvm::Error failed(llvm::StringRef step, std::error_code error) const;

  /// True only in the object that owns the file (moves leave false behind).
  struct Flag {
    bool value;
    Flag(bool value) : value(value) {}
    Flag(Flag &&other) : value(std::exchange(other.value, false)) {}
  };
  std::string path;
  llvm::sys::fs::TempFile file;
  Flag open;
};

/// Puts `bytes` into the file at `path`, whole or not at all. (LLVM's
/// writeToOutput ends the process when the disk is full.)
llvm::Error writeFileAtomically(llvm::StringRef path, llvm::StringRef bytes);

} // namespace mlir::cq

#endif // CQ_SUPPORT_ATOMICFILE_H
