//===- Scores.cpp - Numbers that tell matrices and blocks apart -----------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Stats/Scores.h"
#include "llvm/ADT/STLExtras.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

using namespace mlir::cq;

double mlir::cq::heterogeneityScore(llvm::ArrayRef<float> scores) {
  size_t top = std::max<size_t>(1, scores.size() / 100);
  if (scores.size() <= top)
    return 0;
  std::vector<float> sorted(scores.begin(), scores.end());
  std::nth_element(sorted.begin(), sorted.begin() + top, sorted.end(),
                   std::greater<float>());
  // Sorted, so that the sum does not depend on how the library partitions.
  std::sort(sorted.begin(), sorted.begin() + top);
  double sum = 0;
  for (size_t i = 0; i < top; ++i)
    sum += sorted[i];
  double mean = sum / double(top), largestOther = sorted[top];
  if (largestOther == 0)
    return mean == 0 ? 0 : std::numeric_limits<double>::infinity();
  return mean / largestOther;
}

std::vector<int64_t> mlir::cq::topPositions(llvm::ArrayRef<float> scores,
                                            int64_t count) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  count = std::clamp<int64_t>(count, 0, order.size());
  std::nth_element(order.begin(), order.begin() + count, order.end(),
                   [&](int64_t a, int64_t b) {
                     return scores[a] != scores[b] ? scores[a] > scores[b]
                                                   : a < b;
                   });
  order.resize(count);
  llvm::sort(order);
  return order;
}

double mlir::cq::overlap(llvm::ArrayRef<int64_t> a, llvm::ArrayRef<int64_t> b) {
  if (a.empty())
    return 0;
  int64_t shared = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    shared += a[i] == b[j];
    bool advanceA = a[i] <= b[j], advanceB = b[j] <= a[i];
    i += advanceA;
    j += advanceB;
  }
  return double(shared) / double(a.size());
}

std::vector<float> mlir::cq::magnitudeScores(llvm::ArrayRef<float> w) {
  std::vector<float> scores(w.size());
  for (size_t i = 0; i < w.size(); ++i)
    scores[i] = std::fabs(w[i]);
  return scores;
}

std::vector<float>
mlir::cq::activationScores(llvm::ArrayRef<float> w,
                           llvm::ArrayRef<float> meanSquares) {
  std::vector<float> scores(w.size());
  for (size_t i = 0; i < w.size(); ++i)
    scores[i] =
        std::fabs(w[i]) * std::sqrt(meanSquares[i % meanSquares.size()]);
  return scores;
}

double mlir::cq::zScoreShare(llvm::ArrayRef<llvm::ArrayRef<float>> weights,
                             bool twoSided) {
  double count = 0, sum = 0, squares = 0;
  for (llvm::ArrayRef<float> w : weights) {
    count += double(w.size());
    for (float value : w)
      sum += value;
  }
  if (count == 0)
    return 0;
  double mean = sum / count;
  for (llvm::ArrayRef<float> w : weights)
    for (float value : w)
      squares += (value - mean) * (value - mean);
  double deviation = std::sqrt(squares / count);
  if (!(deviation > 0))
    return 0;
  int64_t outside = 0;
  for (llvm::ArrayRef<float> w : weights)
    for (float value : w) {
      double distance = value - mean;
      outside += (twoSided ? std::fabs(distance) : distance) > deviation;
    }
  return double(outside) / count;
}

/// Lower triangle L with A = L Lᵀ, rows of length k; false where there is none.
static bool factor(llvm::ArrayRef<double> gram, int64_t k,
                   std::vector<double> &l) {
  l.assign(k * k, 0);
  for (int64_t i = 0, at = 0; i < k; ++i)
    for (int64_t j = i; j < k; ++j)
      l[j * k + i] = gram[at++];
  for (int64_t j = 0; j < k; ++j)
    for (int64_t i = j; i < k; ++i) {
      double sum = l[i * k + j];
      const double *a = &l[i * k], *b = &l[j * k];
      double parts[4] = {};
      int64_t m = 0;
      for (; m + 4 <= j; m += 4)
        for (int64_t p = 0; p < 4; ++p)
          parts[p] += a[m + p] * b[m + p];
      for (; m < j; ++m)
        parts[0] += a[m] * b[m];
      sum -= (parts[0] + parts[1]) + (parts[2] + parts[3]);
      if (i == j && !(sum > 0))
        return false;
      l[i * k + j] = i == j ? std::sqrt(sum) : sum / l[j * k + j];
    }
  return true;
}

/// Divides by the length, which it returns.
static double normalize(std::vector<double> &x) {
  double squares = 0;
  for (double value : x)
    squares += value * value;
  double length = std::sqrt(squares);
  for (double &value : x)
    value /= length;
  return length;
}

static std::vector<double> someVector(int64_t k) {
  std::vector<double> x(k);
  for (int64_t i = 0; i < k; ++i)
    x[i] = 1 + double((i * 7919) % 101) / 101;
  normalize(x);
  return x;
}

double mlir::cq::conditionNumber(llvm::ArrayRef<double> gram, int64_t k) {
  std::vector<double> l;
  if (k == 0 || !factor(gram, k, l))
    return std::numeric_limits<double>::infinity();
  // x ← L (Lᵀ x) for the largest eigenvalue, L⁻ᵀ (L⁻¹ x) for the smallest.
  double largest = 0, inverseSmallest = 0;
  std::vector<double> x = someVector(k), y(k);
  for (int step = 0; step < 60; ++step) {
    std::fill(y.begin(), y.end(), 0);
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j <= i; ++j)
        y[j] += l[i * k + j] * x[i];
    for (int64_t i = 0; i < k; ++i) {
      x[i] = 0;
      for (int64_t j = 0; j <= i; ++j)
        x[i] += l[i * k + j] * y[j];
    }
    largest = normalize(x);
  }
  x = someVector(k);
  for (int step = 0; step < 60; ++step) {
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = 0; j < i; ++j)
        x[i] -= l[i * k + j] * x[j];
      x[i] /= l[i * k + i];
    }
    for (int64_t i = k - 1; i >= 0; --i) {
      x[i] /= l[i * k + i];
      for (int64_t j = 0; j < i; ++j)
        x[j] -= l[i * k + j] * x[i];
    }
    inverseSmallest = normalize(x);
  }
  return largest * inverseSmallest;
}
