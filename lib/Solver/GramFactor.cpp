//===- GramFactor.cpp - Vectors of given inner products ---------*- C++ -*-===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GramFactor.h"
#include <algorithm>
#include <cmath>

using namespace mlir::cq;

std::optional<GramFactor> mlir::cq::factoriseGram(llvm::ArrayRef<double> matrix,
                                                  size_t size) {
  std::vector<double> rest(size);
  double trace = 0;
  for (size_t i = 0; i < size; ++i) {
    rest[i] = matrix[i * size + i];
    if (rest[i] < 0)
      return std::nullopt;
    trace += rest[i];
  }
  // Below this a diagonal entry is what rounding left of it.
  double least = 1e-11 * trace;
  std::vector<std::vector<double>> steps; // [dimension][size]
  while (steps.size() < size) {
    size_t pivot = std::max_element(rest.begin(), rest.end()) - rest.begin();
    if (!(rest[pivot] > least))
      break;
    double root = std::sqrt(rest[pivot]);
    std::vector<double> step(size);
    for (size_t i = 0; i < size; ++i) {
      double product = matrix[i * size + pivot];
      for (const std::vector<double> &earlier : steps)
        product -= earlier[i] * earlier[pivot];
      step[i] = product / root;
      rest[i] -= step[i] * step[i];
      // |⟨a, c⟩| ≤ ‖a‖‖c‖ fails where the matrix is indefinite.
      if (rest[i] < -1e-9 * trace)
        return std::nullopt;
    }
    rest[pivot] = 0;
    steps.push_back(std::move(step));
  }
  GramFactor factor;
  factor.dimension = std::max<size_t>(steps.size(), 1);
  factor.vectors.resize(size * factor.dimension);
  for (size_t d = 0; d < steps.size(); ++d)
    for (size_t i = 0; i < size; ++i)
      factor.vectors[i * factor.dimension + d] = steps[d][i];
  // What the pivots did not reach must be nothing.
  for (size_t a = 0; a < size; ++a)
    for (size_t c = 0; c < a; ++c) {
      double product = 0;
      for (size_t d = 0; d < factor.dimension; ++d)
        product += factor.vectors[a * factor.dimension + d] *
                   factor.vectors[c * factor.dimension + d];
      if (std::fabs(product - matrix[a * size + c]) > 1e-6 * trace)
        return std::nullopt;
    }
  return factor;
}
