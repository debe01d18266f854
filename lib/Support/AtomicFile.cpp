//===- AtomicFile.cpp - A file that appears whole or not at all -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/AtomicFile.h"
#include "cq/Support/Diagnostics.h"
#include <unistd.h>

using namespace mlir::cq;
using llvm::Error;

static std::error_code lastError() {
  return std::error_code(errno, std::generic_category());
}

Error AtomicFile::failed(llvm::StringRef step, std::error_code error) const {
  return fail("cannot " + step + " '" + path + "': " + error.message() +
              "; nothing was written");
}

llvm::Expected<AtomicFile> AtomicFile::create(llvm::StringRef path) {
  // A rename would replace a device or a pipe by a file.
  namespace fs = llvm::sys::fs;
  fs::file_status status;
  if (!fs::status(path, status) && status.type() != fs::file_type::regular_file)
    return fail("cannot create '" + path +
                "': it exists and is no regular file; nothing was written");
  auto file = llvm::sys::fs::TempFile::create(path + ".tmp-%%%%%%%%");
  if (!file)
    return fail("cannot create '" + path + "': " +
                llvm::toString(file.takeError()) + "; nothing was written");
  return AtomicFile(path, std::move(*file));
}

AtomicFile::~AtomicFile() {
  if (open.value)
    llvm::consumeError(file.discard());
}

Error AtomicFile::write(llvm::StringRef bytes, uint64_t offset) {
  while (!bytes.empty()) {
    ssize_t written = ::pwrite(file.FD, bytes.data(), bytes.size(), offset);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return failed("write", written < 0
                                 ? lastError()
                                 : std::make_error_code(std::errc::io_error));
    bytes = bytes.drop_front(written);
    offset += written;
  }
  return Error::success();
}

Error AtomicFile::commit() {
  // Some file systems report a full disk only here.
  if (::fsync(file.FD) != 0 && errno != EINVAL)
    return failed("flush", lastError());
  // TempFile::keep falls back on copying when the rename fails, which could
  // leave half a file at the final name.
  if (std::error_code error = llvm::sys::fs::rename(file.TmpName, path))
    return failed("rename a temporary file to", error);
  open.value = false;
  // The old name is gone; this closes the descriptor and ends the clean-up
  // duty.
  llvm::consumeError(file.keep());
  return Error::success();
}

llvm::Error mlir::cq::writeFileAtomically(llvm::StringRef path,
                                          llvm::StringRef bytes) {
  llvm::Expected<AtomicFile> file = AtomicFile::create(path);
  if (!file)
    return file.takeError();
  if (llvm::Error error = file->write(bytes, 0))
    return error;
  return file->commit();
}
