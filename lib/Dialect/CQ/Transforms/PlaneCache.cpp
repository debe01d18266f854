//===- PlaneCache.cpp - Planes that were made before ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlaneCache.h"
#include "cq/Measure/WeightLoss.h"
#include "cq/Support/CacheFile.h"

using namespace mlir;
using namespace mlir::cq;

/// Counts changes of what quantizers and packing make of the same input.
static constexpr StringRef version = "planes 1";

PlaneCache::PlaneCache(const WeightStatistics *statistics)
    : statistics(fingerprint(statistics ? &statistics->reader() : nullptr)) {}

std::string PlaneCache::keyOf(WeightChain &chain, StringRef weight,
                              ArrayRef<float> numbers) const {
  StringRef bytes(reinterpret_cast<const char *>(numbers.data()),
                  numbers.size() * sizeof(float));
  return hashKey({version, chain.signature, weight, statistics, bytes});
}

std::optional<SmallVector<ArrayRef<uint8_t>, 6>>
PlaneCache::load(WeightChain &chain, StringRef key) {
  std::optional<std::string> bytes = loadCachedBytes("planes", key);
  if (!bytes)
    return std::nullopt;
  loaded = std::move(*bytes);
  ArrayRef<uint8_t> rest = llvm::arrayRefFromStringRef(loaded);
  SmallVector<ArrayRef<uint8_t>, 6> planes;
  for (auto &plane : chain.planes()) {
    auto type = cast<RankedTensorType>(plane.second.getType());
    uint64_t size = type.getNumElements() * (type.getElementTypeBitWidth() / 8);
    if (size > rest.size())
      return std::nullopt;
    planes.push_back(rest.take_front(size));
    rest = rest.drop_front(size);
  }
  if (!rest.empty())
    return std::nullopt;
  return planes;
}

void PlaneCache::store(StringRef key, const PackedWeight &packed) const {
  std::string bytes;
  for (ArrayRef<uint8_t> plane : planeBytesOf(packed))
    bytes.append(plane.begin(), plane.end());
  llvm::consumeError(storeCachedBytes("planes", key, bytes));
}
