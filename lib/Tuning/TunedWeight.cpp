//===- TunedWeight.cpp - Training a packed weight -------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Tuning/TunedWeight.h"
#include "../Codec/CherryWalk.h"
#include "../Codec/Half.h"
#include "../Codec/Support.h"
#include <algorithm>

using namespace mlir::cq;

static constexpr int64_t rowsPerTask = 16;

/// Level of code u at scale 1 is u − origin: −4 … 3 for three symmetric bits,
/// odd halves for half-step.
namespace {
struct LevelMap {
  float origin;
  float operator()(uint8_t code) const {
    return static_cast<float>(code) - origin;
  }
  /// Nearest even, clamped; `position` is w / S.
  uint8_t nearest(float position, float lowest, float highest) const {
    float code = std::clamp(position + origin, lowest, highest);
    return static_cast<uint8_t>(code + 0x1.8p23f - 0x1.8p23f);
  }
};
} // namespace

static LevelMap levelMap(const QuantizedWeight &q, const Scheme &scheme,
                         int64_t group) {
  switch (scheme.grid) {
  case Grid::Symmetric:
    return {static_cast<float>(scheme.offset())};
  case Grid::Affine:
    return {static_cast<float>(q.zeros[group])};
  case Grid::HalfStep:
    return {0.5f * static_cast<float>(scheme.maxCode())};
  }
  return {0};
}

/// Calls visit(group in the planes, first column, last column) for each group
/// of a stored row.
template <typename Visit>
static void forEachGroup(const QuantizedWeight &q, int64_t row, Visit visit) {
  int64_t groups = q.scheme.numGroups(q.k), length = q.scheme.groupLength(q.k);
  for (int64_t g = 0; g < groups; ++g)
    visit(row * groups + g, g * length, std::min(q.k, (g + 1) * length));
}

/// Where in its code's cell, from the centre, a weight starts that lies
/// `distance` from it. Clear of the edges, so that the start decodes as it
/// came; a weight that error feedback moved to another code than its nearest
/// goes the deeper into the cell the further it was moved: on the edge, where
/// it would fall back at once, its part in the compensation would be lost.
static float latentOffset(float distance) {
  float size = std::fabs(distance);
  float offset =
      size <= 0.5f ? 0.98f * size : 0.49f * (1 - std::min(2 * size - 1, 1.0f));
  return std::copysign(offset, distance);
}

llvm::Expected<TunedWeight> TunedWeight::create(QuantizedWeight quantized,
                                                CherryPositions cherries,
                                                const float *weight) {
  if (cherries.spec.form != CherryForm::None)
    if (llvm::Error error = detail::checkPositions(
            cherries, quantized.n, quantized.k, /*ascending=*/false))
      return std::move(error);
  TunedWeight tuned;
  tuned.quantized = std::move(quantized);
  tuned.cherries = std::move(cherries);
  tuned.collectCherries();
  const QuantizedWeight &q = tuned.quantized;
  tuned.scales = q.scales;
  tuned.scaleGradients.resize(q.scales.size());
  tuned.scaleMoments.resize(q.scales.size());
  tuned.values.resize(q.deltas.size());
  tuned.valueGradients.resize(q.deltas.size());
  tuned.valueMoments.resize(q.deltas.size());

  std::vector<float> decoded(q.n * q.k);
  dequantizeWeight(q, nullptr, decoded.data());
  for (int64_t row = 0; row < q.n; ++row)
    for (int64_t i = tuned.rowBegin[row]; i < tuned.rowBegin[row + 1]; ++i) {
      Cherry cherry = tuned.rowCherries[i];
      tuned.values[cherry.index] =
          decoded[q.originOf(row) * q.k + cherry.column] +
          detail::f16ToF32(q.deltas[cherry.index]);
    }
  if (!weight)
    return tuned;

  tuned.initialCodes = q.codes;
  tuned.gradients.resize(q.codes.size());
  tuned.latentMoments.resize(q.codes.size());
  tuned.latent.resize(q.codes.size());
  for (int64_t row = 0; row < q.n; ++row) {
    Scheme scheme = q.schemeOf(row);
    const float *from = weight + q.originOf(row) * q.k;
    forEachGroup(q, row, [&](int64_t group, int64_t begin, int64_t end) {
      LevelMap level = levelMap(q, scheme, group);
      float scale = q.scales[group];
      for (int64_t k = begin; k < end; ++k) {
        float centre = level(q.codes[row * q.k + k]);
        float position = scale == 0 ? centre : from[k] / scale;
        tuned.latent[row * q.k + k] =
            scale * (centre + latentOffset(position - centre));
      }
    });
  }
  return tuned;
}

void TunedWeight::collectCherries() {
  rowBegin.assign(quantized.n + 1, 0);
  for (int64_t row = 0; row < quantized.n; ++row) {
    detail::forEachCherry(cherries.spec, cherries.columns.data(), quantized.n,
                          quantized.k, row, [&](int64_t column, int64_t index) {
                            rowCherries.push_back(
                                {static_cast<int32_t>(column), index});
                          });
    rowBegin[row + 1] = static_cast<int64_t>(rowCherries.size());
  }
}

void TunedWeight::decode(float *out, unsigned threads) const {
  const QuantizedWeight &q = quantized;
  detail::parallelForRows(
      q.n, rowsPerTask, threads, [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) {
          Scheme scheme = q.schemeOf(row);
          const uint8_t *codes = q.codes.data() + row * q.k;
          float *decoded = out + q.originOf(row) * q.k;
          forEachGroup(q, row, [&](int64_t group, int64_t begin, int64_t end) {
            LevelMap level = levelMap(q, scheme, group);
            float scale = detail::roundScale(scales[group], scheme.scaleType);
            for (int64_t k = begin; k < end; ++k)
              decoded[k] = scale * level(codes[k]);
          });
          for (int64_t i = rowBegin[row]; i < rowBegin[row + 1]; ++i) {
            float &to = decoded[rowCherries[i].column];
            to += detail::f16ToF32(
                detail::f32ToF16(values[rowCherries[i].index] - to));
          }
        }
      });
}

void TunedWeight::addGradient(const float *gradient, unsigned threads) {
  const QuantizedWeight &q = quantized;
  detail::parallelForRows(
      q.n, rowsPerTask, threads, [&](int64_t first, int64_t last) {
        std::vector<float> ours(q.k);
        for (int64_t row = first; row < last; ++row) {
          Scheme scheme = q.schemeOf(row);
          float lowest = static_cast<float>(scheme.minCode());
          float highest = static_cast<float>(scheme.maxCode());
          std::copy_n(gradient + q.originOf(row) * q.k, q.k, ours.begin());
          for (int64_t i = rowBegin[row]; i < rowBegin[row + 1]; ++i) {
            float &at = ours[rowCherries[i].column];
            valueGradients[rowCherries[i].index] += at;
            at = 0; // a cherry's level is no concern of its scale
          }
          forEachGroup(q, row, [&](int64_t group, int64_t begin, int64_t end) {
            LevelMap level = levelMap(q, scheme, group);
            const uint8_t *codes = q.codes.data() + row * q.k;
            float sum = 0;
            for (int64_t k = begin; k < end; ++k)
              sum += ours[k] * level(codes[k]);
            if (!latent.empty() && scales[group] != 0) {
              // Learned step size: inside the grid only the rounding moves
              // with the scale. Outside it the weight has no say.
              float inverse = 1 / scales[group];
              const float *from = latent.data() + row * q.k;
              float *to = gradients.data() + row * q.k;
              for (int64_t k = begin; k < end; ++k) {
                float position = from[k] * inverse;
                float code = position + level.origin;
                bool inside = code > lowest - 0.5f && code < highest + 0.5f;
                float through = inside ? ours[k] : 0.0f;
                sum -= through * position;
                to[k] += through;
              }
            }
            scaleGradients[group] += sum;
          });
        }
      });
}

void TunedWeight::requantizeRow(int64_t row) {
  QuantizedWeight &q = quantized;
  Scheme scheme = q.schemeOf(row);
  float lowest = static_cast<float>(scheme.minCode());
  float highest = static_cast<float>(scheme.maxCode());
  forEachGroup(q, row, [&](int64_t group, int64_t begin, int64_t end) {
    LevelMap level = levelMap(q, scheme, group);
    float scale = detail::roundScale(scales[group], scheme.scaleType);
    if (scale == 0)
      return;
    float inverse = 1 / scale;
    for (int64_t i = row * q.k + begin; i < row * q.k + end; ++i)
      q.codes[i] = level.nearest(latent[i] * inverse, lowest, highest);
  });
}

void TunedWeight::step(const Adam &adam, const TuningRates &rates,
                       unsigned threads) {
  const QuantizedWeight &q = quantized;
  detail::parallelForRows(
      q.n, rowsPerTask, threads, [&](int64_t first, int64_t last) {
        int64_t groups = q.scheme.numGroups(q.k);
        int64_t length = q.scheme.groupLength(q.k);
        for (int64_t row = first; row < last; ++row) {
          for (int64_t i = rowBegin[row]; i < rowBegin[row + 1]; ++i) {
            int64_t index = rowCherries[i].index;
            int64_t group = row * groups + rowCherries[i].column / length;
            float move = adam.move(valueMoments, index, valueGradients[index]);
            values[index] += rates.cherries * std::fabs(scales[group]) * move;
            valueGradients[index] = 0;
          }
          if (!latent.empty())
            forEachGroup(
                q, row, [&](int64_t group, int64_t begin, int64_t end) {
                  float unit = rates.weights * std::fabs(scales[group]);
                  for (int64_t i = row * q.k + begin; i < row * q.k + end;
                       ++i) {
                    latent[i] +=
                        unit * adam.move(latentMoments, i, gradients[i]);
                    gradients[i] = 0;
                  }
                });
          for (int64_t g = row * groups; g < (row + 1) * groups; ++g) {
            float move = adam.move(scaleMoments, g, scaleGradients[g]);
            scales[g] += rates.scales * std::fabs(scales[g]) * move;
            scaleGradients[g] = 0;
          }
          if (!latent.empty())
            requantizeRow(row);
        }
      });
}

QuantizedWeight TunedWeight::get() const {
  QuantizedWeight result = quantized;
  for (size_t i = 0; i < scales.size(); ++i)
    result.scales[i] =
        detail::roundScale(scales[i], quantized.scheme.scaleType);
  std::vector<float> decoded(result.n * result.k);
  dequantizeWeight(result, nullptr, decoded.data());
  for (int64_t row = 0; row < result.n; ++row)
    for (int64_t i = rowBegin[row]; i < rowBegin[row + 1]; ++i) {
      Cherry cherry = rowCherries[i];
      float level = decoded[result.originOf(row) * result.k + cherry.column];
      result.deltas[cherry.index] =
          detail::f32ToF16(values[cherry.index] - level);
    }
  return result;
}

int64_t TunedWeight::changedCodes() const {
  int64_t changed = 0;
  for (size_t i = 0; i < initialCodes.size(); ++i)
    changed += initialCodes[i] != quantized.codes[i];
  return changed;
}

TunedWeight::State TunedWeight::state() {
  State result;
  if (!latent.empty())
    result.codes = quantized.codes;
  result.rest = {{"scales", scales},
                 {"scale_mean", scaleMoments.mean},
                 {"scale_square", scaleMoments.square},
                 {"cherries", values},
                 {"cherry_mean", valueMoments.mean},
                 {"cherry_square", valueMoments.square},
                 {"latent", latent},
                 {"latent_mean", latentMoments.mean},
                 {"latent_square", latentMoments.square}};
  llvm::erase_if(result.rest,
                 [](const auto &part) { return part.second.empty(); });
  return result;
}

std::vector<uint8_t> TunedWeight::maxCodes() const {
  std::vector<uint8_t> result(quantized.n);
  for (int64_t row = 0; row < quantized.n; ++row)
    result[row] = static_cast<uint8_t>(quantized.schemeOf(row).maxCode());
  return result;
}

double mlir::cq::learningRateFactor(int64_t step, int64_t steps, double floor) {
  double warmUp = std::max<double>(1, 0.05 * static_cast<double>(steps));
  double at = static_cast<double>(step);
  if (at <= warmUp)
    return at / warmUp;
  double left = static_cast<double>(steps) - warmUp;
  double progress = left <= 0 ? 1 : (at - warmUp) / left;
  constexpr double pi = 3.14159265358979323846;
  return floor + (1 - floor) * 0.5 * (1 + std::cos(pi * progress));
}
