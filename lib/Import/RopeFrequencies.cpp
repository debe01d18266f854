//===- RopeFrequencies.cpp - Angles of rotary embeddings ------------------===//
//
// Part of the cq project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "cq/Import/LlamaImporter.h"
#include <cmath>

using namespace mlir;
using namespace mlir::cq;

// Rounded to float, as the models were trained: the last bits of pow differ
// between libraries, and a module is to be the same bytes everywhere.
SmallVector<float> cq::ropeFrequencies(const ModelConfig &config) {
  SmallVector<float> frequencies;
  for (int64_t i = 0; i < config.headDim / 2; ++i) {
    double frequency = std::pow(config.ropeBase, -2.0 * i / config.headDim);
    if (!config.ropeFactors.empty())
      frequency /= config.ropeFactors[i];
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}
