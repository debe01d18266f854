//===- OutputFolder.h - Folders written whole or not at all -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_SUPPORT_OUTPUTFOLDER_H
#define CQ_SUPPORT_OUTPUTFOLDER_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace mlir::cq {

/// A folder that is filled under a temporary name beside its final one and
/// renamed by `commit`. Destroyed before that, nothing stays.
class OutputFolder {
public:
  /// `path` may end in '/'; empty: a scratch folder that is never committed.
  /// Errors: `path` exists and `replace` is false; it cannot be created.
  /// `resumable`: work in PATH.partial, where a killed run may have left
  /// resumable files (cq/Support/ResumableFile.h), all else in it is removed;
  /// where another process is at work there, in a folder of one's own.
  static llvm::Expected<OutputFolder> create(llvm::StringRef path, bool replace,
                                             bool resumable = false);
  OutputFolder(OutputFolder &&other);
  OutputFolder &operator=(OutputFolder &&) = delete;
  ~OutputFolder();

  /// Where to write now.
  llvm::StringRef path() const { return temporary; }
  /// The final name; what stood there is gone.
  llvm::Error commit();

private:
  OutputFolder() = default;
  bool takeOver(llvm::StringRef path);
  void unlock();

  std::string destination, temporary; ///< no temporary: nothing to clean up
  std::string lockPath;
  int lockFile = -1; ///< held while a resumable folder is worked in
};

} // namespace mlir::cq

#endif // CQ_SUPPORT_OUTPUTFOLDER_H
