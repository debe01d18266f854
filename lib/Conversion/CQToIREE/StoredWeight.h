//===- StoredWeight.h - A weight's planes as IREE reads them ----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Planes in which the group is a dimension, for rows [R, K] of one width:
//
//   codes    [R, groups, length], i2, i4 or i8; or, where bits do not divide a
//            byte, one plane [R, groups, length / unit] of i8 for each byte of
//            a unit: byte i of (unit codes, least significant bit first)
//   scales   [R, groups], zeros [R, groups]
//
// and for the whole weight, entries absolute in K:
//
//   cherry_columns  [N, entries] i16 (i32 above 65536 columns); form column [C]
//   cherry_deltas   [N, entries] f16
//   row_positions   [N] i32: the stored row that row i of W is
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTOIREE_STOREDWEIGHT_H
#define CQ_LIB_CONVERSION_CQTOIREE_STOREDWEIGHT_H

#include "cq/Codec/Quantizer.h"

namespace mlir::cq::toiree {

/// What an element of a plane is.
enum class Element : uint8_t { I2, I4, I8, I16, I32, F16, BF16, F32 };

struct StoredPlane {
  std::string name; ///< "codes", "scales", … of the weight
  Element element;
  llvm::SmallVector<int64_t, 4> shape;
  int64_t bytes() const;
};

/// How codes of one width lie in bytes.
struct CodeUnit {
  int64_t codes = 1; ///< in a unit
  int64_t bytes = 0; ///< planes of a unit; 0: elements of their own
  Element element = Element::I8;
  static CodeUnit get(unsigned bits, bool packed);
};

/// Which weight, and how it is to be stored.
struct StoredWeight {
  Scheme scheme;
  Layout layout; ///< as the cq op has it
  CherrySpec cherries;
  int64_t n = 0, k = 0;
  bool packed = true;
  /// Planes stay as the cq op has them, for our own kernels; only row_positions
  /// are ours.
  bool flat = false;
  /// Columns of a group here; products of int8 activations want whole rows cut
  /// into the activations' groups.
  int64_t groupLength = 0;

  int64_t numGroups() const { return (k - 1) / groupLength + 1; }
  /// groupLength up to whole units.
  int64_t paddedLength() const;
  /// Name of a plane of a row segment.
  std::string planeName(size_t segment, llvm::StringRef plane) const;
  bool hasCherries() const { return cherries.numColumns(n, k) != 0; }
  /// Cherries of a row.
  int64_t cherryEntries() const;

  /// The planes, in the order of their bytes in `encode`.
  std::vector<StoredPlane> planes() const;
  /// Their bytes. `weight` has been checked by unpackWeight.
  std::vector<std::vector<uint8_t>>
  encode(const QuantizedWeight &weight, const CherryPositions &positions) const;
  /// The same where `flat`; `packed` is consumed.
  std::vector<std::vector<uint8_t>> encodeFlat(const QuantizedWeight &weight,
                                               PackedWeight packed) const;

private:
  std::vector<StoredPlane> flatPlanes() const;
};

} // namespace mlir::cq::toiree

#endif // CQ_LIB_CONVERSION_CQTOIREE_STOREDWEIGHT_H
