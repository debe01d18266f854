//===- RowQuantizer.cpp - One row of a weight to codes --------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowQuantizer.h"
#include "Half.h"
#include "Support.h"
#include <algorithm>
#include <limits>

using namespace mlir::cq;
using namespace mlir::cq::detail;

// Fewer levels gain more from clipping the outermost weights; with many levels
// the best scale lies close to that of the full range.
static float defaultLowest(unsigned bits) {
  switch (bits) {
  case 2:
    return 0.55f;
  case 3:
    return 0.65f;
  case 4:
    return 0.75f;
  case 5:
    return 0.85f;
  case 6:
    return 0.9f;
  default:
    return 0.97f;
  }
}

/// Bounds the stack buffers of a search.
static constexpr unsigned mostSteps = 32, mostCandidates = 128;

RowQuantizer::RowQuantizer(int64_t k, const Scheme &scheme, QuantizerKind kind,
                           const float *columnWeights,
                           const ScaleSearch &search,
                           const GroupKernels &kernels)
    : k(k), scheme(scheme), kind(kind), refits(search.refits), kernels(kernels),
      paddedGroup(ceilDiv(std::min(scheme.groupLength(k), k), 16) * 16) {
  if (kind == QuantizerKind::RTN)
    return;
  unsigned steps = std::clamp(search.steps, 2u, mostSteps);
  // The two ends of an affine range move on their own: steps² candidates.
  if (scheme.grid == Grid::Affine)
    steps = std::min(steps / 2 + 1, 11u); // 11² = 121 candidates
  float lowest =
      search.lowest == 0 ? defaultLowest(scheme.bits) : search.lowest;
  for (unsigned i = 0; i < steps; ++i)
    multipliers.push_back(lowest + (search.highest - lowest) *
                                       static_cast<float>(i) /
                                       static_cast<float>(steps - 1));

  int64_t length = scheme.groupLength(k);
  importance.resize(scheme.numGroups(k) * paddedGroup);
  for (int64_t column = 0; column < k; ++column)
    importance[column / length * paddedGroup + column % length] =
        columnWeights ? columnWeights[column] : 1.0f;
}

Levels detail::levelsOf(const Scheme &scheme) {
  float half = static_cast<float>(1 << (scheme.bits - 1));
  switch (scheme.grid) {
  case Grid::Symmetric:
    return {static_cast<float>(scheme.minCode()) - half, half - 1, 0.0f};
  case Grid::HalfStep:
    return {-half, half - 1, 0.5f};
  case Grid::Affine:
    return {0.0f, static_cast<float>(scheme.maxCode()), 0.0f};
  }
  return {};
}

/// The zero point that puts `smallest` on code 0; a whole number.
static float zeroPoint(float smallest, float scale, float maxCode) {
  float zero = std::min(-smallest / scale, maxCode);
  return zero + 0x1.8p23f - 0x1.8p23f; // nearest even, as in GroupKernels.cpp
}

GroupGrid RowQuantizer::minMax(float smallest, float largest) const {
  float half = static_cast<float>(1 << (scheme.bits - 1));
  float maxCode = static_cast<float>(scheme.maxCode());
  float scale = 0;
  // Of +m and −m the positive one counts as the weight of largest magnitude.
  bool positive = largest >= -smallest;
  float magnitude = positive ? largest : -smallest;
  switch (scheme.grid) {
  case Grid::Symmetric:
    if (scheme.bits <= 4)
      scale = (positive ? -magnitude : magnitude) / half;
    else
      scale = magnitude / (half - 1);
    break;
  case Grid::HalfStep:
    scale = magnitude / half;
    break;
  case Grid::Affine:
    scale = (largest - smallest) / maxCode;
    break;
  }
  scale = roundScale(scale, scheme.scaleType);
  if (scheme.grid != Grid::Affine || scale == 0 || !isFinite(scale))
    return {scale, 0};
  return {scale, zeroPoint(smallest, scale, maxCode)};
}

/// Scales around `start`, before rounding.
int64_t RowQuantizer::symmetricCandidates(float start, float *scales) const {
  float half = static_cast<float>(1 << (scheme.bits - 1));
  // The outermost half-step level lies at S (half − ½).
  if (scheme.grid == Grid::HalfStep)
    start *= half / (half - 0.5f);
  int64_t count = 0;
  for (float multiplier : multipliers)
    scales[count++] = start * multiplier;
  // The other sign turns the longer side of the grid round, so that the weight
  // of largest magnitude meets the shorter one.
  if (scheme.grid == Grid::Symmetric && scheme.bits <= 4)
    for (float multiplier : multipliers)
      scales[count++] = -start * (half / (half - 1)) * multiplier;
  return count;
}

/// Scales (before rounding) and the lower ends of their ranges.
int64_t RowQuantizer::affineCandidates(const Group &group, float *scales,
                                       float *smallest) const {
  float maxCode = static_cast<float>(scheme.maxCode());
  int64_t count = 0;
  for (float low : multipliers)
    for (float high : multipliers) {
      smallest[count] = group.smallest * low;
      scales[count] = (group.largest * high - smallest[count]) / maxCode;
      ++count;
    }
  return count;
}

GroupGrid RowQuantizer::search(const Group &group, GroupGrid start) const {
  // `start` stands in for candidates that no scale type can hold, and is the
  // first of all: nothing worse than it is ever taken.
  float scales[mostCandidates], smallest[mostCandidates];
  GroupGrid grids[mostCandidates + 1];
  grids[0] = start;
  float errors[mostCandidates + 1];
  bool affine = scheme.grid == Grid::Affine;
  float maxCode = static_cast<float>(scheme.maxCode());
  int64_t count = affine ? affineCandidates(group, scales, smallest)
                         : symmetricCandidates(start.scale, scales);
  int64_t padded = ceilDiv(count, 16) * 16;
  std::fill(scales + count, scales + padded, 0.0f);
  kernels.roundScales(scales, padded, scheme.scaleType);
  for (int64_t i = 0; i < count; ++i) {
    if (scales[i] == 0 || !isFinite(scales[i]))
      grids[i + 1] = start;
    else
      grids[i + 1] = {scales[i],
                      affine ? zeroPoint(smallest[i], scales[i], maxCode)
                             : 0.0f};
  }

  const Levels levels = this->levels();
  float unit = 1.0f / start.scale;
  GroupGrid best = start;
  float bestError = std::numeric_limits<float>::infinity();
  // Also refuses NaN, which sums over enormous weights can give.
  auto consider = [&](const GroupGrid &grid, float error) {
    bool better = error < bestError;
    best = better ? grid : best;
    bestError = better ? error : bestError;
    return better;
  };
  kernels.errors(group.w, group.importance, group.n, grids, count + 1, levels,
                 unit, errors);
  for (int64_t i = 0; i <= count; ++i)
    consider(grids[i], errors[i]);
  if (affine) {
    const GroupGrid neighbours[] = {
        {best.scale, std::max(best.zero - 1, 0.0f)},
        {best.scale, std::min(best.zero + 1, maxCode)}};
    kernels.errors(group.w, group.importance, group.n, neighbours, 2, levels,
                   unit, errors);
    for (int i : {0, 1})
      consider(neighbours[i], errors[i]);
  }

  GridFit fit = kernels.fit(group.w, group.importance, group.n, best, levels);
  for (unsigned i = 0; i < refits && fit.square > 0; ++i) {
    GroupGrid next = {roundScale(fit.cross / fit.square, scheme.scaleType),
                      best.zero};
    if (next.scale == best.scale || next.scale == 0 || !isFinite(next.scale))
      break;
    fit = kernels.fit(group.w, group.importance, group.n, next, levels);
    float relative = next.scale * unit;
    if (!consider(next, fit.error * (relative * relative)))
      break;
  }
  return best;
}

std::optional<RowFault>
RowQuantizer::quantize(const float *w, const uint8_t *cherries, uint8_t *codes,
                       float *scales, uint8_t *zeros, Scratch &scratch) const {
  int64_t length = scheme.groupLength(k);
  scratch.all.resize(paddedGroup);
  scratch.kept.resize(paddedGroup);
  scratch.importance.resize(paddedGroup);
  for (int64_t begin = 0, g = 0; begin < k; begin += length, ++g) {
    int64_t n = std::min(length, k - begin);
    const float *all = w + begin;
    if (n % 16 != 0) {
      std::copy(all, all + n, scratch.all.begin());
      std::fill(scratch.all.begin() + n, scratch.all.end(), 0.0f);
      all = scratch.all.data();
    }
    Group group{all, nullptr, n, 0, 0};
    if (kind != QuantizerKind::RTN)
      group.importance = importance.data() + g * paddedGroup;
    if (!kernels.range(all, n, group.smallest, group.largest)) {
      int64_t bad = begin;
      while (isFinite(w[bad]))
        ++bad;
      return RowFault{bad, w[bad], false};
    }
    if (cherries) {
      bool search = kind != QuantizerKind::RTN;
      for (int64_t i = 0; i < ceilDiv(n, 16) * 16; ++i) {
        bool keep = i < n && !cherries[begin + i];
        scratch.kept[i] = keep ? all[i] : 0.0f;
        if (search)
          scratch.importance[i] = keep ? group.importance[i] : 0.0f;
      }
      group.w = scratch.kept.data();
      group.importance = scratch.importance.data();
      kernels.range(group.w, n, group.smallest, group.largest);
    }

    GroupGrid grid = minMax(group.smallest, group.largest);
    if (!isFinite(grid.scale)) {
      float magnitude = std::max(group.largest, -group.smallest);
      return RowFault{begin, magnitude, true};
    }
    if (kind != QuantizerKind::RTN && grid.scale != 0)
      grid = search(group, grid);
    scales[g] = grid.scale;
    if (zeros)
      zeros[g] = static_cast<uint8_t>(grid.zero);
    int32_t offset = scheme.grid == Grid::Affine
                         ? static_cast<int32_t>(grid.zero)
                         : 1 << (scheme.bits - 1);
    // A scale of zero has one level only: the code that stands for +0.
    if (grid.scale == 0)
      std::fill(codes + begin, codes + begin + n, static_cast<uint8_t>(offset));
    else
      kernels.codes(all, n, grid, levels(), offset, codes + begin);
  }
  return std::nullopt;
}
