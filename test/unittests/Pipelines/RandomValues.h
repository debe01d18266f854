//===- RandomValues.h - Numbers for weights and activations -----*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef CQ_UNITTESTS_PIPELINES_RANDOMVALUES_H
#define CQ_UNITTESTS_PIPELINES_RANDOMVALUES_H

#include <random>
#include <vector>

/// From [-0.5, 0.5), the same everywhere.
inline std::vector<float> randomValues(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float &x : values)
    x = static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f;
  return values;
}

#endif // CQ_UNITTESTS_PIPELINES_RANDOMVALUES_H
