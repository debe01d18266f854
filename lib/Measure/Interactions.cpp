//===- Interactions.cpp - Changes of outputs, and their products ----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Measure/Interactions.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/ThreadPool.h"
#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <random>

using namespace mlir::cq;

#if defined(__x86_64__) && defined(__clang__)
#define CQ_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CQ_CLONES
#endif

/// Sums in 8 lanes, added in order: the same at any vector width.
CQ_CLONES static double innerProduct(const float *a, const float *b,
                                     int64_t n) {
  double lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t l = 0; l < 8; ++l)
      lanes[l] += static_cast<double>(a[i + l]) * static_cast<double>(b[i + l]);
  double sum = 0;
  for (double lane : lanes)
    sum += lane;
  for (; i < n; ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

CQ_CLONES static float innerProductF32(const float *a, const float *b,
                                       int64_t n) {
  float lanes[32] = {};
  int64_t i = 0;
  for (; i + 32 <= n; i += 32)
    for (int64_t l = 0; l < 32; ++l)
      lanes[l] += a[i + l] * b[i + l];
  float sum = 0;
  for (float lane : lanes)
    sum += lane;
  for (; i < n; ++i)
    sum += a[i] * b[i];
  return sum;
}

CQ_CLONES static void addScaled(float *sum, const float *x, float scale,
                                int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    sum[i] += scale * x[i];
}

std::vector<double>
mlir::cq::innerProducts(llvm::ArrayRef<std::vector<float>> changes,
                        unsigned threads) {
  size_t count = changes.size();
  std::vector<double> products(count * count);
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(threads));
  for (size_t a = 0; a < count; ++a)
    pool.async([&, a] {
      for (size_t c = 0; c <= a; ++c) {
        assert(changes[a].size() == changes[c].size());
        products[a * count + c] = products[c * count + a] =
            innerProduct(changes[a].data(), changes[c].data(),
                         static_cast<int64_t>(changes[a].size()));
      }
    });
  pool.wait();
  return products;
}

double mlir::cq::squaredNorm(llvm::ArrayRef<float> change) {
  return innerProduct(change.data(), change.data(),
                      static_cast<int64_t>(change.size()));
}

std::vector<double>
mlir::cq::lossesFromProbes(llvm::ArrayRef<double> probeErrors,
                           llvm::ArrayRef<double> probeLosses,
                           llvm::ArrayRef<double> errors) {
  std::vector<double> losses;
  for (double error : errors) {
    double loss = 0, nearest = std::numeric_limits<double>::infinity();
    for (size_t p = 0; p < probeErrors.size(); ++p) {
      if (probeErrors[p] <= 0)
        continue;
      double ratio = error / probeErrors[p];
      double distance = ratio > 0 ? std::fabs(std::log(ratio)) : 1e300;
      if (distance < nearest) {
        nearest = distance;
        loss = probeLosses[p] * ratio;
      }
    }
    losses.push_back(loss);
  }
  return losses;
}

PredictionMetric::PredictionMetric(const float *head, int64_t vocabulary,
                                   int64_t width, unsigned samples,
                                   uint64_t seed, unsigned threads)
    : head(head), vocabulary(vocabulary), width(width), samples(samples),
      seed(seed), threads(threads) {}

void PredictionMetric::add(llvm::ArrayRef<float> hidden) {
  int64_t tokens = static_cast<int64_t>(hidden.size()) / width;
  size_t first = words.size();
  words.resize(first + tokens * samples);
  size_t firstMean = means.size();
  means.resize(firstMean + tokens * width);
  // A token's words depend on the seed and on its place only.
  std::mt19937_64 random(seed + reference.size());
  std::vector<double> starts(tokens);
  for (double &start : starts)
    start = static_cast<double>(random() >> 11) * 0x1p-53;
  constexpr int64_t block = 8; // tokens that share a pass over the head
  auto run = [&](int64_t begin) {
    int64_t end = std::min(tokens, begin + block);
    std::vector<float> logits((end - begin) * vocabulary);
    for (int64_t v = 0; v < vocabulary; ++v)
      for (int64_t t = begin; t < end; ++t)
        logits[(t - begin) * vocabulary + v] =
            innerProductF32(&head[v * width], &hidden[t * width], width);
    for (int64_t t = begin; t < end; ++t) {
      const float *z = &logits[(t - begin) * vocabulary];
      double most = static_cast<double>(*std::max_element(z, z + vocabulary));
      std::vector<double> p(vocabulary);
      double sum = 0;
      for (int64_t v = 0; v < vocabulary; ++v)
        sum += p[v] = std::exp(static_cast<double>(z[v]) - most);
      float *mean = &means[firstMean + t * width];
      double reached = 0;
      unsigned next = 0;
      for (int64_t v = 0; v < vocabulary; ++v) {
        p[v] /= sum;
        reached += p[v];
        // What less likely words add to the mean is below f32's rounding.
        if (p[v] > 1e-9)
          addScaled(mean, &head[v * width], static_cast<float>(p[v]), width);
        while (next < samples && (next + starts[t]) / samples < reached)
          words[first + t * samples + next++] = static_cast<int32_t>(v);
      }
      while (next < samples) // the sum fell short of 1 by rounding
        words[first + t * samples + next++] =
            static_cast<int32_t>(vocabulary - 1);
    }
  };
  {
    llvm::DefaultThreadPool pool(llvm::hardware_concurrency(threads));
    for (int64_t begin = 0; begin < tokens; begin += block)
      pool.async([&run, begin] { run(begin); });
    pool.wait();
  }
  reference.emplace_back(hidden.begin(), hidden.end());
}

std::vector<float>
PredictionMetric::project(llvm::ArrayRef<std::vector<float>> changed) const {
  assert(changed.size() == reference.size());
  std::vector<float> result(words.size());
  int64_t tokens = static_cast<int64_t>(means.size()) / width, token = 0;
  float scale = static_cast<float>(
      std::sqrt(0.5 / (static_cast<double>(samples) *
                       static_cast<double>(std::max<int64_t>(tokens, 1)))));
  std::vector<float> change(width);
  for (auto [index, own] : llvm::enumerate(reference))
    for (size_t at = 0; at < own.size(); at += width, ++token) {
      for (int64_t d = 0; d < width; ++d)
        change[d] = changed[index][at + d] - own[at + d];
      float mean = innerProductF32(&means[token * width], change.data(), width);
      for (unsigned j = 0; j < samples; ++j) {
        const float *word = &head[words[token * samples + j] * width];
        result[token * samples + j] =
            scale * (innerProductF32(word, change.data(), width) - mean);
      }
    }
  return result;
}
