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

/// Llama 3: wavelengths shorter than originalContext / highFrequencyFactor
/// stay, those longer than originalContext / lowFrequencyFactor are stretched
/// by `factor`, and between the two the frequency is interpolated linearly in
/// originalContext / wavelength.
static double scaleFrequency(double frequency, const RopeScaling &scaling) {
  constexpr double twoPi = 6.283185307179586;
  double turns = scaling.originalContext * frequency / twoPi;
  if (turns > scaling.highFrequencyFactor)
    return frequency;
  if (turns < scaling.lowFrequencyFactor)
    return frequency / scaling.factor;
  double smooth = (turns - scaling.lowFrequencyFactor) /
                  (scaling.highFrequencyFactor - scaling.lowFrequencyFactor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

// Rounded to float, as the models were trained: the last bits of pow differ
// between libraries, and a module is to be the same bytes everywhere.
SmallVector<float> cq::ropeFrequencies(const ModelConfig &config) {
  SmallVector<float> frequencies;
  for (int64_t i = 0; i < config.headDim / 2; ++i) {
    double frequency = std::pow(config.ropeBase, -2.0 * i / config.headDim);
    if (config.ropeScaling)
      frequency = scaleFrequency(frequency, *config.ropeScaling);
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}
