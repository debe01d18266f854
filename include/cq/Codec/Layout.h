//===- Layout.h - How the bytes of a quantized weight lie -------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The only place that knows where a code, scale or zero point of W [N, K] lies.
// Packers, verifiers and kernel generators ask it; none repeats it.
//
//   linear    Rows in order, dense, least significant bit first; each row
//             starts on a byte. Scales and zero points [N, groups].
//   panel16   Rows in panels of 16 (N padded), K padded to the unit of the bit
//             width; a unit is `vectors` × 64 bytes, byte 4·row + (k mod 4) of
//             a vector holds fields of quads (four consecutive k). See
//             PanelUnit. Codes [ceil(N/16), units, vectors, 64]; scales and
//             zero points [ceil(N/16), groups, 16]. Both streams 64-byte
//             aligned.
//   mma-fragment  Rows in tiles of 16 (N padded), K padded to chunks of 64: the
//             registers of an NVIDIA `mma` m16n8k16 whose first operand is W.
//             Lane 4·g + t of a warp owns, in a chunk, columns 8·t … 8·t + 7
//             and 32 + 8·t … 32 + 8·t + 7 of rows g and g + 8: 32 codes in
//             `bits` 32-bit words, see FragmentChunk. Chunks lie in blocks (2,
//             4, 1, 4, 2, 1 chunks at 2, 3, 4, 5, 6, 8 bits) whose words a lane
//             loads 16 bytes at a time: [blocks][words / 4][32 lanes][4 words];
//             the chunks left over at the end of a row follow as [words][32
//             lanes]. Scales and zero points [ceil(N/16), groups, 8, 2]: rows g
//             and g + 8 are neighbours. Little-endian words, 16-byte aligned.
//
// A layout lists row segments (rows, bits): consecutive stored rows of one
// width. Scales, zero points and cherries go on through all segments. Where
// rows are `permuted`, stored row s is row order[s] of W, and the order is a
// plane of its own: u16 [N], u32 above 65536 rows, little-endian.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CODEC_LAYOUT_H
#define CQ_CODEC_LAYOUT_H

#include "cq/Codec/Scheme.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"

namespace mlir::cq {

enum class LayoutKind : uint8_t { Linear, Panel16, MmaFragment };
/// "linear" "panel16" "mma-fragment"
llvm::StringRef stringifyLayoutKind(LayoutKind kind);
std::optional<LayoutKind> parseLayoutKind(llvm::StringRef text);

/// `rows` consecutive rows whose codes have `bits` bits.
struct RowSegment {
  int64_t rows;
  unsigned bits;
  bool operator==(const RowSegment &o) const {
    return rows == o.rows && bits == o.bits;
  }
};

/// One contribution of a stored vector to a quad's operand:
/// ((V[vector] >> shift) & mask), `shift` on 16-bit lanes (negative = left) so
/// that the mask alone keeps bits from crossing bytes.
struct PanelTerm {
  uint8_t vector;
  int8_t shift;
  uint8_t mask;
};

/// The operand of one quad: the OR of its terms equals code << shiftClass.
struct PanelQuad {
  llvm::SmallVector<PanelTerm, 2> terms;
  uint8_t shiftClass;
};

/// How `panel16` stores `quads.size()*4` consecutive k of 16 rows in `vectors`
/// vectors of 64 bytes (kernels.md, "In-place fields").
struct PanelUnit {
  unsigned bits;
  unsigned vectors;
  llvm::SmallVector<PanelQuad, 8> quads; ///< quads in order of k
  int64_t columns() const { return static_cast<int64_t>(quads.size()) * 4; }
  /// The unit of a bit width (2, 3, 4, 5, 6, 8); a static table.
  static const PanelUnit &get(unsigned bits);
};

/// `width` bits of a code, from its bit `codeBit` on, at bit `bit` of a half of
/// a word.
struct FragmentField {
  uint8_t word, bit, codeBit, width;
};

/// How a lane's 32 codes of a chunk of `mma-fragment` lie in its `bits` words.
/// Pair p = 4·step + r is register r of the A operand of the chunk's mma number
/// `step`: rows g + 8·(r mod 2), columns 16·t + 4·step + 2·(r / 2) and the
/// next, in the low and the high half of the word at the same bits.
struct FragmentChunk {
  static constexpr int64_t columns = 64, rows = 16, lanes = 32;
  static constexpr unsigned pairs = 16;
  unsigned bits;
  unsigned chunksPerBlock; ///< so many fill whole 16-byte loads
  llvm::SmallVector<FragmentField, 3> fields[pairs];

  /// Of 2, 3, 4, 5, 6 or 8 bits; a static table.
  static const FragmentChunk &get(unsigned bits);
  /// Bytes from the start of a tile to word `word` of a lane in chunk `chunk`
  /// of `chunks`.
  int64_t wordOffset(int64_t chunk, int64_t chunks, unsigned word,
                     unsigned lane) const;
};

/// Where the planes of one weight lie. Segment rows must sum to N; except in
/// linear, every segment but the last has a multiple of 16 rows.
struct Layout {
  LayoutKind kind = LayoutKind::Panel16;
  llvm::SmallVector<RowSegment, 1> segments;
  bool permuted = false; ///< stored rows are not in the order of W

  /// Whether segments differ in width.
  bool isMixed() const {
    return llvm::any_of(segments, [&](const RowSegment &segment) {
      return segment.bits != segments.front().bits;
    });
  }

  static Layout uniform(LayoutKind kind, int64_t rows, unsigned bits);

  /// Success, or one sentence; `n`, `k` may be hostile (overflow is an error).
  llvm::Error check(int64_t n, int64_t k) const;
  /// Success where the last rows have the scheme's bits and the grid exists at
  /// the width of every segment.
  llvm::Error checkWidths(const Scheme &scheme) const;
  /// Exact bytes of the code plane, padding included.
  int64_t codeBytes(int64_t n, int64_t k) const;
  /// Entries (not bytes) of the scale plane and of the zero-point plane.
  int64_t scaleEntries(int64_t n, int64_t k, const Scheme &scheme) const;
  /// Bytes of one packed row (linear) or panel of 16 rows of a bit width.
  int64_t rowBytes(int64_t k, unsigned bits) const;   // linear
  int64_t panelBytes(int64_t k, unsigned bits) const; // the others: 16 rows
  /// Index into the scale plane of row n, group g.
  int64_t scaleIndex(int64_t n, int64_t g, int64_t numRows, int64_t k,
                     const Scheme &scheme) const;
  /// Bytes of one entry of the row order of N = n rows.
  static unsigned orderEntryBytes(int64_t n) { return n > 65536 ? 4 : 2; }

  /// codes: u8 [N, K], one code a byte, row-major → packed (codeBytes long,
  /// padding written as 0).
  void pack(const uint8_t *codes, int64_t n, int64_t k, uint8_t *packed) const;
  /// Inverse of `pack`; padding ignored.
  void unpack(const uint8_t *packed, int64_t n, int64_t k,
              uint8_t *codes) const;

  bool operator==(const Layout &o) const {
    return kind == o.kind && segments == o.segments && permuted == o.permuted;
  }
};

/// Bytes of every plane of a weight W [n, k]; `total()` is what files hold.
struct PlaneBytes {
  int64_t codes = 0, scales = 0, zeros = 0, cherryColumns = 0, cherryDeltas = 0;
  int64_t rowOrder = 0;
  int64_t total() const {
    return codes + scales + zeros + cherryColumns + cherryDeltas + rowOrder;
  }
  double bitsPerWeight(int64_t n, int64_t k) const {
    return 8.0 * static_cast<double>(total()) /
           (static_cast<double>(n) * static_cast<double>(k));
  }
};
PlaneBytes planeBytes(int64_t n, int64_t k, const Scheme &scheme,
                      const Layout &layout, const CherrySpec &cherries);

} // namespace mlir::cq

#endif // CQ_CODEC_LAYOUT_H
