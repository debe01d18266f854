//===- Dequantizer.h - Codes to f16 or bf16 without conversions -*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A field at bit s of the mantissa of 1024 (f16, ten bits) or 128 (bf16, seven)
// is the number 1024 + u·2^s: one AND, one OR for two codes. One fused
// multiply-add makes u − origin of it, exactly: the results are integers (or
// halves, for the half-step grid) of at most nine bits.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTONVGPU_DEQUANTIZER_H
#define CQ_LIB_CONVERSION_CQTONVGPU_DEQUANTIZER_H

#include "Emitter.h"
#include "llvm/ADT/DenseMap.h"

namespace mlir::cq::nv {

/// The numbers a group's codes are taken from: of rows g and g + 8 of a lane.
/// Without zero points the scheme says it.
struct Origin {
  Value zeros[2] = {}; ///< splats in the compute type, or null
  llvm::DenseMap<unsigned, Value> offsets; ///< by 2·shift + row, made on demand
};

class Dequantizer {
public:
  Dequantizer(Emitter &b, const Scheme &scheme, FloatKind compute);

  /// Two u8 zero points (rows g and g + 8) to an origin.
  Origin origin(Value zeros);
  /// u − origin of pair `pair` (FragmentChunk) of a chunk's words; grids of
  /// half steps: u − (2^b − 1) / 2. A vector of two.
  Value pair(ArrayRef<Value> words, unsigned pair, Origin &origin);
  VectorType type() const { return type_; }

private:
  Value shifted(Value word, unsigned by);
  Value pattern(Value word, uint32_t mask); ///< (word & mask) | magic
  Value asPair(Value word);
  Value multiplyAdd(Value a, double factor, double summand);
  Value wideBytes(Value word, unsigned at, Origin &origin, unsigned row);
  bool holds(double value) const;

  Emitter &b;
  Scheme scheme;
  VectorType type_;
  unsigned mantissa;  ///< bits of a field that fit
  double magic;       ///< 2^mantissa
  uint32_t magicBits; ///< of two of them
  double offset;      ///< the scheme's own origin
  llvm::DenseMap<std::pair<Value, unsigned>, Value> shifts;
};

} // namespace mlir::cq::nv

#endif // CQ_LIB_CONVERSION_CQTONVGPU_DEQUANTIZER_H
