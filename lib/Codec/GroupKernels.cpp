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

/// to = q + roundingBias for t = w / S.
CQ_INLINE void biasedRound(F16 &to, F16 &t, const Levels &levels) {
  F16 lowest = levels.lowest, highest = levels.highest;
  t -= levels.shift;
  t = t > lowest ? t : lowest;
  t = t < highest ? t : highest;
  to = t + roundingBias;
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
  smallest = largest = 0.0f;
  for (int lane = 0; lane < 16; ++lane) {
    smallest = low[lane] < smallest ? low[lane] : smallest;
    largest = high[lane] > largest ? high[lane] : largest;
  }
  return sum(poison) == 0.0f;
}

CQ_INLINE float errorBody(const float *w, const float *c, int64_t n,
                          float scale, const Levels &levels) {
  float inverse = 1.0f / scale;
  F16 total = 0.0f;
  for (int64_t i = 0; i < n; i += 16) {
    F16 x, weight, level;
    load(x, w + i);
    load(weight, c + i);
    F16 t = x * inverse;
    biasedRound(level, t, levels);
    level = level - roundingBias + levels.shift;
    F16 difference = x - level * scale;
    total += difference * difference * weight;
  }
  return sum(total);
}

CQ_INLINE void fitBody(const float *w, const float *c, int64_t n, float scale,
                       const Levels &levels, ScaleFit &result) {
  float inverse = 1.0f / scale;
  F16 cross = 0.0f, square = 0.0f;
  for (int64_t i = 0; i < n; i += 16) {
    F16 x, weight, level;
    load(x, w + i);
    load(weight, c + i);
    F16 t = x * inverse;
    biasedRound(level, t, levels);
    level = level - roundingBias + levels.shift;
    F16 weighted = level * weight;
    cross += weighted * x;
    square += weighted * level;
  }
  result = {sum(cross), sum(square)};
}

CQ_INLINE void codesBody(const float *w, int64_t n, float scale,
                         const Levels &levels, int32_t offset, uint8_t *codes) {
  for (int64_t i = 0; i < n; i += 16) {
    F16 x, biased;
    load(x, w + i);
    F16 t = x / scale;
    biasedRound(biased, t, levels);
    I16 integers;
    std::memcpy(&integers, &biased, sizeof(I16));
    integers += offset - roundingBiasBits;
    U8x16 bytes = __builtin_convertvector(integers, U8x16);
    std::memcpy(codes + i, &bytes, n - i < 16 ? n - i : 16);
  }
}

#define CQ_GROUP_KERNELS(SUFFIX, ATTRIBUTE)                                    \
  ATTRIBUTE static bool range##SUFFIX(const float *w, int64_t n, float &low,   \
                                      float &high) {                           \
    return rangeBody(w, n, low, high);                                         \
  }                                                                            \
  ATTRIBUTE static float error##SUFFIX(const float *w, const float *c,         \
                                       int64_t n, float scale,                 \
                                       const Levels &levels) {                 \
    return errorBody(w, c, n, scale, levels);                                  \
  }                                                                            \
  ATTRIBUTE static ScaleFit fit##SUFFIX(const float *w, const float *c,        \
                                        int64_t n, float scale,                \
                                        const Levels &levels) {                \
    ScaleFit result;                                                           \
    fitBody(w, c, n, scale, levels, result);                                   \
    return result;                                                             \
  }                                                                            \
  ATTRIBUTE static void codes##SUFFIX(const float *w, int64_t n, float scale,  \
                                      const Levels &levels, int32_t offset,    \
                                      uint8_t *codes) {                        \
    codesBody(w, n, scale, levels, offset, codes);                             \
  }                                                                            \
  static const GroupKernels kernels##SUFFIX = {                                \
      #SUFFIX, range##SUFFIX, error##SUFFIX, fit##SUFFIX, codes##SUFFIX};

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
