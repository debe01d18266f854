//===- FileWriter.h - Tensors of a statistics file, one by one --*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_STATS_FILEWRITER_H
#define CQ_LIB_STATS_FILEWRITER_H

#include "FileHeader.h"

namespace mlir::cq {

/// Writes the tensors of layoutOf(header) in that order, in pieces of any size,
/// and their checksums behind them.
class FileWriter {
public:
  static llvm::Expected<std::unique_ptr<FileWriter>>
  create(llvm::StringRef path, const FileHeader &header);

  template <typename T> llvm::Error append(llvm::ArrayRef<T> values) {
    return appendBytes({reinterpret_cast<const uint8_t *>(values.data()),
                        values.size() * sizeof(T)});
  }
  llvm::Error appendBytes(llvm::ArrayRef<uint8_t> bytes);
  llvm::Error appendBlocks(llvm::ArrayRef<BlockStatistics> blocks);
  /// Ends the current tensor.
  llvm::Error endTensor();
  llvm::Error commit();

private:
  llvm::Error flushPiece();

  std::unique_ptr<SafetensorsWriter> writer;
  std::vector<uint8_t> pending; ///< less than a piece
  std::vector<uint64_t> pieces; ///< checksums, of the current tensor
  std::vector<int64_t> sums;    ///< of the text and the finished tensors
};

} // namespace mlir::cq

#endif // CQ_LIB_STATS_FILEWRITER_H
