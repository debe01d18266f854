//===- ResumableFile.cpp - A file that survives kill ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Support/ResumableFile.h"
#include "cq/Support/Diagnostics.h"
#include "cq/Support/Progress.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CRC.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

ResumableFile::ResumableFile(StringRef path, StringRef identity,
                             std::vector<Piece> pieces)
    : path(path), partial((path + ".partial").str()),
      journal((path + ".journal").str()), identity(identity),
      pieces(std::move(pieces)) {}

ResumableFile::~ResumableFile() {
  // Removed before the lock goes, so that no other process continues them.
  if (locked && !committed) {
    llvm::sys::fs::remove(partial);
    llvm::sys::fs::remove(journal);
  }
  for (int descriptor : {data, log})
    if (descriptor >= 0)
      ::close(descriptor);
}

Error ResumableFile::failed(StringRef step) const {
  return fail("cannot " + step + " '" + path + "': " +
              std::error_code(errno, std::generic_category()).message() +
              "; nothing was written");
}

static bool writeAll(int descriptor, StringRef bytes, uint64_t offset) {
  while (!bytes.empty()) {
    ssize_t written =
        ::pwrite(descriptor, bytes.data(), bytes.size(), off_t(offset));
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0) {
      errno = written < 0 ? errno : EIO;
      return false;
    }
    bytes = bytes.drop_front(written);
    offset += written;
  }
  return true;
}

Error ResumableFile::openFiles() {
  namespace fs = llvm::sys::fs;
  fs::file_status status;
  for (StringRef name :
       {StringRef(path), StringRef(partial), StringRef(journal)})
    if (!fs::status(name, status) &&
        status.type() != fs::file_type::regular_file)
      return fail("cannot create '" + name +
                  "': it exists and is no regular file; nothing was written");
  data = ::open(partial.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (data < 0)
    return failed("create");
  // The lock goes with the process, however it ends.
  if (::flock(data, LOCK_EX | LOCK_NB) != 0)
    return fail("another process is writing '" + path +
                "'; wait for it or choose another name");
  locked = true;
  log = ::open(journal.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  return log < 0 ? failed("create") : Error::success();
}

static std::string lineOf(size_t index, uint32_t crc) {
  return llvm::utostr(index) + " " +
         llvm::utohexstr(crc, /*LowerCase=*/true, /*Width=*/8) + "\n";
}

/// CRC-32 of a piece; nothing where the file ends before it does.
static std::optional<uint32_t> crcOf(int descriptor,
                                     ResumableFile::Piece piece) {
  std::vector<char> buffer(1 << 20);
  uint32_t crc = 0;
  for (uint64_t at = 0; at < piece.size;) {
    size_t wanted = std::min<uint64_t>(buffer.size(), piece.size - at);
    ssize_t got =
        ::pread(descriptor, buffer.data(), wanted, off_t(piece.begin + at));
    if (got <= 0)
      return std::nullopt;
    crc = llvm::crc32(crc, llvm::arrayRefFromStringRef(
                               StringRef(buffer.data(), size_t(got))));
    at += uint64_t(got);
  }
  return crc;
}

void ResumableFile::verifyPieces(StringRef text) {
  if (!text.consume_front(identity + "\n"))
    return;
  while (!text.empty() && lines.size() < pieces.size()) {
    std::optional<uint32_t> crc = crcOf(data, pieces[lines.size()]);
    if (!crc)
      return;
    std::string line = lineOf(lines.size(), *crc);
    if (!text.consume_front(line)) // the last line may be cut
      return;
    lines.push_back(std::move(line));
  }
}

Error ResumableFile::startJournal(size_t count) {
  std::string text = identity + "\n";
  lines.resize(count);
  for (const std::string &line : lines)
    text += line;
  done = count;
  if (::ftruncate(log, 0) != 0 || !writeAll(log, text, 0))
    return failed("write the journal of");
  return Error::success();
}

llvm::Expected<std::unique_ptr<ResumableFile>>
ResumableFile::open(StringRef path, StringRef identity,
                    std::vector<Piece> pieces) {
  std::unique_ptr<ResumableFile> file(
      new ResumableFile(path, identity, std::move(pieces)));
  if (Error error = file->openFiles())
    return std::move(error);
  // A journal has a line a piece; anything much longer is none.
  uint64_t size = 0, most = identity.size() + 32 * (file->pieces.size() + 1);
  if (!llvm::sys::fs::file_size(file->journal, size) && size <= most) {
    std::string text(size, '\0');
    if (::pread(file->log, text.data(), size, 0) == ssize_t(size))
      file->verifyPieces(text);
  }
  size_t count = file->lines.size();
  if (count == 0 && ::ftruncate(file->data, 0) != 0)
    return file->failed("write");
  if (Error error = file->startJournal(count))
    return std::move(error);
  return std::move(file);
}

Error ResumableFile::rewind(size_t count) {
  return count < done ? startJournal(count) : Error::success();
}

Error ResumableFile::write(StringRef bytes, uint64_t offset) {
  return writeAll(data, bytes, offset) ? Error::success() : failed("write");
}

Error ResumableFile::finish(uint32_t crc) {
  std::string line = lineOf(done, crc);
  uint64_t at = identity.size() + 1;
  for (const std::string &earlier : lines)
    at += earlier.size();
  if (!writeAll(log, line, at))
    return failed("write the journal of");
  lines.push_back(std::move(line));
  ++done;
  return Error::success();
}

Error ResumableFile::commit() {
  // Some file systems report a full disk only here.
  if (::fsync(data) != 0 && errno != EINVAL)
    return failed("flush");
  if (std::error_code error = llvm::sys::fs::rename(partial, path))
    return fail("cannot rename '" + partial + "': " + error.message() +
                "; nothing was written");
  committed = true;
  llvm::sys::fs::remove(journal);
  return Error::success();
}

Error mlir::cq::checkFreeSpace(StringRef path, uint64_t bytes) {
  llvm::SmallString<256> folder(llvm::sys::path::parent_path(path));
  if (folder.empty())
    folder = ".";
  auto space = llvm::sys::fs::disk_space(folder);
  if (!space)
    return Error::success(); // the write itself will say what is wrong
  struct stat status;
  uint64_t held = 0;
  if (::stat((path + ".partial").str().c_str(), &status) == 0)
    held = uint64_t(status.st_blocks) * 512;
  if (bytes <= held || bytes - held <= space->available)
    return Error::success();
  return fail("'" + path + "' needs " + formatBytes(int64_t(bytes - held)) +
              ", but the disk of '" + folder.str() + "' has " +
              formatBytes(int64_t(space->available)) +
              " free; free some space or choose another place");
}
