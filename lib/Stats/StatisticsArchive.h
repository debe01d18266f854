//===- StatisticsArchive.h - A statistics file that was checked -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_STATS_STATISTICSARCHIVE_H
#define CQ_LIB_STATS_STATISTICSARCHIVE_H

#include "FileHeader.h"
#include "cq/Model/Safetensors.h"
#include <map>

namespace mlir::cq {

/// A mapped statistics file. On opening, the description, the shapes of all
/// tensors and the values of moments and blocks are checked; matrices when they
/// are loaded.
class StatisticsArchive {
public:
  static llvm::Expected<std::unique_ptr<StatisticsArchive>>
  open(llvm::StringRef path);

  llvm::StringRef path() const { return file->path(); }
  const FileHeader &header() const { return description; }
  /// With moments and blocks, without matrices.
  const Statistics &facts() const { return description.facts; }

  /// Gives back the memory of what was read so far.
  void releasePages() const { file->releasePages(); }

  /// Null when there is none.
  const ParameterInfo *find(FilePart part, size_t index) const;
  /// The tensor's bytes are those that were written.
  llvm::Error verify(FilePart part, size_t index) const;
  /// Verified and checked values.
  llvm::Expected<std::vector<double>> loadGram(size_t index) const;
  llvm::Expected<std::vector<double>> loadFisher(size_t index) const;
  /// The reconstruction of a compact store; means over sequences.
  llvm::Expected<std::vector<float>> loadCompact(size_t index) const;

private:
  llvm::Error read();
  template <typename T>
  llvm::Expected<std::vector<T>> load(FilePart part, size_t index) const;
  llvm::Error readMoments();

  struct Place {
    const ParameterInfo *info;
    uint64_t checksum;
  };
  std::unique_ptr<SafetensorsFile> file;
  FileHeader description;
  std::map<std::pair<FilePart, size_t>, Place> places;
};

} // namespace mlir::cq

#endif // CQ_LIB_STATS_STATISTICSARCHIVE_H
