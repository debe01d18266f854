//===- Scheme.h - What the numbers of a quantized weight mean ---*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A scheme says how a weight W [N, K] (N output features, K input features)
// becomes unsigned codes u [N, K] and one scale S (and zero point z) for each
// group of `group` consecutive columns of a row:
//
//   symmetric  ŵ = S (u − 2^(b−1))
//              S = −(w of largest |w|) / 2^(b−1)  for b ≤ 4
//              S = max|w| / (2^(b−1) − 1)         for b > 4
//   affine     ŵ = S (u − z)
//              S = (max − min) / (2^b − 1), u8 z; the range includes 0
//   half-step  ŵ = (S / 2) (2u − (2^b − 1))
//              S = max|w| / 2^(b−1), b ≤ 4
//
// Codes are computed with the *stored* (already rounded) scale, round half to
// even, clamped. An all-zero group has S = 0. Source: CherryQ (2404.02837) for
// half-step and the restricted symmetric grid above four bits.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CODEC_SCHEME_H
#define CQ_CODEC_SCHEME_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>

namespace mlir::cq {

/// The set of levels a code can stand for.
enum class Grid : uint8_t { Symmetric, Affine, HalfStep };

/// How a scale is stored.
enum class ScaleType : uint8_t { F16, BF16, F32 };

llvm::StringRef stringifyGrid(Grid grid); // "symmetric" "affine" "half-step"
llvm::StringRef stringifyScaleType(ScaleType type); // "f16" "bf16" "f32"
std::optional<Grid> parseGrid(llvm::StringRef text);
std::optional<ScaleType> parseScaleType(llvm::StringRef text);
inline unsigned scaleBytes(ScaleType type) {
  return type == ScaleType::F32 ? 4 : 2;
}

/// What the numbers of one quantized weight mean.
struct Scheme {
  unsigned bits = 4;   ///< 2, 3, 4, 5, 6 or 8
  int64_t group = 128; ///< 32, 64, 128; 0 = the whole row
  Grid grid = Grid::Symmetric;
  ScaleType scaleType = ScaleType::F16;

  /// Length of a full group for rows of `k` columns; the last may be shorter.
  int64_t groupLength(int64_t k) const { return group == 0 ? k : group; }
  /// Groups in a row of `k` columns (k > 0).
  int64_t numGroups(int64_t k) const {
    int64_t length = groupLength(k);
    return (k - 1) / length + 1; // k + length may overflow on hostile k
  }
  /// The integer subtracted from a code at scale S: 2^(b−1) for symmetric, 0
  /// for affine (the zero point is data). Half-step has no integer offset; see
  /// `doubledLevel`.
  int32_t offset() const {
    return grid == Grid::Symmetric ? 1 << (bits - 1) : 0;
  }
  bool hasZeroPoints() const { return grid == Grid::Affine; }
  /// Codes are 0 … maxCode(); the restricted symmetric grid above four bits
  /// starts at minCode() = 1, so that its levels are ±(2^(b−1) − 1).
  int32_t maxCode() const { return (1 << bits) - 1; }
  int32_t minCode() const {
    return grid == Grid::Symmetric && bits > 4 ? 1 : 0;
  }

  /// The same with another width: what the rows of another segment mean.
  Scheme withBits(unsigned other) const {
    Scheme scheme = *this;
    scheme.bits = other;
    return scheme;
  }

  /// Success, or one sentence that says which field is out of range.
  llvm::Error check() const;

  /// "b3-g64-symmetric-f16"; the whole row is "row": "b8-row-symmetric-f32".
  std::string str() const;
  /// Inverse of `str`; the last fields may be left out (symmetric, f16).
  static llvm::Expected<Scheme> parse(llvm::StringRef text);

  bool operator==(const Scheme &o) const {
    return bits == o.bits && group == o.group && grid == o.grid &&
           scaleType == o.scaleType;
  }
  bool operator!=(const Scheme &o) const { return !(*this == o); }
};

/// Forms in which cherries (weights kept precise) are stored; methods.md 1.
enum class CherryForm : uint8_t { None, Element, Column, Slot };
/// "none" "element" "column" "slot"
llvm::StringRef stringifyCherryForm(CherryForm form);
std::optional<CherryForm> parseCherryForm(llvm::StringRef text);

/// How many cherries of which form a weight carries.
///   element  `count` per row
///            columns u16 [N, count], deltas f16 [N, count]
///   column   `count` whole columns
///            columns u16 [count], deltas f16 [count, N]
///   slot     `count` per (row, 256 columns)
///            columns u8 [P, B, count, 16], deltas f16 [P, B, count, 16]
/// with P = ceil(N/16) panels and B = slotBlocks(K); a last block of fewer than
/// 128 columns gets none. In `slot` the column is relative to its block.
/// Deltas are against the decoded, nearest, clamped code: w − ŵ, as f16.
/// Unused places (padded rows) have column 0 and delta +0.
struct CherrySpec {
  CherryForm form = CherryForm::None;
  int64_t count = 0;

  static int64_t slotBlocks(int64_t k) { return k / 256 + (k % 256 >= 128); }
  /// The count that a ratio (e.g. 1/256) means for rows of `k` columns:
  /// element ⌈k·ratio⌉ rounded down to a multiple of 8, at least 1 (methods 1);
  /// column  round(k·ratio), at least 1; slot round(256·ratio), at least 1.
  static CherrySpec fromRatio(CherryForm form, double ratio, int64_t k);

  /// Entries in the column-index plane and in the delta plane.
  int64_t numColumns(int64_t n, int64_t k) const;
  int64_t numDeltas(int64_t n, int64_t k) const;
  /// Bytes of one index: 1 for slot, 2 otherwise.
  unsigned columnBytes() const { return form == CherryForm::Slot ? 1 : 2; }
  /// Exact bytes of both planes.
  int64_t bytes(int64_t n, int64_t k) const;
  llvm::Error check(int64_t n, int64_t k) const;
  bool operator==(const CherrySpec &o) const {
    return form == o.form && count == o.count;
  }
};

} // namespace mlir::cq

#endif // CQ_CODEC_SCHEME_H
