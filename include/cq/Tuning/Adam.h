//===- Adam.h - The optimizer of tuning -------------------------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Adam (1412.6980) without weight decay, moments corrected for their start.
//
//===----------------------------------------------------------------------===//

#ifndef CQ_TUNING_ADAM_H
#define CQ_TUNING_ADAM_H

#include <cmath>
#include <cstdint>
#include <vector>

namespace mlir::cq {

/// First and second moments of one tensor's gradients.
struct AdamMoments {
  std::vector<float> mean, square;
  void resize(size_t count) {
    mean.resize(count);
    square.resize(count);
  }
};

/// One step's constants.
class Adam {
public:
  /// `step` counts from 1; `factor` scales every learning rate (the schedule).
  explicit Adam(int64_t step, double factor = 1, double beta1 = 0.9,
                double beta2 = 0.95)
      : beta1(static_cast<float>(beta1)), beta2(static_cast<float>(beta2)),
        factor(static_cast<float>(
            factor / (1 - std::pow(beta1, static_cast<double>(step))))),
        correction(static_cast<float>(
            1 / (1 - std::pow(beta2, static_cast<double>(step))))) {}

  /// How far, in units of the learning rate, parameter i moves for `gradient`.
  float move(AdamMoments &moments, size_t i, float gradient) const {
    float &mean = moments.mean[i], &square = moments.square[i];
    mean = beta1 * mean + (1 - beta1) * gradient;
    square = beta2 * square + (1 - beta2) * gradient * gradient;
    // Far below any gradient that matters, above zero.
    return -factor * mean / (std::sqrt(square * correction) + 1e-20f);
  }

private:
  float beta1, beta2, factor, correction;
};

/// Factor of the learning rate at `step` of `steps` (from 1): linear warm-up
/// over the first 5 %, then a cosine down to `floor`.
double learningRateFactor(int64_t step, int64_t steps, double floor);

} // namespace mlir::cq

#endif // CQ_TUNING_ADAM_H
