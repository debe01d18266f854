//===- WeightTile.h - Weights from global memory to mma operands -*- C++
//-*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What one warp does with consecutive chunks of its tiles of 16 rows: load the
// words, scales and zero points, make numbers of them, multiply, scale.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_CONVERSION_CQTONVGPU_WEIGHTTILE_H
#define CQ_LIB_CONVERSION_CQTONVGPU_WEIGHTTILE_H

#include "Dequantizer.h"

namespace mlir::cq::nv {

/// Memrefs of a kernel; null where the weight has no such plane.
struct KernelArguments {
  Value x, packed, codes, scales, zeros, cherryColumns, cherryDeltas, rowOrder,
      y;
  Value tokens; ///< m, i32
};

/// Consecutive chunks, the first of them known or not.
struct ChunkRange {
  Value first;                       ///< index
  std::optional<int64_t> knownFirst; ///< if it is a constant
  unsigned count = 1;
  bool planar = false; ///< chunks left over: words of lanes side by side
};

class WeightTile {
public:
  /// `firstTile`: of this warp, of the segment.
  WeightTile(Emitter &b, const MatmulSpec &spec, const KernelArguments &args,
             Value lane, Value firstTile);

  /// What `multiply` needs of a range, as values that loops can carry.
  SmallVector<Value> load(const ChunkRange &range);
  /// Zeros of the same types, for ranges that do not exist.
  SmallVector<Value> nothing(const ChunkRange &range);

  /// Eight activations of this lane: chunk `chunk` of the range, its half
  /// `half`, tokens of block `block` of eight.
  using Activations =
      llvm::function_ref<Value(unsigned chunk, unsigned half, unsigned block)>;
  /// sums[tile · blocks + block] += W xᵀ over the range.
  void multiply(const ChunkRange &range, ArrayRef<Value> data,
                Activations activations, SmallVectorImpl<Value> &sums,
                unsigned blocks);

  /// Element of shared memory at which chunk `chunk` of the range starts.
  using ActivationTile = llvm::function_ref<Value(unsigned chunk)>;
  /// The same product by a warpgroup: `staged` holds tiles of activations in
  /// the order of cq.nv.wgmma. All products are done when it returns.
  void multiplyAsync(const ChunkRange &range, ArrayRef<Value> data,
                     Value staged, ActivationTile tiles,
                     SmallVectorImpl<Value> &sums, unsigned blocks);

  SmallVector<Value> zeroSums(unsigned blocks);

  /// Ranges of the chunks from `first` to the end that fit no unit.
  static SmallVector<ChunkRange> leftOver(Emitter &b, const MatmulSpec &spec,
                                          int64_t first);

private:
  unsigned groupsIn(const ChunkRange &range) const;
  /// Index of a group of the range, counted from its first.
  unsigned groupOf(const ChunkRange &range, unsigned chunk,
                   unsigned half) const;
  Value groupIndex(const ChunkRange &range, unsigned group);
  Value scaleSums(Value scales); ///< two scales to a vector of four

  Emitter &b;
  const MatmulSpec &spec;
  const KernelArguments &args;
  Scheme scheme;
  const FragmentChunk &chunk;
  Value lane, rowPair;
  SmallVector<Value> codeBase;  ///< byte of the tile in the codes, by tile
  SmallVector<Value> scaleBase; ///< entry of the tile's first group, by tile
};

} // namespace mlir::cq::nv

#endif // CQ_LIB_CONVERSION_CQTONVGPU_WEIGHTTILE_H
