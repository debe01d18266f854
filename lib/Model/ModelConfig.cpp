//===- ModelConfig.cpp - Checks of hyperparameters ------------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Model/ModelSource.h"
#include "cq/Support/Diagnostics.h"
#include <cmath>

using namespace mlir::cq;

llvm::Error ModelConfig::check() const {
  struct Bound {
    const char *what;
    int64_t value, limit;
  };
  // Limits far above any model, low enough that products of three fit 64 bits.
  for (Bound bound : {Bound{"width", width, 1 << 20},
                      {"feed-forward width", hidden, 1 << 22},
                      {"number of blocks", blocks, 1 << 12},
                      {"number of heads", heads, 1 << 12},
                      {"number of key/value heads", kvHeads, 1 << 12},
                      {"head size", headDim, 1 << 14},
                      {"vocabulary", vocabulary, 1 << 24},
                      {"context", context, 1 << 28}})
    if (bound.value <= 0 || bound.value > bound.limit)
      return fail(llvm::Twine("the model's ") + bound.what + " is " +
                  llvm::Twine(bound.value) + ", not in 1 to " +
                  llvm::Twine(bound.limit));
  if (heads % kvHeads != 0)
    return fail("the model's " + llvm::Twine(heads) +
                " heads are no multiple of its " + llvm::Twine(kvHeads) +
                " key/value heads");
  if (headDim % 2 != 0)
    return fail("the model's head size " + llvm::Twine(headDim) +
                " is odd, rotations need pairs");
  if (!std::isfinite(epsilon) || epsilon <= 0 || epsilon >= 1)
    return fail("the model's norm epsilon is not between 0 and 1");
  if (!std::isfinite(ropeBase) || ropeBase <= 1)
    return fail("the model's rope base is not above 1");
  if (!ropeFactors.empty() && int64_t(ropeFactors.size()) != headDim / 2)
    return fail("the model has " + llvm::Twine(ropeFactors.size()) +
                " rope factors for heads of size " + llvm::Twine(headDim) +
                ", not half of it");
  for (float factor : ropeFactors)
    if (!std::isfinite(factor) || factor <= 0)
      return fail("one of the model's rope factors is not positive");
  return llvm::Error::success();
}

std::vector<float> mlir::cq::ropeFactorsOf(const RopeScaling &scaling,
                                           double ropeBase, int64_t headDim) {
  std::vector<float> factors;
  double low = scaling.lowFrequencyFactor, high = scaling.highFrequencyFactor;
  for (int64_t i = 0; i < headDim / 2; ++i) {
    double frequency = std::pow(ropeBase, -2.0 * double(i) / double(headDim));
    double turns = double(scaling.originalContext) * frequency / (2 * M_PI);
    double factor = scaling.factor;
    if (turns > high) {
      factor = 1;
    } else if (turns >= low) {
      double smooth = (turns - low) / (high - low);
      factor = 1 / ((1 - smooth) / scaling.factor + smooth);
    }
    factors.push_back(float(factor));
  }
  return factors;
}
