//===- RowQuantizer.h - One row of a weight to codes ------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CODEC_ROWQUANTIZER_H
#define CQ_LIB_CODEC_ROWQUANTIZER_H

#include "GroupKernels.h"
#include "Support.h"
#include "cq/Codec/Quantizer.h"

namespace mlir::cq::detail {

/// Why a row cannot be quantized.
struct RowFault {
  int64_t column; ///< of the bad weight, or the first of the bad group
  float value;    ///< the weight, or the scale before rounding
  bool isScale;
};

/// The levels of a scheme.
Levels levelsOf(const Scheme &scheme);

/// Quantizes rows of `k` weights; const, so shared by threads, each with its
/// own Scratch.
class RowQuantizer {
public:
  struct Scratch {
    std::vector<float> all, kept, importance;
  };

  /// `columnWeights` may be null; all pointers outlive the object.
  RowQuantizer(int64_t k, const Scheme &scheme, QuantizerKind kind,
               const float *columnWeights, const ScaleSearch &search,
               const GroupKernels &kernels = groupKernels());

  /// `cherries[column]` != 0 leaves a weight out of range and search (null:
  /// none). Writes k codes, a scale a group and, for affine, a zero point a
  /// group.
  std::optional<RowFault> quantize(const float *w, const uint8_t *cherries,
                                   uint8_t *codes, float *scales,
                                   uint8_t *zeros, Scratch &scratch) const;

private:
  /// Weights of one group as the search sees them (GroupKernels.h).
  struct Group {
    const float *w, *importance;
    int64_t n;
    float smallest, largest;
  };
  Levels levels() const { return levelsOf(scheme); }
  GroupGrid minMax(float smallest, float largest) const;
  GroupGrid search(const Group &group, GroupGrid start) const;
  int64_t symmetricCandidates(float start, float *scales) const;
  int64_t affineCandidates(const Group &group, float *scales,
                           float *smallest) const;

  const int64_t k;
  const Scheme scheme;
  const QuantizerKind kind;
  std::vector<float> multipliers; ///< of the search, ScaleSearch::steps
  unsigned refits;
  const GroupKernels &kernels;
  int64_t paddedGroup;
  std::vector<float> importance; ///< column weights or ones, groups padded by 0
};

/// Success where `segments` are none, or sum to n with possible widths.
llvm::Error checkSegments(llvm::ArrayRef<RowSegment> segments, int64_t n,
                          const Scheme &scheme);

/// parallelForRows over the rows of `q`, one segment after another: make(scheme
/// of the segment) gives the body for its ranges.
template <typename Make>
void forSegments(const QuantizedWeight &q, int64_t step, unsigned threads,
                 Make make) {
  RowSegment whole{q.n, q.scheme.bits};
  llvm::ArrayRef<RowSegment> segments = q.segments;
  int64_t first = 0;
  for (const RowSegment &segment : segments.empty() ? whole : segments) {
    auto body = make(q.scheme.withBits(segment.bits));
    parallelForRows(
        segment.rows, step, threads,
        [&](int64_t begin, int64_t end) { body(first + begin, first + end); });
    first += segment.rows;
  }
}

/// Decodes one stored row, without its cherries.
void decodeRow(const QuantizedWeight &q, int64_t row, float *out);

} // namespace mlir::cq::detail

#endif // CQ_LIB_CODEC_ROWQUANTIZER_H
