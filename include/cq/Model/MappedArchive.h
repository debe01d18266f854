//===- MappedArchive.h - Common part of the archive readers -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A table of tensors over one or several read-only memory maps. The readers
// fill it through `add` and `checkOverlaps`, which hold the checks they all
// share.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_MODEL_MAPPEDARCHIVE_H
#define CQ_MODEL_MAPPEDARCHIVE_H

#include "cq/Model/Parameters.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MemoryBuffer.h"
#include <map>
#include <vector>

namespace mlir::cq {

/// Maps a regular file read-only. Folders, pipes and devices are refused: their
/// size means nothing. Small files are read instead of mapped, large ones in
/// huge pages (HugePages.h).
llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
mapFile(llvm::StringRef path);

/// Lets go of the cached pages of a file that is on the disk: those that
/// writing leaves are small.
void uncacheFile(llvm::StringRef path);

class MappedArchive : public ParameterArchive {
public:
  llvm::StringRef path() const override { return name; }
  llvm::ArrayRef<ParameterInfo> parameters() const override { return infos; }
  const ParameterInfo *find(llvm::StringRef name) const override;
  std::optional<llvm::StringRef> metadata(llvm::StringRef key) const override;

  /// Lets go of the pages read so far; they come back when touched. For files
  /// that are read once, tensor by tensor, and are larger than memory is meant
  /// to be.
  void releasePages() const;

  /// The file's bytes; of several files, the first one's.
  llvm::StringRef getMap() const { return contents(); }

protected:
  MappedArchive(llvm::StringRef path,
                std::unique_ptr<llvm::MemoryBuffer> buffer);

  llvm::StringRef contents() const { return buffers.front()->getBuffer(); }
  void keep(std::unique_ptr<llvm::MemoryBuffer> buffer) {
    buffers.push_back(std::move(buffer));
  }

  /// Adds a tensor whose data lie at [offset, offset + its size) of `data`. The
  /// size follows from type and shape. Refuses empty names, names seen before,
  /// extents that are not positive, products that overflow, rows that are no
  /// whole number of blocks, and data that leave `data`.
  llvm::Error add(llvm::StringRef tensor, DType type,
                  llvm::ArrayRef<int64_t> shape, llvm::StringRef data,
                  uint64_t offset);
  /// Adds a tensor that another archive has checked.
  llvm::Error add(const ParameterInfo &info);
  /// Another type and shape for the bytes of a tensor, which they fit.
  void retype(llvm::StringRef tensor, DType type,
              llvm::ArrayRef<int64_t> shape);
  /// Refuses two tensors that share bytes of the file.
  llvm::Error checkOverlaps() const;

  std::map<std::string, std::string, std::less<>> strings; ///< metadata

private:
  std::string name;
  std::vector<std::unique_ptr<llvm::MemoryBuffer>> buffers;
  std::vector<ParameterInfo> infos;
  llvm::StringMap<size_t> index;
};

} // namespace mlir::cq

#endif // CQ_MODEL_MAPPEDARCHIVE_H
