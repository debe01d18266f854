//===- Quantizer.h - Weights to codes and back ------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Reference (and production) quantizers. Results are a function of weights and
// options, byte for byte, at any thread count and on any x86.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_CODEC_QUANTIZER_H
#define CQ_CODEC_QUANTIZER_H

#include "cq/Codec/Layout.h"
#include "cq/Codec/SecondMoments.h"
#include <vector>

namespace mlir::cq {

/// rtn: min–max scale, round to nearest. mse: scale search for the smallest
/// squared error, weighted by E[x²] where given. gptq: scales of mse, then
/// codes (and cherries, and scales again) for the smallest error of the output,
/// tr(Δ H Δᵀ); needs second moments.
enum class QuantizerKind : uint8_t { RTN, MSE, GPTQ };
llvm::StringRef
stringifyQuantizerKind(QuantizerKind kind); // "rtn" "mse" "gptq"
std::optional<QuantizerKind> parseQuantizerKind(llvm::StringRef text);

/// Where `mse` looks for a better scale: `steps` multiples of the rtn scale in
/// [lowest, highest] (of both signs where the grid is lopsided; steps / 2 + 1
/// for either end of an affine range), then `refits` least-squares scales given
/// the codes. Never worse than rtn in the (weighted) squared error. More steps
/// buy less than 0.2 % of error.
struct ScaleSearch {
  float lowest = 0; ///< 0: by bit width, 0.55 (2 bits), 0.65, 0.75 … 0.97 (8)
  float highest = 1.05f;
  unsigned steps = 6; ///< 2 to 32
  unsigned refits = 2;
};

/// How far `gptq` goes after its one pass over the columns.
struct GPTQOptions {
  /// Sweeps over all groups: a least-squares scale given the codes, then
  /// coordinate descent on codes given the scale. 0: the plain algorithm.
  unsigned sweeps = 4;
  unsigned inner = 2; ///< repetitions within a group, which are cheap
  bool refit = true;  ///< whether sweeps change scales
};

/// What a quantizer may know of the weight's input, and how it is to work.
struct QuantizerInputs {
  const float *columnWeights = nullptr; ///< E[x²] [k], any positive multiple
  unsigned threads = 0;                 ///< 0: all
  ScaleSearch search = {};
  const SecondMoments *moments = nullptr; ///< of the input, for gptq
  GPTQOptions gptq = {};
  /// Widths of consecutive rows; empty: all have the scheme's.
  llvm::ArrayRef<RowSegment> segments = {};
};

/// What makes a weight a cherry.
///   magnitude    |w|
///   quant-error  squared rounding error under the scheme's own rtn
///                quantization, × fisher, else × E[x²], where given
///   impact       fisher, the expected squared gradient of the loss (CherryQ)
///   activation   |w| sqrt(E[x²])
enum class CherryCriterion : uint8_t {
  Magnitude,
  QuantError,
  Impact,
  Activation
};
/// "magnitude" "quant-error" "impact" "activation"
llvm::StringRef stringifyCherryCriterion(CherryCriterion c);
std::optional<CherryCriterion> parseCherryCriterion(llvm::StringRef text);

/// Whether a criterion cannot do without statistics.
inline bool needsStatistics(CherryCriterion c) {
  return c == CherryCriterion::Impact || c == CherryCriterion::Activation;
}

/// What a criterion may know of a weight W [n, k].
struct CherryInputs {
  const float *columnWeights = nullptr; ///< E[x²] [k], any positive multiple
  const float *fisher = nullptr;        ///< E[g²] [n, k]
  /// [n, k], not negative, larger = keep; overrides the criterion.
  const float *scores = nullptr;
  unsigned threads = 0;                     ///< 0: all
  llvm::ArrayRef<RowSegment> segments = {}; ///< as QuantizerInputs'
};

/// Positions of the cherries of W [n, k] in the index plane's order
/// (CherrySpec): u8 for slot, u16 little-endian otherwise, as raw bytes.
struct CherryPositions {
  CherrySpec spec;
  std::vector<uint8_t> columns;
};

/// Unpacked result: one code a byte. Rows are in the order in which they are
/// stored, which `order` says, where it is not that of W (MixedRows.h).
struct QuantizedWeight {
  int64_t n = 0, k = 0;
  Scheme scheme;
  std::vector<uint8_t> codes; ///< [n, k]
  std::vector<float>
      scales; ///< [n, groups], already rounded to scheme.scaleType
  std::vector<uint8_t> zeros;   ///< [n, groups], affine only
  std::vector<uint16_t> deltas; ///< f16 bits, in the order of CherrySpec
  /// Widths of consecutive rows; empty: all have the scheme's.
  llvm::SmallVector<RowSegment, 1> segments = {};
  /// Row s here is row order[s] of W; empty: row s.
  std::vector<uint32_t> order = {};

  /// The scheme with the width of a stored row.
  Scheme schemeOf(int64_t row) const {
    for (const RowSegment &segment : segments) {
      if (row < segment.rows)
        return scheme.withBits(segment.bits);
      row -= segment.rows;
    }
    return scheme;
  }
  /// The row of W that a stored row is.
  int64_t originOf(int64_t row) const {
    return order.empty() ? row : static_cast<int64_t>(order[row]);
  }
};

/// Selects cherries: the largest scores of each unit of the form, or the
/// columns of the largest mean. Ties go to the smaller column. Errors:
/// statistics that the criterion needs and `inputs` lacks, weights or scores
/// that are not finite.
llvm::Expected<CherryPositions>
selectCherries(const float *w, int64_t n, int64_t k, const CherrySpec &spec,
               CherryCriterion criterion, const Scheme &scheme,
               const CherryInputs &inputs = {});

/// Quantizes W [n, k]; cherries (may be null) are left out of group ranges and
/// searches, and their deltas computed; gptq lets them make up for the errors
/// of the others. Errors: NaN or Inf in `w`, a scale outside the scale type,
/// gptq without second moments; the sentence has no tensor name, the caller
/// adds it.
llvm::Expected<QuantizedWeight>
quantizeWeight(const float *w, int64_t n, int64_t k, const Scheme &scheme,
               QuantizerKind quantizer,
               const CherryPositions *cherries = nullptr,
               const QuantizerInputs &inputs = {});

/// Decodes to f32: out [n, k] = decoded codes, plus deltas where `cherries`, in
/// the order of W's rows.
void dequantizeWeight(const QuantizedWeight &q, const CherryPositions *cherries,
                      float *out, unsigned threads = 0);

/// The decoded value of one code: exactly the formula of Scheme.h in f32.
float decode(const Scheme &scheme, uint8_t code, float scale, uint8_t zero);

/// The planes as files and IR hold them (sizes: planeBytes()).
struct PackedWeight {
  int64_t n = 0, k = 0;
  Scheme scheme;
  Layout layout;
  CherrySpec cherries;
  std::vector<uint8_t> codes, scales, zeros, cherryColumns, cherryDeltas;
  std::vector<uint8_t> rowOrder; ///< where the layout is permuted
};
/// `layout` has the segments of `q` and is permuted where `q` has an order.
PackedWeight packWeight(const QuantizedWeight &q,
                        const CherryPositions *cherries, const Layout &layout);
/// Checks every plane's size against shape, scheme and layout, every cherry
/// column against K, and that the row order is one, before reading a byte.
llvm::Expected<QuantizedWeight> unpackWeight(const PackedWeight &p,
                                             CherryPositions *cherries);

/// Scale plane conversions (rounding to nearest even): bytes ↔ f32.
void encodeScales(const float *in, int64_t count, ScaleType type, uint8_t *out);
void decodeScales(const uint8_t *in, int64_t count, ScaleType type, float *out);

} // namespace mlir::cq

#endif // CQ_CODEC_QUANTIZER_H
