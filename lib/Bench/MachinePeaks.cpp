//===- MachinePeaks.cpp - What a machine can do at best -------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Bench/MachinePeaks.h"
#include "cq/Runtime/Runtime.h"
#include "llvm/ADT/ArrayRef.h"
#include <algorithm>
#include <chrono>
#include <numeric>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace mlir::cq;

static double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

template <typename Body> static void parallel(int64_t tasks, Body body) {
  cq_parallel_for(
      [](void *context, int64_t begin, int64_t end) {
        (*static_cast<Body *>(context))(begin, end);
      },
      &body, tasks);
}

ReadBandwidth::ReadBandwidth() : memory((256 << 20) / sizeof(uint64_t), 1) {}

/// Bytes a second of one pass in lines of 64 bytes; lines `ahead` words further
/// on are fetched, if that isn't 0.
static double readOnce(llvm::ArrayRef<uint64_t> memory, int64_t ahead) {
  constexpr int64_t kBlocks = 256, kLine = 64 / sizeof(uint64_t);
  int64_t words = static_cast<int64_t>(memory.size()) / kBlocks;
  std::vector<uint64_t> sums(kBlocks);
  double start = now();
  parallel(kBlocks, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const uint64_t *block = memory.data() + b * words;
      // The compiler makes vectors of it.
      uint64_t sum[kLine] = {};
      for (int64_t i = 0; i < words; i += kLine) {
        if (ahead)
          __builtin_prefetch(block + i + ahead);
        for (int64_t j = 0; j < kLine; ++j)
          sum[j] += block[i + j];
      }
      sums[b] = std::accumulate(sum, sum + kLine, uint64_t(0));
    }
  });
  double seconds = now() - start;
  volatile uint64_t keep = sums[0];
  (void)keep;
  return static_cast<double>(memory.size() * sizeof(uint64_t)) / seconds;
}

double ReadBandwidth::measure() {
  // Which is quicker depends on the CPU's own prefetchers.
  return std::max(readOnce(memory, 0), readOnce(memory, 256));
}

#if defined(__x86_64__)
/// Eight chains; the empty assembly keeps products from leaving the loop.
__attribute__((target("avx2"))) static int64_t multiplyAVX2(int64_t rounds) {
  __m256i sums[8], u = _mm256_set1_epi8(3), s = _mm256_set1_epi8(-5),
                   ones = _mm256_set1_epi16(1);
  for (__m256i &sum : sums)
    sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < rounds; ++i)
    for (__m256i &sum : sums) {
      __asm__ volatile("" : "+x"(u));
      sum = _mm256_add_epi32(
          sum, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), ones));
    }
  __m256i total = sums[0];
  for (int i = 1; i < 8; ++i)
    total = _mm256_add_epi32(total, sums[i]);
  return _mm256_extract_epi32(total, 0);
}

__attribute__((target("avx512f,avx512bw,avx512vnni"))) static int64_t
multiplyVNNI(int64_t rounds) {
  __m512i sums[8], u = _mm512_set1_epi8(3), s = _mm512_set1_epi8(-5);
  for (__m512i &sum : sums)
    sum = _mm512_setzero_si512();
  for (int64_t i = 0; i < rounds; ++i)
    for (__m512i &sum : sums) {
      __asm__ volatile("" : "+v"(u));
      sum = _mm512_dpbusd_epi32(sum, u, s);
    }
  __m512i total = sums[0];
  for (int i = 1; i < 8; ++i)
    total = _mm512_add_epi32(total, sums[i]);
  return _mm512_reduce_add_epi32(total);
}

static bool hasVNNI() {
  return __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512bw");
}
static bool hasAVX2() { return __builtin_cpu_supports("avx2"); }
#else
static int64_t multiplyAVX2(int64_t) { return 0; }
static int64_t multiplyVNNI(int64_t) { return 0; }
static bool hasVNNI() { return false; }
static bool hasAVX2() { return false; }
#endif

std::string mlir::cq::multiplierName() {
  return hasVNNI()   ? "vpdpbusd zmm"
         : hasAVX2() ? "vpmaddubsw + vpmaddwd + vpaddd ymm"
                     : "none";
}

double mlir::cq::measureMultipliers() {
  if (!hasAVX2())
    return 0;
  constexpr int64_t kRounds = 100000, kTasks = 64;
  std::vector<int64_t> sums(kTasks);
  double start = now();
  parallel(kTasks, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task)
      sums[task] = hasVNNI() ? multiplyVNNI(kRounds) : multiplyAVX2(kRounds);
  });
  double seconds = now() - start;
  volatile int64_t keep = sums[0];
  (void)keep;
  return static_cast<double>(kTasks * kRounds * 8 * (hasVNNI() ? 64 : 32)) /
         seconds;
}
