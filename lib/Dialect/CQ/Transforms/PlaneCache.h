//===- PlaneCache.h - Planes that were made before --------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_LIB_DIALECT_CQ_TRANSFORMS_PLANECACHE_H
#define CQ_LIB_DIALECT_CQ_TRANSFORMS_PLANECACHE_H

#include "WeightEvaluation.h"

namespace mlir::cq {

/// The planes of one chain in the cache folder (CacheFile.h), under a key of
/// everything they are a function of: the source's numbers, the chain, the
/// weight's name and the statistics. A weight of a sweep over budgets is so
/// quantized once for each way to store it.
class PlaneCache {
public:
  /// `statistics` may be null; it is named by its fingerprint.
  explicit PlaneCache(const WeightStatistics *statistics);

  std::string keyOf(WeightChain &chain, StringRef weight,
                    ArrayRef<float> numbers) const;

  /// The planes in the order of `planes()`, valid until the next call; nothing
  /// where they are not there or not of the sizes that the chain's types have.
  std::optional<SmallVector<ArrayRef<uint8_t>, 6>> load(WeightChain &chain,
                                                        StringRef key);

  /// A full disk is no failure of quantization: what cannot be kept is made
  /// again.
  void store(StringRef key, const PackedWeight &packed) const;

private:
  std::string statistics;
  std::string loaded;
};

} // namespace mlir::cq

#endif // CQ_LIB_DIALECT_CQ_TRANSFORMS_PLANECACHE_H
