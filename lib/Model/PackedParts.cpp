//===- PackedParts.cpp - One weight of GPTQ, AWQ and the like -------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PackedParts.h"
#include "CodeWords.h"
#include "cq/Support/Diagnostics.h"
#include "llvm/Support/Endian.h"

using namespace mlir::cq;
using llvm::Error;
using llvm::StringRef;

namespace {
/// Finds parts; remembers the first thing that is wrong.
struct PartFinder {
  const ParameterArchive &files;
  std::string module;

  llvm::Expected<const ParameterInfo *> find(StringRef suffix,
                                             llvm::ArrayRef<DType> types,
                                             unsigned rank,
                                             bool required = true) const {
    const ParameterInfo *info = files.find(module + "." + suffix.str());
    if (!info && required)
      return fail("weight " + quoted(module + ".weight") + " of " +
                  quoted(files.path()) + " has no part " + quoted(suffix) +
                  "; the checkpoint is incomplete");
    if (!info)
      return nullptr;
    if (!llvm::is_contained(types, info->type) || info->shape.size() != rank)
      return fail("part " + quoted(info->name) + " of " + quoted(files.path()) +
                  " has the type " + stringifyDType(info->type) +
                  " and the shape " + printShape(info->shape) +
                  ", not those of a packed weight; the checkpoint is damaged");
    return info;
  }
  Error wrongShapes() const {
    return fail("the parts of weight " + quoted(module + ".weight") + " of " +
                quoted(files.path()) +
                " have shapes that do not fit each other; the checkpoint is "
                "damaged");
  }
};
} // namespace

static constexpr DType words[] = {DType::I32};
static constexpr DType floats[] = {DType::F16, DType::BF16, DType::F32};

Error PackedParts::openCompressed(const ParameterArchive &files,
                                  const std::string &module) {
  PartFinder finder{files, module};
  kind = Kind::CompressedTensors;
  auto shape = finder.find("weight_shape", {DType::I64, DType::I32}, 1);
  if (!shape)
    return shape.takeError();
  if ((*shape)->numElements() != 2)
    return finder.wrongShapes();
  unsigned width = (*shape)->type == DType::I64 ? 8 : 4;
  auto extent = [&](int i) {
    const uint8_t *bytes = (*shape)->bytes.data() + i * width;
    return width == 8
               ? int64_t(llvm::support::endian::read64le(bytes))
               : int64_t(int32_t(llvm::support::endian::read32le(bytes)));
  };
  n = extent(0);
  k = extent(1);
  wordsPerRow = codes->shape[1];
  // Bounds before products: a code has at most 32 bits and at least one.
  if (n != codes->shape[0] || k <= 0 || wordsPerRow > k || k / 32 > wordsPerRow)
    return finder.wrongShapes();
  for (unsigned b : {4u, 8u, 2u, 3u, 5u, 6u, 1u, 7u}) {
    bool dense = wordsOf(k, b) == wordsPerRow;
    bool apart = (k + 32 / b - 1) / (32 / b) == wordsPerRow;
    if (bits == 0 && (dense || apart)) {
      bits = b;
      padded = !dense;
    }
  }
  if (bits == 0)
    return finder.wrongShapes();
  auto scale = finder.find("weight_scale", floats, 2);
  if (!scale)
    return scale.takeError();
  auto zero = finder.find("weight_zero_point", words, 2, /*required=*/false);
  if (!zero)
    return zero.takeError();
  auto order = finder.find("weight_g_idx", words, 1, /*required=*/false);
  if (!order)
    return order.takeError();
  scales = *scale;
  zeros = *zero;
  index = *order;
  groups = scales->shape[1];
  int64_t zeroRows =
      padded ? (n + 32 / bits - 1) / (32 / bits) : wordsOf(n, bits);
  if (scales->shape[0] != n ||
      (zeros && (zeros->shape[0] != zeroRows || zeros->shape[1] != groups)))
    return finder.wrongShapes();
  return Error::success();
}

Error PackedParts::open(const ParameterArchive &files, StringRef moduleName,
                        bool minusOne) {
  std::string module = moduleName.str();
  name = module + ".weight";
  PartFinder finder{files, module};
  bool compressed = files.find(module + ".weight_packed") != nullptr;
  auto found = finder.find(compressed ? "weight_packed" : "qweight", words, 2);
  if (!found)
    return found.takeError();
  codes = *found;
  if (compressed) {
    if (Error error = openCompressed(files, module))
      return error;
  } else {
    auto scale = finder.find("scales", floats, 2);
    if (!scale)
      return scale.takeError();
    auto zero = finder.find("qzeros", words, 2);
    if (!zero)
      return zero.takeError();
    auto order = finder.find("g_idx", words, 1, /*required=*/false);
    if (!order)
      return order.takeError();
    scales = *scale;
    zeros = *zero;
    index = *order;
    groups = scales->shape[0];
    n = scales->shape[1];
    int64_t zeroWords = zeros->shape[1];
    if (zeros->shape[0] != groups || zeroWords > n || zeroWords * 32 % n != 0)
      return finder.wrongShapes();
    bits = unsigned(zeroWords * 32 / n);
    if (bits < 2 || bits > 8)
      return finder.wrongShapes();
    // GPTQ packs columns of W, AWQ rows; a square weight of both is told apart
    // by which side is shorter.
    if (codes->shape[1] == n && codes->shape[0] * 32 % bits == 0) {
      kind = Kind::GPTQ;
      k = codes->shape[0] * 32 / bits;
      zeroMinusOne = minusOne;
    } else if (codes->shape[1] == zeroWords && bits == 4 && n % 8 == 0) {
      kind = Kind::AWQ;
      k = codes->shape[0];
    } else {
      return finder.wrongShapes();
    }
  }
  if (k % groups != 0 || (index && index->shape[0] != k))
    return finder.wrongShapes();
  for (int64_t column = 0; index && column < k; ++column) {
    uint32_t group = llvm::support::endian::read32le(&index->bytes[4 * column]);
    if (int64_t(group) >= groups)
      return fail("g_idx of weight " + quoted(name) + " of " +
                  quoted(files.path()) + " names group " + llvm::Twine(group) +
                  " of " + llvm::Twine(groups) + "; the checkpoint is damaged");
  }
  return Error::success();
}
