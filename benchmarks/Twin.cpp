//===- Twin.cpp - A packed product written by hand ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Twin.h"
#include <cstring>
#include <immintrin.h>

using namespace mlir::cq;

static int32_t quadAt(const int8_t *codes) {
  int32_t quad;
  std::memcpy(&quad, codes, 4);
  return quad;
}

/// Eight rows at a time; fields are shifted down. Codes reach 7 and
/// activations 127, so 18 products fit an int16: one unit's eight do.
template <int M>
__attribute__((target("avx2,fma,f16c"))) static void
panelAVX2(const TwinProduct &p, int64_t panel) {
  const int64_t groups = p.k / 128, units = p.k / 32;
  const uint8_t *codes = p.codes + panel * units * 192;
  const uint16_t *scales = p.scales + panel * groups * 16;
  const __m256i m7 = _mm256_set1_epi8(7), m6 = _mm256_set1_epi8(6),
                m1 = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);
  for (int half = 0; half < 2; ++half) {
    __m256 acc[M];
    for (int t = 0; t < M; ++t)
      acc[t] = _mm256_setzero_ps();
    for (int64_t g = 0; g < groups; ++g) {
      __m256i total[M];
      for (int t = 0; t < M; ++t)
        total[t] = _mm256_setzero_si256();
      for (int64_t u = 4 * g; u < 4 * g + 4; ++u) {
        const uint8_t *unit = codes + u * 192 + half * 32;
        __m256i a = _mm256_loadu_si256((const __m256i *)unit);
        __m256i b = _mm256_loadu_si256((const __m256i *)(unit + 64));
        __m256i c = _mm256_loadu_si256((const __m256i *)(unit + 128));
        __m256i q[8] = {
            _mm256_and_si256(a, m7),
            _mm256_and_si256(_mm256_srli_epi16(a, 3), m7),
            _mm256_and_si256(b, m7),
            _mm256_and_si256(_mm256_srli_epi16(b, 3), m7),
            _mm256_and_si256(c, m7),
            _mm256_and_si256(_mm256_srli_epi16(c, 3), m7),
            // Two bits of A or C above one of B.
            _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 5), m6),
                            _mm256_and_si256(_mm256_srli_epi16(b, 6), m1)),
            _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(c, 5), m6),
                            _mm256_and_si256(_mm256_srli_epi16(b, 7), m1))};
        for (int t = 0; t < M; ++t) {
          const int8_t *x = p.activationCodes + t * p.k + u * 32;
          __m256i pairs =
              _mm256_maddubs_epi16(q[0], _mm256_set1_epi32(quadAt(x)));
          for (int i = 1; i < 8; ++i)
            pairs = _mm256_add_epi16(
                pairs, _mm256_maddubs_epi16(
                           q[i], _mm256_set1_epi32(quadAt(x + 4 * i))));
          total[t] = _mm256_add_epi32(total[t], _mm256_madd_epi16(pairs, ones));
        }
      }
      __m256 scale = _mm256_cvtph_ps(
          _mm_loadu_si128((const __m128i *)(scales + g * 16 + half * 8)));
      for (int t = 0; t < M; ++t) {
        __m256i sum = _mm256_set1_epi32(4 * p.activationSums[t * groups + g]);
        __m256 value = _mm256_cvtepi32_ps(_mm256_sub_epi32(total[t], sum));
        acc[t] = _mm256_fmadd_ps(
            value,
            _mm256_mul_ps(scale,
                          _mm256_set1_ps(p.activationScales[t * groups + g])),
            acc[t]);
      }
    }
    for (int t = 0; t < M; ++t)
      _mm256_storeu_ps(p.y + t * p.n + panel * 16 + half * 8, acc[t]);
  }
}

/// Sixteen rows at a time; fields stay where they lie, one sum for each place.
template <int M>
__attribute__((target("avx512f,avx512bw,avx512vnni,fma,f16c"))) static void
panelVNNI(const TwinProduct &p, int64_t panel) {
  const int64_t groups = p.k / 128, units = p.k / 32;
  const uint8_t *codes = p.codes + panel * units * 192;
  const uint16_t *scales = p.scales + panel * groups * 16;
  const __m512i m0 = _mm512_set1_epi8(0x07), m3 = _mm512_set1_epi8(0x38),
                m6 = _mm512_set1_epi8(char(0xC0)), m5 = _mm512_set1_epi8(0x20);
  __m512 acc[M];
  for (int t = 0; t < M; ++t)
    acc[t] = _mm512_setzero_ps();
  for (int64_t g = 0; g < groups; ++g) {
    __m512i s0[M], s3[M], s5[M];
    for (int t = 0; t < M; ++t)
      s0[t] = s3[t] = s5[t] = _mm512_setzero_si512();
    for (int64_t u = 4 * g; u < 4 * g + 4; ++u) {
      const uint8_t *unit = codes + u * 192;
      __m512i a = _mm512_loadu_si512(unit), b = _mm512_loadu_si512(unit + 64),
              c = _mm512_loadu_si512(unit + 128);
      __m512i q6 =
          _mm512_or_si512(_mm512_and_si512(a, m6),
                          _mm512_and_si512(_mm512_srli_epi16(b, 1), m5));
      __m512i q7 =
          _mm512_or_si512(_mm512_and_si512(c, m6),
                          _mm512_and_si512(_mm512_srli_epi16(b, 2), m5));
      const __m512i low[3] = {_mm512_and_si512(a, m0), _mm512_and_si512(b, m0),
                              _mm512_and_si512(c, m0)};
      const __m512i mid[3] = {_mm512_and_si512(a, m3), _mm512_and_si512(b, m3),
                              _mm512_and_si512(c, m3)};
      for (int t = 0; t < M; ++t) {
        const int8_t *x = p.activationCodes + t * p.k + u * 32;
        for (int i = 0; i < 3; ++i) {
          s0[t] = _mm512_dpbusd_epi32(s0[t], low[i],
                                      _mm512_set1_epi32(quadAt(x + 8 * i)));
          s3[t] = _mm512_dpbusd_epi32(s3[t], mid[i],
                                      _mm512_set1_epi32(quadAt(x + 8 * i + 4)));
        }
        s5[t] =
            _mm512_dpbusd_epi32(s5[t], q6, _mm512_set1_epi32(quadAt(x + 24)));
        s5[t] =
            _mm512_dpbusd_epi32(s5[t], q7, _mm512_set1_epi32(quadAt(x + 28)));
      }
    }
    __m512 scale =
        _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(scales + g * 16)));
    for (int t = 0; t < M; ++t) {
      __m512i total = _mm512_add_epi32(
          s0[t], _mm512_add_epi32(_mm512_srai_epi32(s3[t], 3),
                                  _mm512_srai_epi32(s5[t], 5)));
      total = _mm512_sub_epi32(
          total, _mm512_set1_epi32(4 * p.activationSums[t * groups + g]));
      acc[t] = _mm512_fmadd_ps(
          _mm512_cvtepi32_ps(total),
          _mm512_mul_ps(scale,
                        _mm512_set1_ps(p.activationScales[t * groups + g])),
          acc[t]);
    }
  }
  for (int t = 0; t < M; ++t)
    _mm512_storeu_ps(p.y + t * p.n + panel * 16, acc[t]);
}

bool mlir::cq::runTwin(const TwinProduct &p, int64_t begin, int64_t end) {
  bool vnni = __builtin_cpu_supports("avx512vnni") &&
              __builtin_cpu_supports("avx512bw");
  if ((p.m != 1 && p.m != 8) || p.n % 16 || p.k % 128 ||
      !(vnni || __builtin_cpu_supports("avx2")))
    return false;
  auto *run = vnni ? (p.m == 1 ? panelVNNI<1> : panelVNNI<8>)
                   : (p.m == 1 ? panelAVX2<1> : panelAVX2<8>);
  for (int64_t panel = begin; panel < end; ++panel)
    run(p, panel);
  return true;
}
