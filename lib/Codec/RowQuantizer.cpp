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

using namespace mlir::cq;
using namespace mlir::cq::detail;

// Fewer levels gain more from clipping the outermost weights; with many levels
// the best scale lies close to that of the full range.
static float defaultLowest(unsigned bits) {
  switch (bits) {
  case 2:
    return 0.6f;
  case 3:
    return 0.7f;
  case 4:
    return 0.8f;
  case 5:
    return 0.9f;
  case 6:
    return 0.95f;
  default:
    return 0.98f;
  }
}

RowQuantizer::RowQuantizer(int64_t k, const Scheme &scheme, QuantizerKind kind,
                           const float *columnWeights,
                           const ScaleSearch &search,
                           const GroupKernels &kernels)
    : k(k), scheme(scheme), kind(kind), options(search), kernels(kernels),
      paddedGroup(ceilDiv(std::min(scheme.groupLength(k), k), 16) * 16) {
  if (options.lowest == 0)
    options.lowest = defaultLowest(scheme.bits);
  options.steps = std::max(options.steps, 2u);
  if (kind == QuantizerKind::RTN)
    return;
  int64_t length = scheme.groupLength(k);
  importance.resize(scheme.numGroups(k) * paddedGroup);
  for (int64_t column = 0; column < k; ++column)
    importance[column / length * paddedGroup + column % length] =
        columnWeights ? columnWeights[column] : 1.0f;
}

Levels RowQuantizer::levels(int32_t zero) const {
  float half = static_cast<float>(1 << (scheme.bits - 1));
  switch (scheme.grid) {
  case Grid::Symmetric:
    return {static_cast<float>(scheme.minCode()) - half, half - 1, 0.0f};
  case Grid::HalfStep:
    return {-half, half - 1, 0.5f};
  case Grid::Affine:
    return {static_cast<float>(-zero),
            static_cast<float>(scheme.maxCode() - zero), 0.0f};
  }
  return {};
}

RowQuantizer::GroupGrid RowQuantizer::minMax(float smallest,
                                             float largest) const {
  float half = static_cast<float>(1 << (scheme.bits - 1));
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
    scale = (largest - smallest) / static_cast<float>(scheme.maxCode());
    break;
  }
  scale = roundScale(scale, scheme.scaleType);
  if (scheme.grid != Grid::Affine || scale == 0 || !isFinite(scale))
    return {scale, 0};
  float zero = -smallest / scale;
  zero = std::min(zero, static_cast<float>(scheme.maxCode()));
  return {scale, static_cast<int32_t>(zero + 0x1.8p23f - 0x1.8p23f)};
}

bool RowQuantizer::attempt(const Group &group, GroupGrid candidate,
                           Best &best) const {
  candidate.scale = roundScale(candidate.scale, scheme.scaleType);
  if (candidate.scale == 0 || !isFinite(candidate.scale))
    return false;
  float error = kernels.error(group.w, group.importance, group.n,
                              candidate.scale, levels(candidate.zero));
  // False for NaN too, which sums over enormous weights can give.
  if (!(error < best.error))
    return false;
  best = {candidate, error};
  return true;
}

RowQuantizer::GroupGrid RowQuantizer::search(const Group &group,
                                             GroupGrid start) const {
  Best best{start, kernels.error(group.w, group.importance, group.n,
                                 start.scale, levels(start.zero))};
  auto multiplier = [&](unsigned step) {
    return options.lowest + (options.highest - options.lowest) *
                                static_cast<float>(step) /
                                static_cast<float>(options.steps - 1);
  };
  float half = static_cast<float>(1 << (scheme.bits - 1));
  switch (scheme.grid) {
  case Grid::Symmetric:
    for (unsigned i = 0; i < options.steps; ++i)
      attempt(group, {start.scale * multiplier(i), 0}, best);
    // The other sign turns the longer side of the grid round; its range is
    // measured at the shorter end.
    if (scheme.bits <= 4)
      for (unsigned i = 0; i < options.steps; ++i)
        attempt(group, {-start.scale * multiplier(i) * (half / (half - 1)), 0},
                best);
    break;
  case Grid::HalfStep:
    // The outermost level lies at S (half − ½).
    for (unsigned i = 0; i < options.steps; ++i)
      attempt(group, {start.scale * multiplier(i) * (half / (half - 0.5f)), 0},
              best);
    break;
  case Grid::Affine: {
    // Both ends move on their own; every third step, or there would be steps².
    for (unsigned i = 0; i < options.steps; i += 3)
      for (unsigned j = 0; j < options.steps; j += 3)
        attempt(group,
                minMax(group.smallest * multiplier(i),
                       group.largest * multiplier(j)),
                best);
    GroupGrid middle = best.grid;
    for (int32_t zero : {middle.zero - 1, middle.zero + 1})
      if (zero >= 0 && zero <= scheme.maxCode())
        attempt(group, {middle.scale, zero}, best);
    break;
  }
  }
  for (unsigned i = 0; i < options.refits; ++i) {
    ScaleFit fit = kernels.fit(group.w, group.importance, group.n,
                               best.grid.scale, levels(best.grid.zero));
    if (!(fit.square > 0) ||
        !attempt(group, {fit.cross / fit.square, best.grid.zero}, best))
      break;
  }
  return best.grid;
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
    Group group{all, importance.data() + g * paddedGroup, n, 0, 0};
    if (!kernels.range(all, n, group.smallest, group.largest)) {
      int64_t bad = begin;
      while (isFinite(w[bad]))
        ++bad;
      return RowFault{bad, w[bad], false};
    }
    if (cherries) {
      bool search = kind == QuantizerKind::MSE;
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
    if (kind == QuantizerKind::MSE && grid.scale != 0)
      grid = search(group, grid);
    scales[g] = grid.scale;
    if (zeros)
      zeros[g] = static_cast<uint8_t>(grid.zero);
    // A scale of zero has one level only: the code that stands for +0.
    int32_t offset =
        scheme.grid == Grid::Affine ? grid.zero : 1 << (scheme.bits - 1);
    if (grid.scale == 0)
      std::fill(codes + begin, codes + begin + n, static_cast<uint8_t>(offset));
    else
      kernels.codes(all, n, grid.scale, levels(grid.zero), offset,
                    codes + begin);
  }
  return std::nullopt;
}
