//===- SecondMoments.cpp - A layer's input, as gptq needs it --------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Codec/SecondMoments.h"
#include "FeedbackKernels.h"
#include "Support.h"
#include "llvm/ADT/STLExtras.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

using namespace mlir::cq;
using llvm::Twine;

static int64_t packedIndex(int64_t i, int64_t j, int64_t k) {
  if (i > j)
    std::swap(i, j);
  return i * k - i * (i - 1) / 2 + (j - i);
}

/// A = Uᵀ U in place, in the upper triangle; false where A is not positive
/// definite. Blocks of rows, so that most of the work is a product of matrices.
static bool choleskyInPlace(double *a, int64_t k, unsigned threads) {
  constexpr int64_t block = 64;
  const detail::FeedbackKernels &kernels = detail::feedbackKernels();
  for (int64_t begin = 0; begin < k; begin += block) {
    int64_t end = std::min(begin + block, k);
    for (int64_t i = begin; i < end; ++i) {
      double *row = a + i * k;
      for (int64_t r = begin; r < i; ++r)
        kernels.subtract(row + i, a + r * k + i, a[r * k + i], end - i);
      // Also refuses NaN.
      if (!(row[i] > std::numeric_limits<double>::min()))
        return false;
      double pivot = std::sqrt(row[i]);
      row[i] = pivot;
      for (int64_t j = i + 1; j < end; ++j)
        row[j] /= pivot;
    }
    if (end == k)
      break;
    detail::parallelForRows(k - end, 256, threads,
                            [&](int64_t from, int64_t to) {
                              for (int64_t i = begin; i < end; ++i) {
                                double *row = a + i * k + end + from;
                                for (int64_t r = begin; r < i; ++r)
                                  kernels.subtract(row, a + r * k + end + from,
                                                   a[r * k + i], to - from);
                                double pivot = a[i * k + i];
                                for (int64_t j = 0; j < to - from; ++j)
                                  row[j] /= pivot;
                              }
                            });
    detail::parallelForRows(
        k - end, 32, threads, [&](int64_t from, int64_t to) {
          kernels.downdate(a, k, begin, end, end + from, end + to);
        });
  }
  return true;
}

llvm::Expected<SecondMoments>
SecondMoments::factorise(llvm::ArrayRef<double> gram, int64_t k,
                         const Options &options, unsigned threads) {
  if (k <= 0 || k > 65536 ||
      static_cast<int64_t>(gram.size()) != k * (k + 1) / 2)
    return detail::makeError("second moments of " + Twine(k) +
                             " columns are not " + Twine(gram.size()) +
                             " numbers long");
  for (double value : gram)
    if (!std::isfinite(value))
      return detail::makeError("the second moments are not finite");
  double sum = 0;
  for (int64_t i = 0; i < k; ++i) {
    double value = gram[packedIndex(i, i, k)];
    if (value < 0)
      return detail::makeError("the second moment of column " + Twine(i) +
                               " is negative");
    sum += value;
  }
  double mean = sum / static_cast<double>(k);
  if (!(mean > 1e-290) || !std::isfinite(mean))
    return detail::makeError("the input was zero in all of the calibration");

  SecondMoments moments;
  moments.k = k;
  double unit = 1.0 / mean;
  moments.squares.resize(k);
  for (int64_t i = 0; i < k; ++i)
    moments.squares[i] = static_cast<float>(gram[packedIndex(i, i, k)] * unit);
  moments.places.resize(k);
  std::iota(moments.places.begin(), moments.places.end(), 0);
  llvm::sort(moments.places, [&](int32_t a, int32_t b) {
    float left = moments.squares[a], right = moments.squares[b];
    return left != right ? left < right : a < b;
  });

  std::vector<double> a(k * k);
  double damping = std::clamp(options.damping, 0.0, 1.0);
  while (true) {
    detail::parallelForRows(k, 64, threads, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        for (int64_t j = i; j < k; ++j)
          a[i * k + j] =
              gram[packedIndex(moments.places[i], moments.places[j], k)] * unit;
        a[i * k + i] += damping;
        // A dead column has no say and no feedback; any diagonal will do.
        if (a[i * k + i] == 0)
          a[i * k + i] = 1;
      }
    });
    if (choleskyInPlace(a.data(), k, threads))
      break;
    if (damping >= 1)
      return detail::makeError("the second moments are not positive definite, "
                               "even with their mean diagonal added to it");
    damping = std::min(damping == 0 ? 1e-4 : damping * 10, 1.0);
  }
  moments.usedDamping = damping;

  moments.factor.resize(k * k);
  moments.damped.resize(k * k);
  detail::parallelForRows(k, 64, threads, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      double pivot = a[i * k + i];
      for (int64_t j = i + 1; j < k; ++j)
        moments.factor[i * k + j] = static_cast<float>(a[i * k + j] / pivot);
      for (int64_t j = 0; j < k; ++j)
        moments.damped[i * k + j] =
            static_cast<float>(gram[packedIndex(i, j, k)] * unit);
      float &diagonal = moments.damped[i * k + i];
      diagonal =
          static_cast<float>(gram[packedIndex(i, i, k)] * unit + damping);
      if (diagonal == 0)
        diagonal = 1;
    }
  });
  return moments;
}
