//===- FeedbackKernels.cpp - Inner loops of gptq --------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FeedbackKernels.h"
#include <cstring>

using namespace mlir::cq;
using namespace mlir::cq::detail;

using F16 = float __attribute__((ext_vector_type(16)));
using I16 = int32_t __attribute__((ext_vector_type(16)));
using D8 = double __attribute__((ext_vector_type(8)));

#define CQ_INLINE static inline __attribute__((always_inline))

static constexpr float roundingBias = 0x1.8p23f; // see GroupKernels.cpp
static constexpr int64_t lanes = 16;

CQ_INLINE void load(F16 &to, const float *from) {
  std::memcpy(&to, from, sizeof(F16));
}
CQ_INLINE void store(float *to, const F16 &from) {
  std::memcpy(to, &from, sizeof(F16));
}

CQ_INLINE void subtractBody(double *row, const double *other, double factor,
                            int64_t n) {
  int64_t j = 0;
  for (; j + 8 <= n; j += 8) {
    D8 a, b;
    std::memcpy(&a, row + j, sizeof(D8));
    std::memcpy(&b, other + j, sizeof(D8));
    a -= factor * b;
    std::memcpy(row + j, &a, sizeof(D8));
  }
  for (; j < n; ++j)
    row[j] -= factor * other[j];
}

CQ_INLINE void downdateBody(double *a, int64_t k, int64_t begin, int64_t end,
                            int64_t from, int64_t to) {
  constexpr int64_t together = 4;
  int64_t i = from;
  for (; i + together <= to; i += together) {
    int64_t j = i;
    for (; j + 8 <= k; j += 8) {
      D8 sum[together];
      for (int64_t t = 0; t < together; ++t)
        std::memcpy(&sum[t], a + (i + t) * k + j, sizeof(D8));
      for (int64_t r = begin; r < end; ++r) {
        D8 x;
        std::memcpy(&x, a + r * k + j, sizeof(D8));
#pragma clang loop unroll(full)
        for (int64_t t = 0; t < together; ++t)
          sum[t] -= a[r * k + i + t] * x;
      }
      for (int64_t t = 0; t < together; ++t)
        std::memcpy(a + (i + t) * k + j, &sum[t], sizeof(D8));
    }
    for (int64_t r = begin; r < end && j < k; ++r)
      for (int64_t t = 0; t < together; ++t)
        for (int64_t c = j; c < k; ++c)
          a[(i + t) * k + c] -= a[r * k + i + t] * a[r * k + c];
  }
  for (; i < to; ++i)
    for (int64_t r = begin; r < end; ++r)
      subtractBody(a + i * k + i, a + r * k + i, a[r * k + i], k - i);
}

/// `together` columns of one vector of rows share its loads.
template <int together>
CQ_INLINE void productOf(float *out, const float *matrix, int64_t stride,
                         const float *x, int64_t begin, int64_t end) {
  F16 sum[together];
  for (int t = 0; t < together; ++t)
    load(sum[t], out + t * panelRows);
  for (int64_t j = begin; j < end; ++j) {
    F16 value;
    load(value, x + j * panelRows);
#pragma clang loop unroll(full)
    for (int t = 0; t < together; ++t)
      sum[t] += matrix[t * stride + j] * value;
  }
  for (int t = 0; t < together; ++t)
    store(out + t * panelRows, sum[t]);
}

template <int together>
CQ_INLINE void productBody(float *out, int64_t count, const float *matrix,
                           int64_t stride, const float *x, int64_t begin,
                           int64_t end) {
  int64_t i = 0;
  for (; i + together <= count; i += together)
    for (int64_t r = 0; r < panelRows; r += lanes)
      productOf<together>(out + i * panelRows + r, matrix + i * stride, stride,
                          x + r, begin, end);
  for (; i < count; ++i)
    for (int64_t r = 0; r < panelRows; r += lanes)
      productOf<1>(out + i * panelRows + r, matrix + i * stride, stride, x + r,
                   begin, end);
}

CQ_INLINE void dotBody(const float *a, const float *b, int64_t count,
                       float *out) {
  for (int64_t r = 0; r < panelRows; r += lanes) {
    F16 sum = 0.0f;
    for (int64_t i = 0; i < count; ++i) {
      F16 x, y;
      load(x, a + i * panelRows + r);
      load(y, b + i * panelRows + r);
      sum += x * y;
    }
    store(out + r, sum);
  }
}

/// Grid of sixteen rows.
struct LaneGrid {
  F16 scale, inverse, lowest, highest, shift;
};

CQ_INLINE void loadGrid(LaneGrid &to, const PanelGrid &from, int64_t r) {
  load(to.scale, from.scale + r);
  load(to.inverse, from.inverse + r);
  load(to.lowest, from.lowest + r);
  load(to.highest, from.highest + r);
  to.shift = from.shift;
}

CQ_INLINE void nearestLevel(F16 &to, const F16 &value, const LaneGrid &grid) {
  F16 t = value * grid.inverse - grid.shift;
  t = t > grid.lowest ? t : grid.lowest;
  t = t < grid.highest ? t : grid.highest;
  to = t + roundingBias - roundingBias + grid.shift;
}

/// All ones where a row's bit is set.
CQ_INLINE void expandBits(I16 &mask, uint32_t bits, int64_t r) {
  const I16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  I16 all = static_cast<int32_t>(bits >> r);
  mask = ((all >> lane) & 1) != 0;
}

CQ_INLINE void roundBody(const PanelColumns &columns, int64_t count,
                         float *target, const float *feedback, int64_t stride,
                         const PanelGrid *grids) {
  for (int64_t r = 0; r < panelRows; r += lanes) {
    for (int64_t i = count - 1; i >= 0; --i) {
      int64_t at = i * panelRows + r;
      LaneGrid grid;
      loadGrid(grid, grids[i], r);
      F16 w, aim, level;
      load(w, columns.w + at);
      load(aim, target + at);
      nearestLevel(level, aim, grid);
      F16 value = level * grid.scale;
      if (columns.cherries && columns.cherries[i] >> r & 0xffff) {
        I16 mask;
        expandBits(mask, columns.cherries[i], r);
        value = mask ? aim : value;
      }
      F16 delta = w - value;
      store(columns.level + at, level);
      store(columns.delta + at, delta);
      for (int64_t before = 0; before < i; ++before) {
        F16 x;
        load(x, target + before * panelRows + r);
        x += feedback[before * stride + i] * delta;
        store(target + before * panelRows + r, x);
      }
    }
  }
}

CQ_INLINE void descendBody(const PanelColumns &columns, int64_t count,
                           float *gradient, const float *h, int64_t stride,
                           const PanelGrid &panelGrid) {
  for (int64_t r = 0; r < panelRows; r += lanes) {
    LaneGrid grid;
    loadGrid(grid, panelGrid, r);
    for (int64_t i = 0; i < count; ++i) {
      int64_t at = i * panelRows + r;
      float inverse = 1.0f / h[i * stride + i];
      F16 w, delta, level, slope;
      load(w, columns.w + at);
      load(delta, columns.delta + at);
      load(slope, gradient + at);
      // The parabola's lowest point, were there no grid.
      F16 best = delta - slope * inverse;
      nearestLevel(level, w - best, grid);
      F16 next = w - level * grid.scale;
      if (columns.cherries && columns.cherries[i] >> r & 0xffff) {
        I16 mask;
        expandBits(mask, columns.cherries[i], r);
        next = mask ? best : next;
      }
      F16 change = delta - next;
      store(columns.level + at, level);
      I16 changed = change != 0.0f;
      auto any8 = changed.lo | changed.hi;
      auto any4 = any8.lo | any8.hi;
      auto any2 = any4.lo | any4.hi;
      if (!(any2.x | any2.y))
        continue;
      store(columns.delta + at, next);
      for (int64_t j = 0; j < count; ++j) {
        F16 g;
        load(g, gradient + j * panelRows + r);
        g -= h[i * stride + j] * change;
        store(gradient + j * panelRows + r, g);
      }
    }
  }
}

#define CQ_FEEDBACK_KERNELS(SUFFIX, TOGETHER, ATTRIBUTE)                       \
  ATTRIBUTE static void subtract##SUFFIX(double *row, const double *other,     \
                                         double factor, int64_t n) {           \
    subtractBody(row, other, factor, n);                                       \
  }                                                                            \
  ATTRIBUTE static void downdate##SUFFIX(double *a, int64_t k, int64_t begin,  \
                                         int64_t end, int64_t from,            \
                                         int64_t to) {                         \
    downdateBody(a, k, begin, end, from, to);                                  \
  }                                                                            \
  ATTRIBUTE static void product##SUFFIX(                                       \
      float *out, int64_t count, const float *matrix, int64_t stride,          \
      const float *x, int64_t begin, int64_t end) {                            \
    productBody<TOGETHER>(out, count, matrix, stride, x, begin, end);          \
  }                                                                            \
  ATTRIBUTE static void dot##SUFFIX(const float *a, const float *b,            \
                                    int64_t count, float *out) {               \
    dotBody(a, b, count, out);                                                 \
  }                                                                            \
  ATTRIBUTE static void round##SUFFIX(                                         \
      const PanelColumns &columns, int64_t count, float *target,               \
      const float *feedback, int64_t stride, const PanelGrid *grids) {         \
    roundBody(columns, count, target, feedback, stride, grids);                \
  }                                                                            \
  ATTRIBUTE static void descend##SUFFIX(                                       \
      const PanelColumns &columns, int64_t count, float *gradient,             \
      const float *h, int64_t stride, const PanelGrid &grid) {                 \
    descendBody(columns, count, gradient, h, stride, grid);                    \
  }                                                                            \
  static const FeedbackKernels kernels##SUFFIX = {                             \
      #SUFFIX,     subtract##SUFFIX, downdate##SUFFIX, product##SUFFIX,        \
      dot##SUFFIX, round##SUFFIX,    descend##SUFFIX};

CQ_FEEDBACK_KERNELS(Baseline, 2, )
CQ_FEEDBACK_KERNELS(AVX2, 4, __attribute__((target("avx2"))))
CQ_FEEDBACK_KERNELS(AVX512, 8,
                    __attribute__((target("avx512f,avx512bw,avx512vl,"
                                          "avx512dq"))))

const FeedbackKernels *mlir::cq::detail::feedbackKernels(GroupIsa isa) {
  // One rule for both sets of kernels, and DQ, which came with BW and VL.
  if (!groupKernels(isa))
    return nullptr;
  switch (isa) {
  case GroupIsa::Baseline:
    return &kernelsBaseline;
  case GroupIsa::AVX2:
    return &kernelsAVX2;
  case GroupIsa::AVX512:
    return __builtin_cpu_supports("avx512dq") ? &kernelsAVX512 : nullptr;
  }
  return nullptr;
}

const FeedbackKernels &mlir::cq::detail::feedbackKernels() {
  for (GroupIsa isa : {GroupIsa::AVX512, GroupIsa::AVX2})
    if (const FeedbackKernels *kernels = feedbackKernels(isa))
      return *kernels;
  return kernelsBaseline;
}
