//===- GroupKernels.cpp - Inner loops over one group ----------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GroupKernels.h"
#include <cstring>
#include <initializer_list>

using namespace mlir::cq;
using namespace mlir::cq::detail;

// Sixteen lanes whatever the register width, so that sums have one order.
using F16 = float __attribute__((ext_vector_type(16)));
using I16 = int32_t __attribute__((ext_vector_type(16)));
using U8x16 = uint8_t __attribute__((ext_vector_type(16)));

// Functions of vectors would have an ABI that depends on the instruction set;
// inlining without exception avoids it.
#define CQ_INLINE static inline __attribute__((always_inline))

// Adding 1.5·2^23 rounds |x| < 2^22 to the nearest even integer and leaves it
// in the low bits of the mantissa.
static constexpr float roundingBias = 0x1.8p23f;
static constexpr int32_t roundingBiasBits = 0x4B400000;

CQ_INLINE void load(F16 &to, const float *from) {
  std::memcpy(&to, from, sizeof(F16));
}

CQ_INLINE float sum(const F16 &x) {
  auto a = x.lo + x.hi;
  auto b = a.lo + a.hi;
  auto c = b.lo + b.hi;
  return c.x + c.y;
}

/// What biasedRound needs of a grid, so that the compiler keeps it in
/// registers.
struct Bounds {
  float lowest, highest;
  Bounds(const Levels &levels, const GroupGrid &grid)
      : lowest(levels.lowest - grid.zero), highest(levels.highest - grid.zero) {
  }
};

/// to = q + roundingBias for t = w / S − shift.
CQ_INLINE void biasedRound(F16 &to, const F16 &t, const Bounds &bounds) {
  F16 lowest = bounds.lowest, highest = bounds.highest;
  F16 clamped = t > lowest ? t : lowest;
  clamped = clamped < highest ? clamped : highest;
  to = clamped + roundingBias;
}

CQ_INLINE bool rangeBody(const float *w, int64_t n, float &smallest,
                         float &largest) {
  F16 low = 0.0f, high = 0.0f, poison = 0.0f;
  for (int64_t i = 0; i < n; i += 16) {
    F16 x;
    load(x, w + i);
    low = x < low ? x : low;
    high = x > high ? x : high;
    poison += x * 0.0f; // 0, or NaN for ever
  }
  // Halves until one lane is left.
  auto low8 = low.lo < low.hi ? low.lo : low.hi;
  auto low4 = low8.lo < low8.hi ? low8.lo : low8.hi;
  auto low2 = low4.lo < low4.hi ? low4.lo : low4.hi;
  smallest = low2.x < low2.y ? low2.x : low2.y;
  auto high8 = high.lo > high.hi ? high.lo : high.hi;
  auto high4 = high8.lo > high8.hi ? high8.lo : high8.hi;
  auto high2 = high4.lo > high4.hi ? high4.lo : high4.hi;
  largest = high2.x > high2.y ? high2.x : high2.y;
  return sum(poison) == 0.0f;
}

/// Vector form of detail::roundScale.
CQ_INLINE void roundScalesBody(float *scales, int64_t count, ScaleType type) {
  for (int64_t i = 0; i < count; i += 16) {
    F16 x;
    load(x, scales + i);
    I16 bits;
    std::memcpy(&bits, &x, sizeof(F16));
    I16 sign = bits & static_cast<int32_t>(0x80000000);
    I16 magnitude = bits & 0x7fffffff;
    if (type == ScaleType::F16) {
      F16 absolute;
      std::memcpy(&absolute, &magnitude, sizeof(F16));
      F16 subnormal = absolute + 0.5f - 0.5f;
      I16 subnormalBits;
      std::memcpy(&subnormalBits, &subnormal, sizeof(F16));
      I16 rounded = (magnitude + 0xfff + ((magnitude >> 13) & 1)) & ~0x1fff;
      I16 infinity = 0x7f800000;
      rounded = rounded >= 0x47800000 ? infinity : rounded;
      magnitude = magnitude < 0x38800000 ? subnormalBits : rounded;
    } else if (type == ScaleType::BF16) {
      magnitude = (magnitude + 0x7fff + ((magnitude >> 16) & 1)) & ~0xffff;
    }
    I16 zero = 0;
    bits = magnitude < 0x00800000 ? zero : (sign | magnitude);
    std::memcpy(scales + i, &bits, sizeof(F16));
  }
}

/// `together` grids share the loads and hide each other's latency.
template <int together, bool shifted>
CQ_INLINE void errorsOf(const float *w, const float *c, int64_t n,
                        const GroupGrid *grids, const Levels &levels,
                        float unit, float *errors) {
  F16 total[together];
  float inverse[together];
  for (int g = 0; g < together; ++g) {
    total[g] = 0.0f;
    inverse[g] = 1.0f / grids[g].scale;
  }
  for (int64_t i = 0; i < n; i += 16) {
    F16 x, weight;
    load(x, w + i);
    load(weight, c + i);
#pragma clang loop unroll(full)
    for (int g = 0; g < together; ++g) {
      F16 t = x * inverse[g];
      if (shifted)
        t -= levels.shift;
      F16 q;
      biasedRound(q, t, Bounds(levels, grids[g]));
      F16 difference = t - (q - roundingBias);
      total[g] += difference * difference * weight;
    }
  }
  for (int g = 0; g < together; ++g) {
    float relative = grids[g].scale * unit;
    errors[g] = sum(total[g]) * (relative * relative);
  }
}

template <bool shifted>
CQ_INLINE void errorsOfAll(const float *w, const float *c, int64_t n,
                           const GroupGrid *grids, int64_t count,
                           const Levels &levels, float unit, float *errors) {
  int64_t g = 0;
  for (; g + 2 <= count; g += 2)
    errorsOf<2, shifted>(w, c, n, grids + g, levels, unit, errors + g);
  for (; g < count; ++g)
    errorsOf<1, shifted>(w, c, n, grids + g, levels, unit, errors + g);
}

CQ_INLINE void errorsBody(const float *w, const float *c, int64_t n,
                          const GroupGrid *grids, int64_t count,
                          const Levels &levels, float unit, float *errors) {
  if (levels.shift == 0)
    errorsOfAll<false>(w, c, n, grids, count, levels, unit, errors);
  else
    errorsOfAll<true>(w, c, n, grids, count, levels, unit, errors);
}

CQ_INLINE void fitBody(const float *w, const float *c, int64_t n,
                       const GroupGrid &grid, const Levels &levels,
                       GridFit &result) {
  float inverse = 1.0f / grid.scale;
  Bounds bounds(levels, grid);
  F16 error = 0.0f, cross = 0.0f, square = 0.0f;
  for (int64_t i = 0; i < n; i += 16) {
    F16 x, weight, q;
    load(x, w + i);
    load(weight, c + i);
    F16 t = x * inverse - levels.shift;
    biasedRound(q, t, bounds);
    q -= roundingBias;
    F16 difference = t - q;
    error += difference * difference * weight;
    F16 level = q + levels.shift;
    F16 weighted = level * weight;
    cross += weighted * x;
    square += weighted * level;
  }
  result = {sum(error), sum(cross), sum(square)};
}

CQ_INLINE void codesBody(const float *w, int64_t n, const GroupGrid &grid,
                         const Levels &levels, int32_t offset, uint8_t *codes) {
  Bounds bounds(levels, grid);
  for (int64_t i = 0; i < n; i += 16) {
    F16 x, biased;
    load(x, w + i);
    biasedRound(biased, x / grid.scale - levels.shift, bounds);
    I16 integers;
    std::memcpy(&integers, &biased, sizeof(I16));
    integers += offset - roundingBiasBits;
    U8x16 bytes = __builtin_convertvector(integers, U8x16);
    if (n - i >= 16)
      std::memcpy(codes + i, &bytes, 16);
    else
      std::memcpy(codes + i, &bytes, n - i);
  }
}

#define CQ_GROUP_KERNELS(SUFFIX, ATTRIBUTE)                                    \
  ATTRIBUTE static bool range##SUFFIX(const float *w, int64_t n, float &low,   \
                                      float &high) {                           \
    return rangeBody(w, n, low, high);                                         \
  }                                                                            \
  ATTRIBUTE static void roundScales##SUFFIX(float *scales, int64_t count,      \
                                            ScaleType type) {                  \
    roundScalesBody(scales, count, type);                                      \
  }                                                                            \
  ATTRIBUTE static void errors##SUFFIX(                                        \
      const float *w, const float *c, int64_t n, const GroupGrid *grids,       \
      int64_t count, const Levels &levels, float unit, float *errors) {        \
    errorsBody(w, c, n, grids, count, levels, unit, errors);                   \
  }                                                                            \
  ATTRIBUTE static GridFit fit##SUFFIX(const float *w, const float *c,         \
                                       int64_t n, const GroupGrid &grid,       \
                                       const Levels &levels) {                 \
    GridFit result;                                                            \
    fitBody(w, c, n, grid, levels, result);                                    \
    return result;                                                             \
  }                                                                            \
  ATTRIBUTE static void codes##SUFFIX(                                         \
      const float *w, int64_t n, const GroupGrid &grid, const Levels &levels,  \
      int32_t offset, uint8_t *codes) {                                        \
    codesBody(w, n, grid, levels, offset, codes);                              \
  }                                                                            \
  static const GroupKernels kernels##SUFFIX = {                                \
      #SUFFIX,        range##SUFFIX, roundScales##SUFFIX,                      \
      errors##SUFFIX, fit##SUFFIX,   codes##SUFFIX};

CQ_GROUP_KERNELS(Baseline, )
CQ_GROUP_KERNELS(AVX2, __attribute__((target("avx2"))))
CQ_GROUP_KERNELS(AVX512, __attribute__((target("avx512f,avx512bw,avx512vl"))))

const GroupKernels *mlir::cq::detail::groupKernels(GroupIsa isa) {
  switch (isa) {
  case GroupIsa::Baseline:
    return &kernelsBaseline;
  case GroupIsa::AVX2:
    return __builtin_cpu_supports("avx2") ? &kernelsAVX2 : nullptr;
  case GroupIsa::AVX512:
    return __builtin_cpu_supports("avx512f") &&
                   __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl")
               ? &kernelsAVX512
               : nullptr;
  }
  return nullptr;
}

const GroupKernels &mlir::cq::detail::groupKernels() {
  for (GroupIsa isa : {GroupIsa::AVX512, GroupIsa::AVX2})
    if (const GroupKernels *kernels = groupKernels(isa))
      return *kernels;
  return kernelsBaseline;
}
