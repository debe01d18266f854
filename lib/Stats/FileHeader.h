//===- FileHeader.h - The description in a statistics file ------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The text under `cq.statistics` in a file's metadata, and the tensors that
// follow from it (docs/Statistics.md).
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_STATS_FILEHEADER_H
#define CQ_LIB_STATS_FILEHEADER_H

#include "cq/Model/Parameters.h"
#include "cq/Stats/Statistics.h"

namespace mlir::cq {

inline constexpr llvm::StringLiteral headerKey = "cq.statistics";
inline constexpr llvm::StringLiteral checksumTensor = "checksums";

struct FileHeader {
  /// Names, shapes, counts, provenance; the vectors of sums are empty.
  Statistics facts;
  /// What there is of each input beside the sums of squares.
  struct Parts {
    bool magnitudes = false, gram = false;
  };
  std::vector<Parts> parts;
  /// Compact store: share of exact values (0: full sums), and how many these
  /// are for each Fisher matrix.
  double share = 0;
  std::vector<int64_t> kept;

  std::string print() const;
  /// Errors: no such text, another version, missing fields, hostile counts.
  static llvm::Expected<FileHeader> parse(llvm::StringRef text,
                                          llvm::StringRef origin);
};

/// What a tensor of the file holds.
enum class FilePart : uint8_t {
  SumSquares,
  SumMagnitudes,
  MaxMagnitude,
  Gram,
  Fisher,
  FisherRows,
  FisherColumns,
  FisherPositions,
  FisherValues,
  Blocks
};

struct FileTensor {
  FilePart part;
  size_t index; ///< into facts.inputs or facts.fishers
  SafetensorsWriter::Entry entry;
};

/// All tensors but the checksums, in the order in which those are listed.
std::vector<FileTensor> layoutOf(const FileHeader &header);

/// Checksums cover a tensor in pieces of this many bytes, so that writers need
/// not hold it: XXH3-64 of the XXH3-64s of the pieces.
inline constexpr size_t checksumPiece = 1 << 20;
uint64_t checksum(llvm::ArrayRef<uint8_t> bytes);
/// Whether `bytes` have it. Under a fuzzer, which cannot guess checksums,
/// always.
bool hasChecksum(llvm::ArrayRef<uint8_t> bytes, uint64_t expected);
uint64_t checksumOfPieces(llvm::ArrayRef<uint64_t> pieces);

} // namespace mlir::cq

#endif // CQ_LIB_STATS_FILEHEADER_H
