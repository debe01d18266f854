//===- Fingerprint.cpp - Hashes of weights and models ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/Parameters.h"
#include "cq/Stats/Statistics.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/xxhash.h"

using namespace mlir::cq;

static std::string hexadecimal(llvm::XXH128_hash_t hash) {
  return llvm::utohexstr(hash.high64, /*LowerCase=*/true, /*Width=*/16) +
         llvm::utohexstr(hash.low64, /*LowerCase=*/true, /*Width=*/16);
}

std::string mlir::cq::hashBytes(llvm::StringRef bytes) {
  return hexadecimal(llvm::xxh3_128bits(llvm::arrayRefFromStringRef(bytes)));
}

std::string mlir::cq::hashWeight(const float *w, int64_t n, int64_t k) {
  llvm::XXH128_hash_t values = llvm::xxh3_128bits(
      {reinterpret_cast<const uint8_t *>(w), size_t(n * k) * sizeof(float)});
  uint8_t words[32];
  uint64_t parts[] = {uint64_t(n), uint64_t(k), values.high64, values.low64};
  for (auto [i, part] : llvm::enumerate(parts))
    llvm::support::endian::write64le(words + 8 * i, part);
  return hexadecimal(llvm::xxh3_128bits(words));
}

llvm::Expected<ModelFingerprint>
mlir::cq::fingerprintModel(const ParameterArchive &archive, unsigned threads) {
  std::vector<const ParameterInfo *> tensors;
  for (const ParameterInfo &info : archive.parameters())
    tensors.push_back(&info);
  llvm::sort(tensors, [](const ParameterInfo *a, const ParameterInfo *b) {
    return a->name < b->name;
  });
  ModelFingerprint result;
  std::string all;
  std::vector<float> values;
  for (const ParameterInfo *info : tensors) {
    values.resize(info->numElements());
    if (llvm::Error error =
            ParameterArchive::readAsF32(*info, values.data(), threads))
      return std::move(error);
    bool matrix = info->shape.size() == 2;
    int64_t n = matrix ? info->shape[0] : 1;
    int64_t k = matrix ? info->shape[1] : int64_t(values.size());
    std::string hash = hashWeight(values.data(), n, k);
    all += info->name + '\0' + hash + '\n';
    if (matrix)
      result.weights.push_back({info->name, hash, n, k});
  }
  result.model = hashBytes(all);
  return result;
}
