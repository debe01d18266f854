//===- ResumableFile.h - A file that survives kill --------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_RESUMABLEFILE_H
#define CQ_SUPPORT_RESUMABLEFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>
#include <vector>

namespace mlir::cq {

/// PATH.partial with PATH.journal: pieces of known places are written in order;
/// the journal says which are whole.
class ResumableFile {
public:
  struct Piece {
    uint64_t begin, size;
  };
  /// `identity`, one line, is what both runs must agree on. Afterwards
  /// `completed` pieces, from the first, hold what an earlier run wrote.
  static llvm::Expected<std::unique_ptr<ResumableFile>>
  open(llvm::StringRef path, llvm::StringRef identity,
       std::vector<Piece> pieces);
  ~ResumableFile();

  size_t completed() const { return done; }
  /// Forgets all but the first `count` completed pieces.
  llvm::Error rewind(size_t count);
  llvm::Error write(llvm::StringRef bytes, uint64_t offset);
  /// The next piece is whole and has this CRC-32.
  llvm::Error finish(uint32_t crc);
  /// Flushes, renames to PATH, removes the journal.
  llvm::Error commit();

private:
  ResumableFile(llvm::StringRef path, llvm::StringRef identity,
                std::vector<Piece> pieces);
  llvm::Error openFiles();
  llvm::Error startJournal(size_t count);
  void verifyPieces(llvm::StringRef journal);
  llvm::Error failed(llvm::StringRef step) const;

  std::string path, partial, journal, identity;
  std::vector<Piece> pieces;
  std::vector<std::string> lines; ///< of the completed pieces
  size_t done = 0;
  int data = -1, log = -1;
  bool locked = false, committed = false;
};

/// Success if the file system of `path` has `bytes` free, less what
/// PATH.partial occupies already; else a sentence with both numbers.
llvm::Error checkFreeSpace(llvm::StringRef path, uint64_t bytes);

} // namespace mlir::cq

#endif // CQ_SUPPORT_RESUMABLEFILE_H
