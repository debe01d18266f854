//===- ReferenceGemm.cpp - The oracle of every kernel ---------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Codec/ReferenceGemm.h"
#include "CherryWalk.h"
#include "Half.h"
#include "Support.h"
#include <cassert>

using namespace mlir::cq;
using llvm::StringRef;

StringRef mlir::cq::stringifyActivationMode(ActivationMode mode) {
  return mode == ActivationMode::F32 ? "f32" : "int8";
}

std::optional<ActivationMode> mlir::cq::parseActivationMode(StringRef text) {
  for (ActivationMode mode : {ActivationMode::F32, ActivationMode::Int8})
    if (text == stringifyActivationMode(mode))
      return mode;
  return std::nullopt;
}

QuantizedActivations mlir::cq::quantizeActivations(const float *x, int64_t m,
                                                   int64_t k, int64_t group) {
  assert(m >= 0 && k > 0 && group > 0);
  QuantizedActivations q;
  q.m = m;
  q.k = k;
  q.group = group;
  int64_t groups = detail::ceilDiv(k, group);
  q.codes.resize(m * k);
  q.scales.resize(m * groups);
  q.sums.resize(m * groups);
  for (int64_t t = 0; t < m; ++t)
    for (int64_t g = 0; g < groups; ++g) {
      const float *from = x + t * k;
      int64_t begin = g * group, end = std::min(k, begin + group);
      float largest = 0;
      for (int64_t c = begin; c < end; ++c)
        largest = std::max(largest, std::fabs(from[c]));
      float scale = largest / 127.0f;
      int32_t sum = 0;
      for (int64_t c = begin; c < end && scale != 0; ++c) {
        // Rounds as GroupKernels.cpp does: 1.5·2^23 leaves the nearest even
        // integer in the low bits, and NaN converts to something as well.
        float ratio = from[c] / scale;
        ratio = ratio > -127.0f ? ratio : -127.0f;
        ratio = ratio < 127.0f ? ratio : 127.0f;
        int32_t code = static_cast<int32_t>(detail::bitsOf(ratio + 0x1.8p23f) -
                                            0x4B400000);
        q.codes[t * k + c] = static_cast<int8_t>(code);
        sum += code;
      }
      q.scales[t * groups + g] = scale;
      q.sums[t * groups + g] = sum;
    }
  return q;
}

#define CQ_INLINE static inline __attribute__((always_inline))

/// c of ReferenceGemm.h.
CQ_INLINE float cherryBody(const float *x, const QuantizedWeight &w,
                           const CherryPositions &cherries, int64_t row) {
  float c = 0;
  detail::forEachCherry(cherries.spec, cherries.columns.data(), w.n, w.k, row,
                        [&](int64_t column, int64_t index) {
                          c = std::fma(detail::f16ToF32(w.deltas[index]),
                                       x[column], c);
                        });
  return c;
}

CQ_INLINE void int8Body(const QuantizedActivations &x, const QuantizedWeight &w,
                        float *y) {
  int64_t groups = w.scheme.numGroups(w.k), length = w.scheme.groupLength(w.k);
  int64_t actGroups = detail::ceilDiv(w.k, x.group);
  bool halfStep = w.scheme.grid == Grid::HalfStep;
  for (int64_t row = 0; row < w.n; ++row) {
    const Scheme scheme = w.schemeOf(row);
    const int64_t origin = w.originOf(row);
    for (int64_t t = 0; t < x.m; ++t) {
      float acc = 0;
      for (int64_t a = 0; a < actGroups; ++a) {
        int64_t begin = a * x.group, end = std::min(w.k, begin + x.group);
        const uint8_t *u = w.codes.data() + row * w.k;
        const int8_t *code = x.codes.data() + t * w.k;
        int32_t dot = 0;
        for (int64_t c = begin; c < end; ++c)
          dot += static_cast<int32_t>(u[c]) * code[c];
        int64_t g = row * groups + begin / length;
        int32_t sum = x.sums[t * actGroups + a];
        float scale = w.scales[g];
        if (halfStep) {
          dot = 2 * dot - scheme.maxCode() * sum;
          scale *= 0.5f;
        } else {
          int32_t offset = scheme.grid == Grid::Affine
                               ? static_cast<int32_t>(w.zeros[g])
                               : scheme.offset();
          dot -= offset * sum;
        }
        acc = __builtin_fmaf(static_cast<float>(dot),
                             scale * x.scales[t * actGroups + a], acc);
      }
      y[t * w.n + origin] = acc;
    }
  }
}

CQ_INLINE void f32Body(const float *x, int64_t m, const QuantizedWeight &w,
                       float *y) {
  int64_t groups = w.scheme.numGroups(w.k), length = w.scheme.groupLength(w.k);
  bool halfStep = w.scheme.grid == Grid::HalfStep;
  std::vector<float> integers(w.k);
  for (int64_t row = 0; row < w.n; ++row) {
    const Scheme scheme = w.schemeOf(row);
    for (int64_t c = 0; c < w.k; ++c) {
      int32_t u = w.codes[row * w.k + c];
      int32_t origin =
          scheme.grid == Grid::Affine
              ? static_cast<int32_t>(w.zeros[row * groups + c / length])
              : scheme.offset();
      integers[c] =
          static_cast<float>(halfStep ? 2 * u - scheme.maxCode() : u - origin);
    }
    // Eight tokens side by side hide the latency of eight dependent chains.
    for (int64_t t = 0; t < m; t += 8) {
      int64_t tokens = std::min<int64_t>(8, m - t);
      float acc[8] = {};
      for (int64_t g = 0; g < groups; ++g) {
        float p[8] = {};
        for (int64_t c = g * length, e = std::min(w.k, c + length); c < e; ++c)
          for (int64_t i = 0; i < tokens; ++i)
            p[i] = __builtin_fmaf(integers[c], x[(t + i) * w.k + c], p[i]);
        float scale = w.scales[row * groups + g];
        if (halfStep)
          scale *= 0.5f;
        for (int64_t i = 0; i < tokens; ++i)
          acc[i] = __builtin_fmaf(p[i], scale, acc[i]);
      }
      for (int64_t i = 0; i < tokens; ++i)
        y[(t + i) * w.n + w.originOf(row)] = acc[i];
    }
  }
}

// fma is the same number in hardware and in libm; only the time differs.
#define CQ_REFERENCE(SUFFIX, ATTRIBUTE)                                        \
  ATTRIBUTE static void int8##SUFFIX(const QuantizedActivations &x,            \
                                     const QuantizedWeight &w, float *y) {     \
    int8Body(x, w, y);                                                         \
  }                                                                            \
  ATTRIBUTE static void f32##SUFFIX(const float *x, int64_t m,                 \
                                    const QuantizedWeight &w, float *y) {      \
    f32Body(x, m, w, y);                                                       \
  }

CQ_REFERENCE(Baseline, )
CQ_REFERENCE(FMA, __attribute__((target("avx2,fma"))))

void mlir::cq::referenceGemm(const float *x, int64_t m,
                             const QuantizedWeight &w,
                             const CherryPositions *cherries,
                             ActivationMode mode, float *y) {
  bool hasFMA = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (mode == ActivationMode::Int8) {
    QuantizedActivations q =
        quantizeActivations(x, m, w.k, activationGroup(w.scheme));
    (hasFMA ? int8FMA : int8Baseline)(q, w, y);
  } else {
    (hasFMA ? f32FMA : f32Baseline)(x, m, w, y);
  }
  if (!cherries || cherries->spec.form == CherryForm::None)
    return;
  for (int64_t t = 0; t < m; ++t)
    for (int64_t row = 0; row < w.n; ++row)
      y[t * w.n + w.originOf(row)] +=
          cherryBody(x + t * w.k, w, *cherries, row);
}
